"""RTC against Python's calendar. RP2040 datasheet 4.8."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040.blocks.rtc import Moment, after, matches
from firmware_sim.rp2040.probe import Probe, read, write

RTC, CLOCKS = 0x4005C000, 0x40008000
CLKDIV_M1, SETUP_0, SETUP_1, CTRL, IRQ_SETUP_0, IRQ_SETUP_1, RTC_1, RTC_0, INTR, INTE, INTF, INTS = (
    RTC + 4 * i for i in range(12)
)
CLK_RTC_CTRL, CLK_RTC_DIV = CLOCKS + 0x6C, CLOCKS + 0x70
ENABLE, ACTIVE, LOAD, NOT_LEAP = 1, 2, 16, 1 << 8
SECOND = 1000  # clk_rtc is clk_sys (ring oscillator) here, and a second has 1000 of its cycles
MATCH_ENA, MATCH_ACTIVE = 1 << 28, 1 << 29


def date_word(at: datetime) -> int:
    return at.year << 12 | at.month << 8 | at.day


def time_word(at: datetime) -> int:
    return at.isoweekday() % 7 << 24 | at.hour << 16 | at.minute << 8 | at.second


def shown(at: datetime) -> Moment:
    return Moment(at.year, at.month, at.day, at.isoweekday() % 7, at.hour, at.minute, at.second)


def ready_probe(at: datetime) -> tuple[Probe, int]:
    """A probe whose calendar runs from `at`, and the cycle of its start."""
    probe = Probe()
    probe.board.chip.resets.release("RTC")
    probe.run(write(CLK_RTC_CTRL, 1 << 11 | 2 << 5), write(CLKDIV_M1, SECOND - 1))
    probe.run(write(SETUP_0, date_word(at)), write(SETUP_1, time_word(at)), write(CTRL, LOAD))
    probe.run(write(CTRL, ENABLE))
    return probe, probe.written_at


@settings(max_examples=300, deadline=None)
@given(
    start=st.datetimes(datetime(1901, 1, 1), datetime(2099, 12, 31)),
    seconds=st.one_of(st.integers(0, 400), st.integers(0, 100_000_000)),
)
def test_calendar(start: datetime, seconds: int) -> None:
    start = start.replace(microsecond=0)
    end = start + timedelta(seconds=seconds)
    if end.year < 2100:  # 2100 is no leap year, which the chip does not know
        assert after(shown(start), seconds, never_leap=False) == shown(end)


def test_leap_years_can_be_forced_off() -> None:
    february = Moment(2024, 2, 28, 3, 23, 59, 59)
    assert after(february, 1, never_leap=False).day == 29
    assert (after(february, 1, never_leap=True).month, after(february, 1, never_leap=True).day) == (3, 1)
    assert after(Moment(2100, 2, 28), 86_400, never_leap=False).day == 29, "every fourth year"


@settings(max_examples=25, deadline=None)
@given(start=st.datetimes(datetime(2000, 1, 1), datetime(2098, 1, 1)), wait=st.integers(0, 40_000))
def test_registers_show_the_time(start: datetime, wait: int) -> None:
    start = start.replace(microsecond=0)
    probe, began = ready_probe(start)
    probe.wait(wait)
    time, date, control = probe.run(read(RTC_0), read(RTC_1), read(CTRL))
    asked = probe.board.cycles - 16 - 2 * 15
    expected = start + timedelta(seconds=(asked - began) // SECOND)
    assert (date, time, control) == (date_word(expected), time_word(expected), ENABLE | ACTIVE)


def test_reading_rtc_0_latches_rtc_1() -> None:
    probe, _ = ready_probe(datetime(2026, 12, 31, 23, 59, 59))
    time = probe.read(RTC_0)
    probe.wait(3 * SECOND)
    assert (time & 0xFFFFFF, probe.read(RTC_1)) == (0x173B3B, 2026 << 12 | 12 << 8 | 31)
    assert probe.run(read(RTC_0), read(RTC_1))[1] == 2027 << 12 | 1 << 8 | 1


def test_alarm_comes_at_the_second_and_goes_after_it() -> None:
    start = datetime(2026, 11, 23, 8, 59, 50)
    probe, began = ready_probe(start)
    alarm = start + timedelta(seconds=10)
    probe.run(
        write(INTE, 1),
        write(IRQ_SETUP_0, date_word(alarm) | 7 << 24),
        write(IRQ_SETUP_1, time_word(alarm) | 15 << 28),
        write(IRQ_SETUP_0, date_word(alarm) | 7 << 24 | MATCH_ENA),
    )
    assert probe.read(IRQ_SETUP_0) & MATCH_ACTIVE
    S = probe.board.chip.S
    from firmware_sim.rp2040.layout import LINES

    for cycle, raised in ((9_900, 0), (10_004, 1), (10_900, 1), (11_004, 0)):
        probe.wait_until(began + cycle)
        assert int(S[LINES]) >> 25 & 1 == raised, cycle
    assert probe.run(read(INTR), read(INTS)) == [0, 0]


def test_an_alarm_of_one_field_repeats() -> None:
    probe, began = ready_probe(datetime(2026, 1, 1, 0, 0, 58))
    probe.run(write(INTE, 1), write(IRQ_SETUP_1, 5 | 1 << 28), write(IRQ_SETUP_0, MATCH_ENA))
    for minute in range(3):
        probe.wait_until(began + (7 + 60 * minute) * SECOND + 100)
        assert probe.run(read(INTR), read(INTS)) == [1, 1]
        probe.wait_until(began + (9 + 60 * minute) * SECOND)
        assert probe.run(read(INTR), read(INTS)) == [0, 0]


def test_matching_needs_a_field() -> None:
    assert not matches(Moment(), 0, 0)
    assert matches(Moment(hour=5), 0, 1 << 30 | 5 << 16)


def test_without_clk_rtc_it_stands_still() -> None:
    probe = Probe()
    probe.board.chip.resets.release("RTC")
    probe.run(write(SETUP_0, 2026 << 12 | 1 << 8 | 1), write(CTRL, LOAD), write(CTRL, ENABLE))
    probe.wait(100_000)
    assert probe.run(read(CTRL), read(RTC_0)) == [ENABLE, 0]


def test_a_clock_change_loses_no_second() -> None:
    probe, began = ready_probe(datetime(2026, 1, 1))
    probe.wait_until(began + 2_500)
    probe.run(write(0x40060010, 0xAA0 + 8))  # ROSC.DIV: everything twice as fast
    probe.wait_until(began + 3_200)
    assert probe.read(RTC_0) & 63 == 3
    assert probe.board.clock_hz == pytest.approx(13_000_000)
