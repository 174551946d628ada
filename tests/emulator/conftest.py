"""The example firmware, each built once a session, and a probe that makes the emulated core access registers."""

from __future__ import annotations

import signal
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_sim.firmware.examples import build_example
from firmware_sim.rp2040 import Board
from firmware_sim.rp2040.blocks.resets import SUBSYSTEMS
from shared.errors import MissingPartError

# A suite started in the background ignores Ctrl-C, and its children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def example_elf(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """example_elf(name, memory="flash"): path of the built ELF; the UF2 is beside it. Skips without the compiler."""
    built: dict[tuple[str, str], Path] = {}

    def build(name: str, memory: str = "flash") -> Path:
        if (name, memory) not in built:
            try:
                files = build_example(name, tmp_path_factory.mktemp(f"{name}-{memory}"), memory=memory)
            except MissingPartError as error:
                pytest.skip(str(error))
            built[name, memory] = files.elf
        return built[name, memory]

    return build


class BusProbe:
    """A board whose core executes scripts of reads, writes and waits, all in one run each."""

    CODE, SCRIPT, RESULTS = 0x20000100, 0x20001000, 0x20020000
    # loop: ldmia r6!, {r0-r2}; cmp r0, #1; beq write; cmp r0, #2; beq stop; bhi wait; ldr r3, [r1]; stmia r7!, {r3};
    # b loop; write: str r2, [r1]; b loop; wait: subs r2, #1; bne wait; b loop; stop: bkpt #0
    # fmt: off
    PROGRAM = (0xCE07, 0x2801, 0xD005, 0x2802, 0xD008, 0xD804, 0x680B, 0xC708, 0xE7F6, 0x600A, 0xE7F4,
               0x3A01, 0xD1FD, 0xE7F1, 0xBE00)
    # fmt: on

    def __init__(self) -> None:
        self.board = Board()
        table = struct.pack("<64I", 0x20040000, self.CODE | 1, *[0] * 62)
        self.board.load(table + struct.pack(f"<{len(self.PROGRAM)}H", *self.PROGRAM), address=0x20000000)
        self.board.chip.resets.release(*SUBSYSTEMS)

    def run(self, *steps: tuple[int, ...] | int) -> list[int]:
        """Execute steps (see `start`) and give what the reads loaded."""
        self.start(*steps)
        stop = self.board.run(max_cycles=1_000_000_000)
        assert (stop.reason, stop.faults) == ("bkpt", [])
        count = sum(not isinstance(step, int) and len(step) == 1 for step in steps)
        return list(struct.unpack(f"<{count}I", self.board.read_memory(self.RESULTS, 4 * count)))

    def start(self, *steps: tuple[int, ...] | int) -> None:
        """Prepare steps: an int waits that many cycles (about), (address,) reads, (address, value) writes."""
        words: list[int] = []
        for step in steps:
            if isinstance(step, int):
                words += [3, 0, max(1, step // 3)]
            else:
                words += [0, step[0], 0] if len(step) == 1 else [1, step[0], step[1] & 0xFFFFFFFF]
        self.board.write_memory(self.SCRIPT, struct.pack(f"<{len(words) + 3}I", *words, 2, 0, 0))
        S = self.board.chip.S
        S[6], S[7], S[15] = self.SCRIPT, self.RESULTS, self.CODE


@pytest.fixture
def bus_probe() -> BusProbe:
    """A fresh board with the probe program."""
    return BusProbe()
