"""ADC: conversions, FIFO, round robin, pacing, temperature. RP2040 datasheet 4.9."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040.probe import Probe, read, write
from shared.errors import BadInputError

ADC, CLOCKS = 0x4004C000, 0x40008000
CS, RESULT, FCS, FIFO, DIV, INTR, INTE, INTF, INTS = (ADC + 4 * i for i in range(9))
EN, TS_EN, START_ONCE, START_MANY, READY = 1, 2, 4, 8, 1 << 8
CONVERSION = 96  # clk_adc runs from the ring oscillator here, as clk_sys does


def ready_probe() -> Probe:
    probe = Probe()
    probe.board.chip.resets.release("ADC")
    probe.run(write(CLOCKS + 0x60, 1 << 11 | 2 << 5))  # CLK_ADC_CTRL: ENABLE, ROSC
    return probe


@pytest.fixture
def probe() -> Probe:
    return ready_probe()


def volts_to_code(volts: float) -> int:
    return max(0, min(4095, int(volts / 3.3 * 4096)))


def test_reset_values_and_ready(probe: Probe) -> None:
    values = probe.run(*[read(ADC + 4 * i) for i in range(9)])
    assert values == [0, 0, 0x100, 0, 0, 0, 0, 0, 0]
    assert probe.run(write(CS, EN), read(CS)) == [EN | READY]


@settings(max_examples=40, deadline=None)
@given(channel=st.integers(0, 3), volts=st.floats(-0.5, 4.0))
def test_one_conversion(channel: int, volts: float) -> None:
    probe = ready_probe()
    probe.board.adc.set_volts(channel, volts)
    busy = probe.run(write(CS, EN | channel << 12 | START_ONCE), read(CS))[0]
    assert busy == EN | channel << 12, "READY goes away, START_ONCE clears itself"
    probe.wait(CONVERSION)
    assert probe.run(read(CS), read(RESULT)) == [EN | READY | channel << 12, volts_to_code(volts)]


def test_a_conversion_takes_96_clocks(probe: Probe) -> None:
    probe.board.adc.set_volts(0, 3.0)
    for wait, done in ((84, False), (90, True)):
        probe.run(write(CS, EN | START_ONCE))
        start = probe.written_at
        probe.wait_until(start + wait)
        ready = probe.read(CS) & READY
        asked_at = probe.board.cycles - 16
        assert bool(ready) == (asked_at - start >= CONVERSION) == done, (asked_at - start, wait)
        probe.wait(100)


def test_temperature_sensor(probe: Probe) -> None:
    for celsius in (-20.0, 0.0, 27.0, 85.0):
        probe.board.adc.temperature_c = celsius
        probe.run(write(CS, EN | TS_EN | 4 << 12 | START_ONCE))
        probe.wait(100)
        volts = probe.read(RESULT) * 3.3 / 4096
        assert 27 - (volts - 0.706) / 0.001721 == pytest.approx(celsius, abs=0.5)
    probe.run(write(CS, EN | 4 << 12 | START_ONCE))
    probe.wait(100)
    assert probe.read(RESULT) == 0, "without its bias the sensor gives nothing"


@settings(max_examples=30, deadline=None)
@given(robin=st.integers(1, 31), first=st.integers(0, 4), count=st.integers(1, 4))
def test_round_robin(robin: int, first: int, count: int) -> None:
    """The first conversion is AINSEL's; then the selected channels take turns upwards."""
    probe = ready_probe()
    for channel in range(5):
        probe.board.adc.set_volts(channel, (channel + 1) * 0.5)
    probe.run(write(FCS, 1), write(CS, EN | TS_EN | first << 12 | robin << 16 | START_MANY))
    start = probe.written_at
    probe.wait_until(start + CONVERSION * count + 20)
    probe.run(write(CS, 0))
    expected, channel = [], first
    for _ in range(count):
        expected.append(volts_to_code((channel + 1) * 0.5))
        channel = next(c % 5 for c in range(channel + 1, channel + 6) if robin >> c % 5 & 1)
    assert probe.run(*[read(FIFO)] * count) == expected


@settings(max_examples=30, deadline=None)
@given(integer=st.integers(0, 400), fraction=st.integers(0, 255), cycles=st.integers(100, 3000))
def test_pacing(integer: int, fraction: int, cycles: int) -> None:
    """A conversion every 1 + INT + FRAC / 256 clocks of clk_adc, but no sooner than the last is over."""
    probe = ready_probe()
    probe.run(write(DIV, integer << 8 | fraction), write(FCS, 1), write(CS, EN | START_MANY))
    start = probe.written_at
    probe.wait(cycles)
    level = probe.read(FCS) >> 16 & 15
    at = (probe.board.cycles - 16 - start) * 256
    period = max(256 + (integer << 8 | fraction), CONVERSION * 256) if integer << 8 | fraction else CONVERSION * 256
    done = max(0, (at - CONVERSION * 256) // period + 1) if at >= CONVERSION * 256 else 0
    assert level == min(4, done)


def test_fifo_flags_threshold_and_shift(probe: Probe) -> None:
    probe.board.adc.set_volts(0, 3.3 * 0x9AB / 4096 + 0.0001)
    probe.run(write(FCS, 1 | 3 << 24 | 8), write(INTE, 1), write(CS, EN | START_MANY))
    start = probe.written_at
    S = probe.board.chip.S
    from firmware_sim.rp2040.layout import DREQ_LEVEL, LINES

    for count in (1, 2, 3, 4, 5):
        probe.wait_until(start + CONVERSION * count)
        status, intr, ints = probe.run(read(FCS), read(INTR), read(INTS))
        assert status >> 16 & 15 == min(4, count)
        assert (intr, ints) == (count >= 3, count >= 3)
        assert int(S[LINES]) >> 22 & 1 == (count >= 3)
        assert int(S[DREQ_LEVEL]) >> 36 & 1 == (count >= 3)
        assert status >> 11 & 1 == (count == 5), "OVER"
    probe.run(write(CS, EN))
    probe.wait(100)
    assert probe.run(*[read(FIFO)] * 4) == [0x9AB] * 4
    assert probe.run(read(FIFO), read(FCS))[1] & 0xD00 == 0xD00, "UNDER, OVER, EMPTY"
    assert probe.run(write(FCS, 0xC00 | 3), read(FCS)) == [0x103]
    probe.run(write(CS, EN | START_ONCE))
    probe.wait(100)
    assert probe.read(FIFO) == 0x9A


def test_without_clk_adc_nothing_is_converted() -> None:
    probe = Probe()
    probe.board.chip.resets.release("ADC")
    probe.run(write(CS, EN | START_ONCE))
    probe.wait(10_000)
    assert probe.read(CS) & READY == 0


def test_there_is_no_channel_5(probe: Probe) -> None:
    with pytest.raises(BadInputError, match="no ADC channel 5: 0 to 3 are GPIO 26 to 29"):
        probe.board.adc.set_volts(5, 1)
