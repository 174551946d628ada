"""What is not modelled is said once, with register and PC, and --strict makes it an error."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_sim.rp2040 import Board, layout
from firmware_sim.rp2040.probe import Probe, read, write
from firmware_sim.rp2040.remarks import StrictError

RESERVED = 0x40058F00  # WATCHDOG+0xf00
BASE = 0x20000000


def program(address: int) -> bytes:
    """ldr r0, =address; ldr r1, [r0]; ldr r1, [r0]; bkpt."""
    table = struct.pack("<64I", 0x20040000, (BASE + 0x100) | 1, *[0] * 62)
    return table + struct.pack("<4HI", 0x4801, 0x6801, 0x6801, 0xBE00, address)


def test_a_register_that_does_not_exist_is_named_once() -> None:
    probe = Probe()
    assert probe.run(write(RESERVED, 5), read(RESERVED), read(RESERVED)) == [5, 5]
    assert probe.board.warnings == ["WATCHDOG+0xf00 is not modelled (pc 0x2000010e)"]


def test_what_only_stores_says_what_it_does_not_do() -> None:
    probe = Probe()
    probe.board.chip.resets.release("SYSCFG", "BUSCTRL")
    assert probe.run(write(0x40004018, 1), read(0x40004018), write(0x4003000C, 3), write(0x4003000C, 4)) == [1]
    assert probe.board.warnings == [
        "SYSCFG.MEMPOWERDOWN is not modelled: memories keep their power (pc 0x2000010e)",
        "BUSCTRL.PERFSEL0 is not modelled: PERFCTR0 does not count (pc 0x2000010e)",
    ]


def test_the_pc_is_that_of_the_core_that_did_it() -> None:
    """Core 1 touches the register while core 0 loops."""
    probe = Probe()
    S, core = probe.board.chip.S, layout.CORE_STRIDE
    probe.board.write_memory(0x20000200, struct.pack("<4H", 0x6801, 0xE7FE, 0, 0))  # ldr r1, [r0]; b .
    S[core], S[core + layout.PC], S[core + layout.SLEEPING] = RESERVED, 0x20000200, 0
    probe.wait(100)
    assert probe.board.warnings == ["WATCHDOG+0xf00 is not modelled (core 1, pc 0x20000200)"]


def test_registers_have_names() -> None:
    chip = Board().chip
    assert chip.describe(0x4005800C) == "WATCHDOG.SCRATCH0"
    assert chip.describe(0x4000E000) == "RESETS.RESET (SET)"
    assert chip.describe(0x40058F00) == "WATCHDOG+0xf00"


def test_an_nmi_by_syscfg() -> None:
    """A forced PWM wrap, made NMI, is taken as exception 2 whatever the NVIC enables."""
    probe = Probe()
    probe.board.chip.resets.release("SYSCFG", "PWM")
    probe.board.write_memory(0x20000008, struct.pack("<I", 0x20000113))  # NMI handler: the probe's BKPT
    probe.run(write(0x40004000, 1 << 4), write(0x400500AC, 1))
    assert int(probe.board.chip.S[layout.IPSR]) == 2


def test_strict_board_raises() -> None:
    board = Board(strict=True)
    board.load(program(RESERVED), address=BASE)
    with pytest.raises(StrictError, match=r"strict: WATCHDOG\+0xf00 is not modelled \(pc 0x20000102\)"):
        board.run(max_cycles=100)
    assert board.warnings == ["WATCHDOG+0xf00 is not modelled (pc 0x20000102)"]


def emu_run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shared.cli", "emu", "run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_emu_run_strict(tmp_path: Path) -> None:
    path = tmp_path / "touches.uf2"
    code = program(RESERVED)
    blocks = [code[i : i + 256] for i in range(0, len(code), 256)]
    packed = b""
    for i, block in enumerate(blocks):
        header = struct.pack("<8I", 0x0A324655, 0x9E5D5157, 0x2000, BASE + 256 * i, 256, i, len(blocks), 0xE48BFF56)
        packed += (header + block.ljust(476, b"\0")) + struct.pack("<I", 0x0AB16F30)
    path.write_bytes(packed)
    done = emu_run(path)
    assert done.returncode == 0
    assert "warning: WATCHDOG+0xf00 is not modelled (pc 0x20000102)" in done.stderr
    done = emu_run(path, "--strict")
    assert done.returncode == 1
    assert done.stderr == "crustwatch: strict: WATCHDOG+0xf00 is not modelled (pc 0x20000102)\n"
