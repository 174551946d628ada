"""WATCHDOG: countdown, reasons, scratch registers, and firmware that comes up again. RP2040 datasheet 4.7."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040 import Board
from firmware_sim.rp2040.probe import Probe, read, write

WATCHDOG, PSM, RESETS = 0x40058000, 0x40010000, 0x4000C000
CTRL, LOAD, REASON, SCRATCH0, TICK = (WATCHDOG + offset for offset in (0, 4, 8, 0xC, 0x2C))
ENABLE, TRIGGER = 1 << 30, 1 << 31
ALL_BUT_OSCILLATORS = 0x1FFFC
BASE = 0x20000000


def test_registers_after_power_on() -> None:
    probe = Probe()
    values = probe.run(read(CTRL), read(REASON), read(SCRATCH0), read(TICK))
    assert values == [7 << 24, 0, 0, 0x600]


@settings(max_examples=25, deadline=None)
@given(
    load=st.integers(2, 4000),
    divider=st.integers(1, 40),
    pause=st.integers(0, 1000),
)
def test_countdown_against_the_model(load: int, divider: int, pause: int) -> None:
    """Two counts a tick of clk_ref / CYCLES (erratum RP2040-E1); disabled, it stands still."""
    ticks = -(-load // 2)
    assume(ticks * divider > 40)  # the probe needs some cycles itself
    probe = Probe()
    probe.run(write(TICK, 0x200 | divider), write(LOAD, load))
    probe.wait(pause)
    assert probe.read(CTRL) & 0xFFFFFF == load
    probe.run(write(CTRL, ENABLE))
    started = probe.written_at
    if ticks * divider > 200:
        time = probe.read(CTRL) & 0xFFFFFF
        at = probe.board.cycles - 16  # the load was there
        exact = load - 2 * ((at - started) // divider)
        assert time in (exact, exact + 2)  # ticks a second are rounded down to an integer
    probe.board.chip.S[15] = 0x20000180
    stop = probe.board.run(max_cycles=1_000_000)
    assert stop.reason == "reset"
    assert stop.cycles - started == pytest.approx(ticks * divider, abs=4)  # `b .` takes 2, the reset 2 more


def looping(*halfwords: int) -> Board:
    """A board whose program at reset executes these halfwords and then the literals behind them."""
    board = Board()
    table = struct.pack("<64I", 0x20040000, (BASE + 0x100) | 1, *[0] * 62)
    board.load(table + struct.pack(f"<{len(halfwords)}H", *halfwords), address=BASE)
    return board


# ldr r0, =WATCHDOG; ldr r1, [r0, #0x0c]; adds r1, #1; str r1, [r0, #0x0c]; ldr r2, [r0, #8]; cmp r1, #3; bge stop
# ldr r3, =PSM; ldr r4, =WDSEL; str r4, [r3, #8]; ldr r4, =TRIGGER; str r4, [r0]; b .; stop: bkpt
COUNTS_ITS_STARTS = [
    *(0x4807, 0x68C1, 0x3101, 0x60C1, 0x6882, 0x2903, 0xDA05),
    *(0x4B05, 0x4C05, 0x609C, 0x4C05, 0x6004, 0xE7FE, 0xBE00, 0xBF00, 0xBF00),
    *(0x8000, 0x4005, 0x0000, 0x4001, 0xFFFC, 0x0001, 0x0000, 0x8000),
]


def test_the_firmware_comes_up_again_with_its_scratch_registers() -> None:
    board = looping(*COUNTS_ITS_STARTS)
    stop = board.run(max_cycles=10_000, stop_on_reset=False)
    assert (stop.reason, stop.r1, stop.r2) == ("bkpt", 3, 2)  # the third start, reason FORCE
    assert board.warnings == []


def test_a_run_that_ended_at_a_reset_goes_on_behind_it() -> None:
    board = looping(*COUNTS_ITS_STARTS)
    stops = [board.run(max_cycles=10_000) for _ in range(3)]
    assert [(stop.reason, stop.r1) for stop in stops] == [("reset", 1), ("reset", 2), ("bkpt", 3)]
    assert stops[0].cycles < stops[1].cycles < stops[2].cycles


def test_a_snapshot_at_the_reset_comes_up_too() -> None:
    board = looping(*COUNTS_ITS_STARTS)
    board.run(max_cycles=10_000)
    other = Board()
    other.restore(board.snapshot())
    assert (other.run(max_cycles=10_000).r1, board.run(max_cycles=10_000).r1) == (2, 2)


def test_nothing_selected_is_told() -> None:
    probe = Probe()
    probe.run(write(LOAD, 100), write(CTRL, ENABLE))
    probe.board.chip.S[15] = 0x20000180
    assert probe.board.run(max_cycles=1000).reason == "reset"
    probe.board.run(max_cycles=10)
    assert "PSM.WDSEL and RESETS.WDSEL select nothing: a board runs on" in probe.board.warnings[-1]


def test_what_wdsel_selects_is_reset_and_the_rest_is_not() -> None:
    """Stages behind the first that is selected wait for it; SIO alone keeps clocks and peripherals."""
    gpio_out, io_ctrl = 0xD0000010, 0x40014004
    for wdsel, out, ctrl in ((1 << 14, 0, 5), (ALL_BUT_OSCILLATORS, 0, 0x1F), (1 << 16, 7, 5)):
        probe = Probe()
        probe.run(write(io_ctrl, 5), write(gpio_out, 7), write(PSM + 8, wdsel))
        probe.run(write(SCRATCH0, 77), write(LOAD, 2000), write(CTRL, ENABLE))
        probe.board.chip.S[15] = 0x20000180
        assert probe.board.run(max_cycles=10_000).reason == "reset"
        probe.board.run(max_cycles=1)
        values = probe.run(read(gpio_out), read(io_ctrl), read(SCRATCH0), read(REASON), read(CTRL))
        assert values == [out, ctrl, 77, 1, 0], hex(wdsel)


def test_the_example_firmware_says_why_it_came_up(example_elf: Callable[..., Path]) -> None:
    """The whole way: second stage, clocks, UART, two resets, strictly."""
    board = Board(strict=True)
    board.load(example_elf("watchdog"))
    stop = board.run(max_cycles=20_000_000, stop_on_reset=False)
    assert (stop.reason, stop.r0) == ("bkpt", 3)
    assert board.uart0.sent == b"power on\nstart 1, reason none\nstart 2, reason timer\nstart 3, reason force\n"


def test_the_example_stops_at_its_resets_unless_asked_to_go_on(example_elf: Callable[..., Path]) -> None:
    board = Board()
    board.load(example_elf("watchdog"))
    assert board.run(max_cycles=20_000_000).reason == "reset"
    assert board.uart0.sent.endswith(b"start 1, reason none\n")
    assert board.run(max_cycles=20_000_000).reason == "reset"
    assert board.uart0.sent.endswith(b"start 2, reason timer\n")
