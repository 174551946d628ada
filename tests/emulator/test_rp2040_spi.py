"""SPI0 and SPI1 (PL022) as master and slave, against plain models. RP2040 datasheet 4.4, ARM DDI 0194."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040 import Board
from firmware_sim.rp2040.blocks.spi import LBM, MS, REGISTERS, RNE, ROR, RT, RX, SPH, SSE, TX, Spi
from firmware_sim.rp2040.layout import CLK_PERI_HZ, CLK_SYS_HZ, DREQ_LEVEL, LINES, WRITTEN

SPI0, SIO, IO_BANK0, CLK_PERI_CTRL = 0x4003C000, 0xD0000000, 0x40014000, 0x40008048
CS = 17


class Echo:
    """Answers each word with the complement of the one before and notes when it is selected."""

    remembers = ("last", "events")

    def __init__(self) -> None:
        self.last = 0
        self.events: list[Any] = []

    def select(self, active: bool) -> None:
        self.events.append(active)

    def exchange(self, word: int) -> int:
        answer, self.last = ~self.last & 0xFFFF, word
        self.events.append(word)
        return answer


class Bench:
    """A controller driven by hand: registers at a cycle that the test moves."""

    def __init__(self) -> None:
        self.board = Board(native=False)
        self.chip = self.board.chip
        self.block = cast(Spi, self.chip.blocks["SPI0"])
        self.chip.S[CLK_SYS_HZ] = self.chip.S[CLK_PERI_HZ] = 125_000_000
        self.cycle = 0

    def write(self, name: str, value: int) -> None:
        self.chip._now = self.cycle
        self.chip.S[WRITTEN] = value
        self.block.store(REGISTERS[name].offset, value, self.cycle)

    def read(self, name: str) -> int:
        self.chip._now = self.cycle
        return self.block.load(REGISTERS[name].offset, False)

    def set_up(self, bits: int = 8, control: int = SSE, phase: int = SPH, prescale: int = 2, rate: int = 0) -> None:
        self.write("SSPCPSR", prescale)
        self.write("SSPCR0", bits - 1 | phase | rate << 8)
        self.write("SSPCR1", control)

    def drain(self) -> list[int]:
        words = []
        while self.read("SSPSR") & RNE:
            words.append(self.read("SSPDR"))
        return words


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=24), st.integers(4, 16), st.booleans(), st.booleans())
def test_words_go_out_and_in(words: list[int], bits: int, loop: bool, watched: bool) -> None:
    """Whether frames are events (an interrupt is enabled) or caught up with changes nothing."""
    bench = Bench()
    device = bench.board.spi0.attach(Echo())
    bench.set_up(bits, SSE | (LBM if loop else 0))
    if watched:
        bench.write("SSPIMSC", ROR)
    mask = (1 << bits) - 1
    received: list[int] = []
    sent: list[int] = []
    for at in range(0, len(words), 8):
        for word in words[at : at + 8]:
            bench.write("SSPDR", word)
            sent.append(word & mask)
        if watched:
            while (event := bench.block.next_event()) is not None:
                bench.cycle = event
                bench.block.due(event)
        bench.cycle += 10_000
        assert bench.read("SSPSR") & 0x11 == 1, "empty and idle"
        received += bench.drain()
    assert device.events == sent
    answers = [~word & mask for word in [0, *sent[:-1]]]
    assert received == (sent if loop else answers)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 127), st.integers(0, 255), st.integers(4, 16), st.integers(1, 8), st.booleans())
def test_frames_take_their_time(half: int, rate: int, bits: int, count: int, phase: bool) -> None:
    """CPSDVSR * (1 + SCR) cycles of clk_peri a bit; with SPH = 0 one and a half bits between two frames."""
    bench = Bench()
    bench.set_up(bits, phase=SPH if phase else 0, prescale=2 * half, rate=rate)
    bench.write("SSPIMSC", ROR)
    for _ in range(count):
        bench.write("SSPDR", 1)
    bit = 2 * half * (1 + rate)
    while (event := bench.block.next_event()) is not None:
        bench.cycle = event
        bench.block.due(event)
    gap = 0 if phase else 3 * bit // 2
    assert bench.cycle == count * bits * bit + (count - 1) * gap


def test_status_interrupts_and_requests_follow_the_fifos() -> None:
    bench = Bench()
    S = bench.chip.S
    bench.set_up(control=0)
    bench.write("SSPDMACR", 3)
    bench.write("SSPIMSC", TX)
    assert (bench.read("SSPSR"), bench.read("SSPRIS"), int(S[LINES]) >> 18 & 1) == (3, TX, 1)
    for count in range(1, 10):
        bench.write("SSPDR", count)
        full = count >= 8
        assert bench.read("SSPSR") & 3 == (0 if full else 2)
        assert bool(bench.read("SSPRIS") & TX) == (count <= 4) == bool(int(S[LINES]) >> 18 & 1)
        assert int(S[DREQ_LEVEL]) >> 16 & 3 == 0, "off without SSE"
    bench.write("SSPCR1", SSE)
    assert int(S[DREQ_LEVEL]) >> 16 & 3 == 1, "the shift register has taken one"
    bench.write("SSPIMSC", RX)
    bench.cycle += 10_000
    assert bench.read("SSPMIS") == RX
    assert int(S[DREQ_LEVEL]) >> 16 & 3 == 3
    assert bench.read("SSPSR") & 0xC == 0xC
    bench.write("SSPDR", 1)
    bench.cycle += 10_000
    assert bench.read("SSPRIS") & ROR, "a ninth word is lost"
    bench.write("SSPICR", ROR)
    assert not bench.read("SSPRIS") & ROR
    for left in range(7, -1, -1):
        bench.read("SSPDR")
        assert bool(bench.read("SSPMIS")) == (left >= 4), "the level is half of the depth"
    assert int(S[DREQ_LEVEL]) >> 16 & 3 == 1
    assert bench.read("SSPDR") == 0


def test_receive_timeout() -> None:
    bench = Bench()
    bench.set_up(prescale=4)
    bench.write("SSPIMSC", RT)
    bench.write("SSPDR", 1)
    bench.cycle = 8 * 4
    bench.block.due(bench.cycle)
    assert bench.block.next_event() == (8 + 32) * 4
    bench.cycle = (8 + 32) * 4
    bench.block.due(bench.cycle)
    assert bench.read("SSPMIS") == RT
    bench.write("SSPICR", RT)
    assert bench.read("SSPMIS") == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=8), st.lists(st.integers(0, 255), max_size=8))
def test_the_chip_as_slave(from_master: list[int], from_chip: list[int]) -> None:
    bench = Bench()
    bench.set_up(control=SSE | MS)
    for word in from_chip:
        bench.write("SSPDR", word)
    bench.board.spi0.exchange(from_master, hz=1_000_000)
    while (event := bench.block.next_event()) is not None:
        bench.cycle = event
        bench.block.due(event)
    assert bench.drain() == from_master
    answers = from_chip[: len(from_master)]
    assert bench.board.spi0.finished() == [answers + [0] * (len(from_master) - len(answers))]
    assert bench.cycle == pytest.approx(len(from_master) * 8 * 125, abs=len(from_master))


def script(select: bool = True) -> list[Any]:
    """Three words with the chip select low, one with it high, as firmware would send them."""
    pin = 1 << CS
    return [
        (CLK_PERI_CTRL, 0x800),
        (IO_BANK0 + 4 + 8 * 18, 1),
        (IO_BANK0 + 4 + 8 * CS, 5 if select else 1),
        (SIO + 0x14, pin),
        (SIO + 0x24, pin),
        (SPI0 + 0x10, 2),
        (SPI0, 7),
        (SPI0 + 4, 2),
        (SIO + 0x18, pin),
        *[(SPI0 + 8, word) for word in (1, 2, 3)],
        200,
        (SIO + 0x14, pin),
        (SPI0 + 8, 4),
        100,
        *[(SPI0 + 8,)] * 4,
    ]


def test_a_program_selects_a_device_and_a_snapshot_repeats_it(bus_probe: Any) -> None:
    device = bus_probe.board.spi0.attach(Echo(), chip_select=CS)
    bus_probe.board.reset()
    device.events.clear()
    saved = bus_probe.board.snapshot()
    values = bus_probe.run(*script())
    assert values == [0xFF, 0xFE, 0xFD, 0]
    assert [event for event in device.events if not isinstance(event, bool)] == [1, 2, 3]
    selected = [event for event in device.events if isinstance(event, bool)]
    assert selected[-2:] == [True, False]
    events = list(device.events)
    bus_probe.board.restore(saved)
    assert device.events == []
    assert bus_probe.run(*script()) == values
    assert device.events == events
    assert not any("SCK" in warning for warning in bus_probe.board.warnings)


def test_a_bus_without_a_clock_pin_is_told(bus_probe: Any) -> None:
    bus_probe.run((CLK_PERI_CTRL, 0x800), (SPI0 + 0x10, 2), (SPI0, 7), (SPI0 + 4, 2), (SPI0 + 8, 1), 100)
    assert "SPI0 sends, but no GPIO is its SCK: on a board nobody would notice" in bus_probe.board.warnings


def test_a_chip_select_that_the_controller_drives(bus_probe: Any) -> None:
    """Pin function SPI: low for each frame, and high between them with SPH = 0."""
    device = bus_probe.board.spi0.attach(Echo(), chip_select=CS)
    bus_probe.run((IO_BANK0 + 4 + 8 * CS, 1))
    device.events.clear()
    values = bus_probe.run(*script(select=False))
    assert values == [0xFF, 0xFE, 0xFD, 0xFC]
    assert device.events == [True, 1, False, True, 2, False, True, 3, False, True, 4, False]
    assert bus_probe.board.gpio.read(CS) == 1, "idle high"
