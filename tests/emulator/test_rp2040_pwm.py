"""PWM against a model that counts cycle by cycle. RP2040 datasheet 4.5."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040.gpio import Edge
from firmware_sim.rp2040.probe import Probe, read, write

PWM, IO_BANK0, NVIC_ISPR, NVIC_ICPR = 0x40050000, 0x40014000, 0xE000E200, 0xE000E280
EN_ALL, INTR, INTE, INTF, INTS = (PWM + offset for offset in (0xA0, 0xA4, 0xA8, 0xAC, 0xB0))
PWM_FUNCTION = 4
EN, PH_CORRECT, A_INV, B_INV, PH_RET, PH_ADV = 1, 2, 4, 8, 1 << 6, 1 << 7
GATED, RISING, FALLING = 1 << 4, 2 << 4, 3 << 4


def slice_at(index: int) -> int:
    return PWM + 0x14 * index


@pytest.fixture
def probe() -> Probe:
    probe = Probe()
    probe.board.chip.resets.release("PWM", "IO_BANK0", "PADS_BANK0")
    return probe


@dataclass
class Model:
    """One free-running slice, stepped cycle by cycle."""

    divider: int  # sixteenths
    top: int
    compare: tuple[int, int]
    phase_correct: bool
    inverted: tuple[bool, bool] = (False, False)
    counter: int = 0
    falling: bool = False
    sixteenths: int = 0
    wraps: int = 0
    next_compare: tuple[int, int] | None = None
    trace: list[tuple[int, int]] = field(default_factory=list)

    def outputs(self) -> tuple[int, int]:
        a, b = (int(self.counter < self.compare[i]) ^ int(self.inverted[i]) for i in (0, 1))
        return a, b

    def step(self) -> None:
        self.sixteenths += 16
        while self.sixteenths >= self.divider:
            self.sixteenths -= self.divider
            self.tick()

    def tick(self) -> None:
        if self.phase_correct:
            if not self.falling and self.counter == self.top:
                self.falling = True  # both ends last two ticks
            elif self.falling and self.counter == 0:
                self.falling = False
                self.wrap()
            else:
                self.counter += -1 if self.falling else 1
        elif self.counter == self.top:
            self.counter = 0
            self.wrap()
        else:
            self.counter += 1

    def wrap(self) -> None:
        self.wraps += 1
        if self.next_compare is not None:
            self.compare = self.next_compare


def test_reset_values(probe: Probe) -> None:
    values = probe.run(*[read(slice_at(3) + 4 * i) for i in range(5)], read(EN_ALL), read(INTE))
    assert values == [0, 0x10, 0, 0, 0xFFFF, 0, 0]


@settings(max_examples=60, deadline=None)
@given(
    index=st.integers(0, 7),
    divider=st.one_of(st.just(16), st.integers(16, 80)),
    top=st.integers(0, 40),
    compare=st.tuples(st.integers(0, 42), st.integers(0, 42)),
    phase_correct=st.booleans(),
    inverted=st.tuples(st.booleans(), st.booleans()),
    cycles=st.integers(30, 900),
)
def test_edges_and_counter_against_the_model(
    index: int,
    divider: int,
    top: int,
    compare: tuple[int, int],
    phase_correct: bool,
    inverted: tuple[bool, bool],
    cycles: int,
) -> None:
    probe = Probe()
    probe.board.chip.resets.release("PWM", "IO_BANK0", "PADS_BANK0")
    at, gpio = slice_at(index), probe.board.gpio
    control = EN | PH_CORRECT * phase_correct | A_INV * inverted[0] | B_INV * inverted[1]
    probe.run(
        write(IO_BANK0 + 8 * (2 * index) + 4, PWM_FUNCTION),
        write(IO_BANK0 + 8 * (2 * index + 1) + 4, PWM_FUNCTION),
        write(at + 4, divider),
        write(at + 0x10, top),
        write(at + 0xC, compare[0] | compare[1] << 16),
        write(at, control & ~EN),
    )
    gpio.watch(2 * index)
    gpio.watch(2 * index + 1)
    probe.run(write(at, control))
    start = probe.written_at
    probe.wait(cycles)
    counter, intr = probe.run(read(at + 8), read(INTR))
    read_at = probe.board.cycles - 16 - 15  # of the first load: 15 cycles to the second, then 16 to the end
    model = Model(divider, top, compare, phase_correct, inverted)
    expected: list[Edge] = []
    levels = model.outputs()
    for cycle in range(start + 1, probe.board.cycles + 1):
        model.step()
        if cycle == read_at:
            assert counter == model.counter
        if cycle == read_at + 15:
            assert intr >> index & 1 == (model.wraps > 0)
        for channel, (old, new) in enumerate(zip(levels, model.outputs(), strict=True)):
            if old != new:
                expected.append(Edge(cycle, 2 * index + channel, new))
        levels = model.outputs()
    assert gpio.edges == expected


def test_levels_without_any_event(probe: Probe) -> None:
    """Nobody watches: GPIO_IN is right all the same, and the chip schedules nothing."""
    at, sio_in = slice_at(2), 0xD0000004
    probe.run(write(IO_BANK0 + 8 * 4 + 4, PWM_FUNCTION), write(at + 0x10, 99), write(at + 0xC, 50))
    probe.run(write(at, EN))
    start = probe.written_at
    for _ in range(30):
        level = probe.read(sio_in) >> 4 & 1
        at_cycle = probe.board.cycles - 13  # SIO: 3 cycles less than APB
        assert level == ((at_cycle - start) % 100 < 50)
        probe.wait(7)
    assert probe.board.gpio.read(4) == ((probe.board.cycles - start) % 100 < 50)


def test_compare_and_top_wait_for_the_wrap(probe: Probe) -> None:
    at, gpio = slice_at(0), probe.board.gpio
    probe.run(write(IO_BANK0 + 4, PWM_FUNCTION), write(at + 0x10, 999), write(at + 0xC, 100))
    gpio.watch(0)
    probe.run(write(at, EN))
    start = probe.written_at
    probe.run(write(at + 0xC, 300), write(at + 0x10, 499))
    probe.wait(2400)
    assert probe.run(read(at + 0xC), read(at + 0x10)) == [300, 499]
    assert [(edge.cycle - start, edge.level) for edge in gpio.edges] == [
        (100, 0),
        (1000, 1),
        (1300, 0),
        (1500, 1),
        (1800, 0),
        (2000, 1),
        (2300, 0),
    ]


def test_interrupt_registers(probe: Probe) -> None:
    at = slice_at(5)
    probe.run(write(at + 0x10, 200), write(INTE, 1 << 5), write(at, EN))
    start = probe.written_at
    assert probe.run(read(INTS), read(NVIC_ISPR)) == [0, 0x8000]  # core 1's first word waits in the FIFO
    probe.wait_until(start + 230)
    assert probe.run(read(INTR), read(INTS), read(NVIC_ISPR))[:2] == [32, 32]
    assert probe.read(NVIC_ISPR) >> 4 & 1
    assert probe.run(write(INTR, 32), read(INTR), read(NVIC_ISPR))[0] == 0
    assert probe.read(NVIC_ISPR) >> 4 & 1  # the NVIC has latched it
    assert probe.run(write(NVIC_ICPR, 1 << 4), read(NVIC_ISPR))[0] >> 4 & 1 == 0
    assert [value & 2 for value in probe.run(write(INTF, 2), read(INTS), write(INTF, 0), read(INTS))] == [2, 0]


def test_wraps_wake_a_sleeping_core_to_the_cycle(probe: Probe) -> None:
    at = slice_at(1)
    probe.run(write(at + 0x10, 4999), write(INTE, 2), write(at, EN))
    start = probe.written_at
    board = probe.board
    board.write_memory(0x20000180, b"\x30\xbf\x00\xbe")  # wfi; bkpt
    board.chip.S[15] = 0x20000180
    probe.run(write(0xE000E100, 1 << 4), write(0xE000E280, 0xFFFFFFFF))
    board.chip.S[20] = 1  # PRIMASK: wake without a handler
    board.chip.S[15] = 0x20000180
    stop = board.run(max_cycles=20_000)
    assert stop.reason == "bkpt"
    assert stop.cycles - start == pytest.approx(5000, abs=4)


@settings(max_examples=25, deadline=None)
@given(
    mode=st.sampled_from([GATED, RISING, FALLING]),
    divider=st.sampled_from([16, 32, 40]),
    levels=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 60)), max_size=12),
)
def test_counting_by_the_b_pin(mode: int, divider: int, levels: list[tuple[int, int]]) -> None:
    probe = Probe()
    probe.board.chip.resets.release("PWM", "IO_BANK0", "PADS_BANK0")
    at, gpio = slice_at(3), probe.board.gpio
    gpio.set(7, 0)
    probe.run(write(IO_BANK0 + 8 * 7 + 4, PWM_FUNCTION), write(at + 4, divider), write(at, EN | mode))
    assert not gpio.is_output(7)
    sixteenths, last = 0, 0
    for level, wait in levels:
        if mode == GATED:
            began = probe.board.cycles
        else:
            sixteenths += 16 * ((last, level) == ((0, 1) if mode == RISING else (1, 0)))
        gpio.set(7, level)
        probe.wait(wait + 2)
        if mode == GATED and level:
            sixteenths += 16 * (probe.board.cycles - began)
        last = level
    gpio.set(7, 0)
    sixteenths += 16 * (mode == FALLING and last == 1)
    assert probe.read(at + 8) == sixteenths // divider


def test_phase_advance_and_retard(probe: Probe) -> None:
    """PH_ADV and PH_RET move a running counter by one; they read back as 0."""
    at, other = slice_at(0), slice_at(1)
    for register in (at, other):
        probe.run(write(register + 4, 255 << 4))
    probe.run(write(EN_ALL, 3))
    probe.run(*[write(at + 0x2000, PH_ADV)] * 5, *[write(other + 0x2000, PH_ADV)] * 3, write(other + 0x2000, PH_RET))
    first, second, control = probe.run(read(at + 8), read(other + 8), read(at))
    assert (first - second, control) == (3, EN)


def test_a_reset_stops_everything(probe: Probe) -> None:
    at = slice_at(0)
    probe.run(write(IO_BANK0 + 4, PWM_FUNCTION), write(at + 0xC, 0x8000), write(at, EN))
    assert probe.board.gpio.read(0) == 1
    probe.run(write(0x4000E000, 1 << 14), write(0x4000F000, 1 << 14))
    assert probe.run(read(at), read(at + 8), read(at + 0x10)) == [0, 0, 0xFFFF]
    assert probe.board.gpio.read(0) == 0


def test_snapshots_repeat(probe: Probe) -> None:
    at = slice_at(4)
    probe.run(write(at + 4, 0x23), write(at + 0x10, 77), write(at, EN | PH_CORRECT))
    saved = probe.board.snapshot()
    probe.wait(1234)
    first = probe.read(at + 8)
    probe.board.restore(saved)
    probe.wait(1234)
    assert probe.read(at + 8) == first
