"""CLOCKS, XOSC, ROSC and the PLLs against the formulas of the datasheet (2.15 to 2.18)."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040.probe import Probe, read, write

CLOCKS, XOSC, ROSC, PLL_SYS, RESETS = 0x40008000, 0x40024000, 0x40060000, 0x40028000, 0x4000C000
REF, SYS, PERI, USB, ADC, RTC = (CLOCKS + offset for offset in (0x30, 0x3C, 0x48, 0x54, 0x60, 0x6C))
CTRL, DIV, SELECTED = 0, 4, 8
RESUS_CTRL, RESUS_STATUS = CLOCKS + 0x78, CLOCKS + 0x7C
FC0_REF_KHZ, FC0_MIN, FC0_MAX, FC0_INTERVAL, FC0_SRC, FC0_STATUS, FC0_RESULT = (
    CLOCKS + offset for offset in (0x80, 0x84, 0x88, 0x90, 0x94, 0x98, 0x9C)
)
INTE, INTS = CLOCKS + 0xBC, CLOCKS + 0xC4
ENABLE = 1 << 11
STABLE = LOCK = 1 << 31
XOSC_ON = 0xFABAA0


def started(feedback: int = 125, post1: int = 6, post2: int = 2) -> Probe:
    """A probe whose crystal and PLL_SYS run."""
    probe = Probe()
    probe.board.chip.resets.release("PLL_SYS")
    probe.run(write(XOSC + 0x0C, 1), write(XOSC, XOSC_ON))
    probe.wait(1000)
    probe.run(write(PLL_SYS + 8, feedback), write(PLL_SYS + 4, 0), write(PLL_SYS + 0xC, post1 << 16 | post2 << 12))
    probe.wait(1000)
    return probe


def test_after_reset_everything_runs_from_the_ring_oscillator() -> None:
    probe = Probe()
    assert probe.board.clock_hz == 6_500_000
    values = probe.run(
        read(REF + SELECTED), read(SYS + SELECTED), read(PERI + SELECTED), read(ROSC + 0x18), read(XOSC + 4)
    )
    assert values == [1, 1, 1, STABLE | 1 << 16 | 1 << 12, 0]


@pytest.mark.parametrize("delay", [1, 10, 47])
def test_the_crystal_takes_its_start_up_delay(delay: int) -> None:
    """STARTUP.DELAY * 256 cycles of 12 MHz; clk_sys counts at 6.5 MHz meanwhile."""
    probe = Probe()
    probe.run(write(XOSC + 0x0C, delay), write(XOSC, XOSC_ON))
    start = probe.written_at
    expected = delay * 256 * 6_500_000 // 12_000_000
    probe.wait_until(start + expected - 25)
    assert probe.read(XOSC + 4) == 1 << 12
    probe.wait_until(start + expected)
    assert probe.read(XOSC + 4) == STABLE | 1 << 12


@settings(max_examples=40, deadline=None)
@given(
    feedback=st.integers(63, 133), post1=st.integers(1, 7), post2=st.integers(1, 7), divider=st.integers(0x100, 0x900)
)
def test_pll_and_divider(feedback: int, post1: int, post2: int, divider: int) -> None:
    probe = started(feedback, post1, post2)
    assert probe.read(PLL_SYS) & LOCK
    probe.run(write(SYS + DIV, divider), write(SYS + CTRL, 1))
    assert probe.read(SYS + SELECTED) == 2
    exact = Fraction(12_000_000 * feedback, post1 * post2) * 256 / divider
    assert abs(probe.board.clock_hz - exact) <= 2
    assert probe.board.warnings == []


def test_the_mux_waits_for_its_source() -> None:
    """clk_sys asked for a PLL that does not run stays where it is, and changes over when the PLL locks."""
    probe = Probe()
    probe.board.chip.resets.release("PLL_SYS")
    probe.run(write(SYS + CTRL, 1))
    assert probe.run(read(SYS + SELECTED), read(SYS + CTRL)) == [1, 1]
    probe.run(write(XOSC + 0x0C, 1), write(XOSC, XOSC_ON))
    probe.wait(500)
    probe.run(write(PLL_SYS + 8, 125), write(PLL_SYS + 0xC, 0x62000), write(PLL_SYS + 4, 0))
    assert probe.run(read(PLL_SYS), read(SYS + SELECTED)) == [1, 1]
    probe.wait(500)
    assert probe.run(read(PLL_SYS), read(SYS + SELECTED)) == [1 | LOCK, 2]
    assert probe.board.clock_hz == 125_000_000


@settings(max_examples=40, deadline=None)
@given(
    generator=st.sampled_from([(PERI, "PERI"), (USB, "USB"), (ADC, "ADC"), (RTC, "RTC")]),
    source=st.integers(0, 7),
    divider=st.integers(0x100, 0x3FF),
    enabled=st.booleans(),
)
def test_auxiliary_generators(generator: tuple[int, str], source: int, divider: int, enabled: bool) -> None:
    probe, (at, name) = SHARED, generator
    probe.run(write(at + DIV, divider), write(at + CTRL, source << 5 | ENABLE * enabled))
    pll, rosc, xosc = 125_000_000, 6_500_000, 12_000_000
    common = (0, pll, rosc, xosc, 0, 0, 0, 0)  # PLL_USB is off
    hz = (6_500_000, pll, 0, rosc, xosc, 0, 0, 0)[source] if name == "PERI" else common[source]
    if name in ("USB", "ADC"):
        hz = hz * 256 // (divider & 0x300)
    elif name == "RTC":
        hz = hz * 256 // divider
    assert probe.board.chip.clocks.hz(name) == hz * enabled


SHARED = started()


def test_uart_speed_follows_clk_peri() -> None:
    probe = started()
    probe.board.chip.resets.release("UART0")
    probe.run(write(PERI + CTRL, ENABLE | 4 << 5), write(0x40034024, 6), write(0x40034028, 33), write(0x4003402C, 0x70))
    probe.run(write(0x40034030, 0x301))
    assert probe.board.uart0.baud == pytest.approx(115_200, rel=0.002)


@pytest.mark.parametrize(
    ("feedback", "text"), [(40, "a VCO of 480 MHz is outside"), (150, "a VCO of 1800 MHz is outside")]
)
def test_a_vco_out_of_range_is_told(feedback: int, text: str) -> None:
    assert any(text in line for line in started(feedback).board.warnings)


def test_a_reference_below_5_mhz_is_told() -> None:
    probe = Probe()
    probe.board.chip.resets.release("PLL_SYS")
    probe.run(write(XOSC + 0x0C, 1), write(XOSC, XOSC_ON), write(PLL_SYS, 3), write(PLL_SYS + 8, 250))
    probe.wait(1000)
    probe.run(write(PLL_SYS + 4, 0))
    assert any("a reference of 4.00 MHz (CS.REFDIV) is below 5 MHz" in line for line in probe.board.warnings)


def test_a_pll_in_reset_is_off() -> None:
    probe = started()
    probe.run(write(RESETS + 0x2000, 1 << 12), write(RESETS + 0x3000, 1 << 12))
    assert probe.run(read(PLL_SYS), read(PLL_SYS + 4)) == [1, 0x2D]


def test_clk_sys_is_resuscitated() -> None:
    """The PLL goes away under clk_sys: with RESUS enabled clk_ref takes over and CLOCKS_IRQ comes."""
    probe = started()
    probe.run(write(INTE, 1), write(RESUS_CTRL, 1 << 8 | 0xFF), write(SYS + CTRL, 1))
    assert probe.board.clock_hz == 125_000_000
    probe.run(write(PLL_SYS + 4, 0x2D))
    assert probe.board.clock_hz == 6_500_000
    status, ints, selected, pending = probe.run(read(RESUS_STATUS), read(INTS), read(SYS + SELECTED), read(0xE000E200))
    assert (status, ints, selected, pending >> 17 & 1) == (1, 1, 1, 1)
    probe.run(write(SYS + CTRL, 0), write(RESUS_CTRL, 1 << 16))
    assert probe.run(read(RESUS_STATUS), read(INTS)) == [0, 0]
    assert probe.board.warnings == []


def test_without_resus_a_board_hangs_and_this_is_told() -> None:
    probe = started()
    probe.run(write(SYS + CTRL, 1), write(PLL_SYS + 4, 0x2D))
    assert "clk_sys stands still, its source is off: a board hangs here" in probe.board.warnings[0]


def test_frequency_counter() -> None:
    probe = started()
    for source, khz in ((1, 125_000), (3, 6_500), (5, 12_000), (8, 6_500), (9, 6_500), (2, 0)):
        probe.run(write(FC0_INTERVAL, 10), write(FC0_MIN, 10_000), write(FC0_MAX, 100_000), write(FC0_SRC, source))
        assert probe.read(FC0_STATUS) == 1 << 8, "RUNNING"
        probe.wait(6_600)  # 0.98 us * 2 ** 10 at 6.5 MHz
        status, result = probe.run(read(FC0_STATUS), read(FC0_RESULT))
        assert result == khz * 32
        assert status & 1 << 4, "DONE"
        assert bool(status & 1) == (10_000 <= khz <= 100_000)
        assert (bool(status & 1 << 20), bool(status & 1 << 24)) == (khz < 10_000, khz > 100_000)
        assert bool(status & 1 << 28) == (khz == 0), "DIED"


def test_ring_oscillator_divider_and_range() -> None:
    probe = Probe()
    for divider, hz in ((0xAA0 + 8, 13_000_000), (0xAA0, 3_250_000), (0x123, 104_000_000 // 31)):
        probe.run(write(ROSC + 0x10, divider))
        assert probe.board.clock_hz == hz
    probe.run(write(ROSC + 0x10, 0xAB0), write(ROSC, 0xFAB000 | 0xFA7))
    assert probe.board.clock_hz == 13_000_000


def test_random_bits_repeat_and_are_balanced() -> None:
    first, second = ([bits := Probe().run(*[read(ROSC + 0x1C)] * 400), bits][0] for _ in range(2))
    assert first == second
    assert 150 < sum(first) < 250


def test_xosc_count_runs_down() -> None:
    probe = started()
    probe.run(write(XOSC + 0x1C, 255))
    first = probe.read(XOSC + 0x1C)
    probe.wait(20)
    second = probe.read(XOSC + 0x1C)
    probe.wait(200)
    assert 255 > first > second > 0 == probe.read(XOSC + 0x1C)


def test_gates_are_told() -> None:
    probe = Probe()
    probe.run(write(CLOCKS + 0xA0, 0))
    assert probe.read(CLOCKS + 0xB0) == 0
    assert "CLOCKS.WAKE_EN0 gates clocks, which is not modelled" in probe.board.warnings[0]
