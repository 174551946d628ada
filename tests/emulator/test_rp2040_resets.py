"""RESETS, PSM, VREG_AND_CHIP_RESET and the blocks that identify the chip. RP2040 datasheet 2.12 to 2.14."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040 import Board
from firmware_sim.rp2040.blocks.resets import ALL, BY_BOOT_ROM, SUBSYSTEMS
from firmware_sim.rp2040.boot import boot2_crc
from firmware_sim.rp2040.probe import Probe, read, write

RESETS, PSM, VREG, WATCHDOG = 0x4000C000, 0x40010000, 0x40064000, 0x40058000
SET, CLR = 0x2000, 0x3000
IO_BANK0, SYSINFO, SYSCFG, TBMAN = 0x40014000, 0x40000000, 0x40004000, 0x4006C000
GPIO0_CTRL = IO_BANK0 + 4


@pytest.fixture
def strict_probe() -> Probe:
    """A probe whose blocks stay in reset until the program releases them, as on a board."""
    probe = Probe()
    probe.board.chip.resets.lenient = False
    return probe


def test_what_firmware_meets() -> None:
    probe = Probe()
    reset, done = probe.run(read(RESETS), read(RESETS + 8))
    released = sum(1 << SUBSYSTEMS.index(name) for name in BY_BOOT_ROM)
    assert (reset, done) == (ALL & ~released, released)


def test_a_held_block_does_not_answer(strict_probe: Probe) -> None:
    probe, bit = strict_probe, 1 << SUBSYSTEMS.index("IO_BANK0")
    values = probe.run(
        write(GPIO0_CTRL, 5),
        read(GPIO0_CTRL),
        write(RESETS + CLR, bit),
        read(GPIO0_CTRL),
        write(GPIO0_CTRL, 5),
        read(GPIO0_CTRL),
    )
    assert values == [0, 0x1F, 5]
    assert [line for line in probe.board.warnings if "IO_BANK0" in line] == [
        "IO_BANK0 is held by RESETS.RESET: it reads 0 and ignores writes (pc 0x2000010e)"
    ]


def test_a_reset_resets(strict_probe: Probe) -> None:
    probe, bit = strict_probe, 1 << SUBSYSTEMS.index("IO_BANK0")
    probe.run(write(RESETS + CLR, bit), write(GPIO0_CTRL, 5), write(RESETS + SET, bit), write(RESETS + CLR, bit))
    assert probe.read(GPIO0_CTRL) == 0x1F
    assert probe.board.gpio.function(0) == ""


def test_timer_and_uart_lose_their_state_in_reset() -> None:
    probe = Probe()
    timer, uart0 = (1 << SUBSYSTEMS.index(name) for name in ("TIMER", "UART0"))
    probe.run(write(RESETS + CLR, timer | uart0))
    probe.run(write(0x40054004, 5), write(0x40054000, 9), write(0x40054038, 15), write(0x40034024, 77))
    probe.run(write(RESETS + SET, timer | uart0), write(RESETS + CLR, timer | uart0))
    high, inte, baud = probe.run(read(0x40054024), read(0x40054038), read(0x40034024))
    assert (high, inte, baud) == (0, 0, 0)


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from([0, SET, CLR]), st.integers(0, (1 << 32) - 1)), max_size=6))
def test_reset_and_done_against_the_model(steps: list[tuple[int, int]]) -> None:
    probe, reset = SHARED, SHARED.read(RESETS)
    for alias, value in steps:
        reset = {0: value, SET: reset | value, CLR: reset & ~value}[alias] & ALL
        got = probe.run(write(RESETS + alias, value), read(RESETS), read(RESETS + 8))
        assert got == [reset, ~reset & ALL]


SHARED = Probe()


def test_programs_without_a_second_stage_are_treated_kindly() -> None:
    probe = Probe()
    assert probe.run(write(GPIO0_CTRL, 5), read(GPIO0_CTRL)) == [5]
    assert probe.board.warnings == [
        "IO_BANK0 was used while RESETS.RESET holds it: released here, a board would ignore it (pc 0x2000010e)"
    ]


def test_firmware_with_a_second_stage_is_not() -> None:
    """ldr r0, =GPIO0_CTRL; movs r1, #5; str r1, [r0]; ldr r2, [r0]; bkpt."""
    code = struct.pack("<5HHI", 0x4802, 0x2105, 0x6001, 0x6802, 0xBE00, 0, GPIO0_CTRL).ljust(252, b"\0")
    board = Board()
    board.load(code + boot2_crc(code).to_bytes(4, "little"), address=0x10000000)
    stop = board.run(max_cycles=1000)
    assert (stop.reason, stop.r2) == ("bkpt", 0)
    assert "IO_BANK0 is held by RESETS.RESET" in board.warnings[0]


def test_waiting_for_a_block_whose_clock_stands_still_is_told() -> None:
    probe = Probe()
    probe.run(write(RESETS + CLR, 1 << SUBSYSTEMS.index("UART0")), read(RESETS + 8))
    assert probe.board.warnings == [
        "RESETS.RESET_DONE of UART0 was read while clk_peri stands still: it may never be set (pc 0x20000108)"
    ]


def test_psm_registers() -> None:
    probe = Probe()
    values = probe.run(read(PSM), read(PSM + 4), write(PSM + 8, 0xFFFFFFFF), read(PSM + 8), read(PSM + 12))
    assert values == [0, 0, 0x1FFFF, 0x1FFFF]
    values = probe.run(write(PSM + 4 + SET, 1 << 14), read(PSM + 12), write(PSM + 4 + CLR, 1 << 14), read(PSM + 12))
    assert values == [0x1FFFF & ~(1 << 14), 0x1FFFF]


def test_the_sio_stage_forgets_its_outputs() -> None:
    probe = Probe()
    probe.run(write(0xD0000010, 0x55), write(PSM + 4 + SET, 1 << 14), write(PSM + 4 + CLR, 1 << 14))
    assert probe.read(0xD0000010) == 0


def test_vreg_and_the_reason_of_the_reset() -> None:
    probe = Probe()
    values = probe.run(read(VREG), read(VREG + 4), read(VREG + 8))
    assert values == [0x10B1, 0x91, 0x100]
    assert probe.board.chip.vreg.volts == pytest.approx(1.10)
    probe.run(write(VREG, 0x1061))
    assert probe.read(VREG) == 0x1061
    assert probe.board.chip.vreg.volts == pytest.approx(0.85)


def test_identity() -> None:
    probe = Probe()
    values = probe.run(read(SYSINFO), read(SYSINFO + 4), read(TBMAN), read(SYSCFG + 8), read(SYSCFG + 0x14))
    assert values == [0x20002927, 2, 1, 0x10000000, 0x66]
