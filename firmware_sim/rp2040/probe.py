"""Registers as the emulated core sees them: a small program executes loads and stores that Python asks for.

>>> from firmware_sim.rp2040.probe import Probe
>>> probe = Probe()
>>> probe.write(0x4005800C, 7)  # WATCHDOG SCRATCH0
>>> probe.read(0x4005800C)
7
>>> probe.wait(100)  # cycles
"""

from __future__ import annotations

import struct

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.board import Board

BASE, CODE, LOOP, SCRIPT, RESULTS = 0x20000000, 0x20000100, 0x20000180, 0x20001000, 0x20020000
# loop: ldmia r6!, {r0-r2}; cmp r0, #1; beq write; bhi stop; ldr r3, [r1]; stmia r7!, {r3}; b loop
# write: str r2, [r1]; b loop; stop: bkpt #0
PROGRAM = (0xCE07, 0x2801, 0xD003, 0xD804, 0x680B, 0xC708, 0xE7F8, 0x600A, 0xE7F6, 0xBE00)
WAIT = 0xE7FE  # b .
READ, WRITE, STOP = 0, 1, 2
AFTER = 10  # cycles between the end of a store and the BKPT
Step = tuple[int, int, int]


def read(address: int) -> Step:
    """A step that loads a word."""
    return READ, address, 0


def write(address: int, value: int) -> Step:
    """A step that stores a word."""
    return WRITE, address, value & layout.WORD


class Probe:
    """A board that executes scripts of loads and stores; its state stays between them."""

    def __init__(self) -> None:
        self.board = Board()
        code = struct.pack(f"<{len(PROGRAM)}H", *PROGRAM).ljust(LOOP - CODE, b"\0")
        table = struct.pack("<64I", 0x20040000, CODE | 1, *[0] * 62)
        self.board.load(table + code + struct.pack("<H", WAIT), address=BASE)

    def run(self, *steps: Step) -> list[int]:
        """Execute the steps; the words that the reads loaded. A fault is a RuntimeError."""
        words = [word for step in (*steps, (STOP, 0, 0)) for word in step]
        self.board.write_memory(SCRIPT, struct.pack(f"<{len(words)}I", *words))
        S = self.board.chip.S
        S[6], S[7], S[layout.PC] = SCRIPT, RESULTS, CODE
        stop = self.board.run(max_cycles=1_000_000)
        if stop.reason != "bkpt" or stop.faults:
            raise RuntimeError(f"the probe stopped: {stop.reason} {stop.fault or ''}")
        count = sum(step[0] == READ for step in steps)
        return list(struct.unpack(f"<{count}I", self.board.read_memory(RESULTS, 4 * count)))

    def read(self, address: int) -> int:
        """The word at an address."""
        return self.run(read(address))[0]

    def write(self, address: int, value: int) -> None:
        """Store a word."""
        self.run(write(address, value))

    def wait(self, cycles: int) -> None:
        """Let time pass, with the core in an endless loop."""
        self.wait_until(self.board.cycles + cycles)

    def wait_until(self, cycle: int) -> None:
        """Let time pass until the core's cycle count is `cycle`, or a little more."""
        self.board.chip.S[layout.PC] = LOOP
        stop = self.board.run(until_cycle=cycle)
        if stop.reason != "max_cycles":
            raise RuntimeError(f"the probe stopped: {stop.reason}")

    @property
    def written_at(self) -> int:
        """Cycle at which the last step, a store behind the APB bridge, happened."""
        return self.board.cycles - AFTER - 5
