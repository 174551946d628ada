"""Whole programs on the emulated chip: start-up, interrupts, sleep, UART, TIMER, and code of gcc and newlib.

The ELF files are committed; tests/emulator/programs/build.py makes them anew, and where the cross compiler is
installed a test compares.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_sim.rp2040 import Board

PROGRAMS = Path(__file__).parent / "programs"
CHARACTER_CYCLES = 10 * (67 * 64 + 52) // 4  # 115,200 baud at 125 MHz


def loaded(name: str) -> Board:
    board = Board()
    board.load(PROGRAMS / name)
    return board


def test_exceptions_nest_chain_and_wake() -> None:
    board = loaded("exceptions.elf")
    stop = board.run(bkpt_log=True, max_cycles=100_000)
    assert stop.reason == "bkpt"
    assert stop.faults == []
    log = {event.immediate: event.r0 for event in stop.events}
    assert log[1] == 0x1
    assert log[2] == 0x1
    assert log[3] == 0x12435
    assert log[4] == 0x124356
    assert log[5] == 0x1243567
    assert log[6] == 0x1243567
    assert log[7] == 0x12435675
    assert (log[8], log[9], log[0]) == (0x20030000, 0x20040000, 2)


@pytest.mark.parametrize("name", ["echo.elf", "echo.uf2"])
def test_firmware_starts_as_on_the_chip_and_echoes(name: str) -> None:
    board = loaded(name)
    assert board.run(until_text="ready\n", max_cycles=1_000_000).reason == "text"
    assert board.clock_hz == 125_000_000
    assert board.uart0.baud == pytest.approx(115_200, rel=1e-4)
    assert board.warnings == []
    board.uart0.read()
    board.uart0.write(b"Hello Pizza")
    stop = board.run(until_text="pIZZA", max_cycles=2_000_000)
    assert stop.reason == "text"
    assert board.uart0.read() == b"hELLO\0pIZZA"
    assert board.uart0.pending == 0
    board.uart0.write(b"q")
    stop = board.run(max_cycles=100_000)
    assert (stop.reason, stop.immediate) == ("bkpt", 0)
    # TIMER in us; the crystal takes 196 * 256 of its cycles to start, 4.2 ms, and the clock is slower before the PLL
    assert 4181 < stop.r0 - stop.cycles / 125 < 6000


def test_characters_come_at_the_baud_rate() -> None:
    board = loaded("echo.elf")
    board.run(until_text="read", max_cycles=1_000_000)
    before = board.cycles
    board.run(until_text="y", max_cycles=100_000)
    assert board.cycles - before == pytest.approx(CHARACTER_CYCLES, abs=40)


def test_interrupted_runs_equal_one_run() -> None:
    results = []
    for step in (10**9, 997, 50_000):
        board = loaded("echo.elf")
        board.uart0.write(b"determinism q")
        stop = board.run(max_cycles=step)
        while stop.reason == "max_cycles":
            stop = board.run(max_cycles=step)
        results.append((stop.cycles, stop.instructions, stop.r0, bytes(board.uart0.sent)))
    assert results[0] == results[1] == results[2]


def test_snapshot_continues_identically() -> None:
    board = loaded("echo.elf")
    board.run(until_text="re", max_cycles=1_000_000)
    board.uart0.write(b"abcq")
    saved = board.snapshot()
    first = board.run(max_cycles=1_000_000)
    sent = bytes(board.uart0.sent)
    other = Board()
    other.restore(saved)
    second = other.run(max_cycles=1_000_000)
    assert (first, sent) == (second, bytes(other.uart0.sent))


def test_alarms_wake_the_core() -> None:
    board = loaded("alarm.elf")
    stop = board.run(bkpt_log=True, max_cycles=100_000)
    assert [event.r0 for event in stop.events[:-1]] == [1, 2, 3, 4]
    assert 1000 <= stop.r0 < 1040  # microseconds: four alarms, and at 6.5 MHz a few to arm each again
    assert stop.instructions < 200  # the rest was slept through


def test_newlib_program() -> None:
    board = loaded("newlib.elf")
    stop = board.run(max_cycles=20_000_000)
    assert (stop.reason, stop.immediate, stop.r0) == ("bkpt", 0, 3449071510)
    assert board.uart0.read().decode().splitlines() == [
        "42 pizzas 3.14159",
        "3449071510 12.610952589",
        "0 100 ca756c7a",
        "and strings",
    ]


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
def test_committed_programs_are_what_the_sources_give(tmp_path: Path) -> None:
    subprocess.run([sys.executable, PROGRAMS / "build.py", "--out", tmp_path], check=True)
    for path in sorted(tmp_path.iterdir()):
        assert path.read_bytes() == (PROGRAMS / path.name).read_bytes(), f"{path.name}: run programs/build.py"
