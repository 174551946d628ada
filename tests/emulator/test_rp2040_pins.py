"""IO_BANK0, pads and board.gpio against a plain model of one pin. RP2040 datasheet 2.19."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040 import Board
from firmware_sim.rp2040.gpio import Edge
from firmware_sim.rp2040.probe import Probe, read, write
from shared.errors import BadInputError

SIO, IO_BANK0, PADS, IO_QSPI = 0xD0000000, 0x40014000, 0x4001C000, 0x40018000
GPIO_IN, GPIO_HI_IN, OUT, OUT_SET, OUT_CLR, OUT_XOR = SIO + 4, SIO + 8, SIO + 0x10, SIO + 0x14, SIO + 0x18, SIO + 0x1C
OE, OE_SET, OE_CLR = SIO + 0x20, SIO + 0x24, SIO + 0x28
INTR0, PROC0_INTE0, PROC0_INTF0, PROC0_INTS0, PROC1_INTE0 = (IO_BANK0 + o for o in (0xF0, 0x100, 0x110, 0x120, 0x130))
SIO_FUNCTION = 5
ALL = (1 << 30) - 1


def ctrl(pin: int) -> int:
    return IO_BANK0 + 8 * pin + 4


def pad(pin: int) -> int:
    return PADS + 4 + 4 * pin


@pytest.fixture(scope="module")
def probe() -> Probe:
    return Probe()


def override(level: int, how: int) -> int:
    """OUTOVER, OEOVER, INOVER, IRQOVER: 0 normal, 1 inverted, 2 low, 3 high."""
    return (level, 1 - level, 0, 1)[how]


@settings(max_examples=150, deadline=None)
@given(
    pin=st.integers(0, 29),
    function=st.sampled_from([SIO_FUNCTION, 0x1F]),
    out=st.integers(0, 1),
    enable=st.integers(0, 1),
    overrides=st.tuples(*[st.integers(0, 3)] * 4),
    pulls=st.integers(0, 3),
    disabled=st.integers(0, 1),
    input_enable=st.integers(0, 1),
    outside=st.sampled_from([None, 0, 1]),
    before=st.integers(0, 1),
)
def test_a_pin_against_the_model(
    probe: Probe,
    pin: int,
    function: int,
    out: int,
    enable: int,
    overrides: tuple[int, int, int, int],
    pulls: int,
    disabled: int,
    input_enable: int,
    outside: int | None,
    before: int,
) -> None:
    gpio = probe.board.gpio
    out_over, oe_over, in_over, irq_over = overrides
    gpio.set(pin, before)  # what a bus keeper keeps
    probe.run(
        write(OE, 0), write(ctrl(pin), 0x1F), write(pad(pin), 0x40), write(OUT, ALL * out), write(OE, enable << pin)
    )
    control = function | out_over << 8 | oe_over << 12 | in_over << 16 | irq_over << 28
    pads = disabled << 7 | input_enable << 6 | (pulls & 1) << 3 | (pulls >> 1) << 2
    owned = function == SIO_FUNCTION
    from_peripheral, from_enable = (out, enable) if owned else (0, 0)
    drives = override(from_enable, oe_over) and not disabled
    # The pulls come before the pin is released, the function last: nothing but the keeper remembers `before`.
    probe.run(write(pad(pin), pads))
    if outside is None:
        gpio.release(pin)
    else:
        gpio.set(pin, outside)
    status, pad_in, control_back = probe.run(
        write(ctrl(pin), control), read(ctrl(pin) - 4), read(GPIO_IN), read(ctrl(pin))
    )
    if drives:
        level = override(from_peripheral, out_over)
    elif outside is not None:
        level = outside
    else:
        level = {0: 0, 1: 1, 2: 0, 3: before}[pulls]
    seen = level & input_enable
    assert gpio.read(pin) == level
    assert gpio.is_output(pin) == bool(drives)
    assert pad_in >> pin & 1 == override(seen, in_over)
    assert control_back == control
    wanted = {
        8: from_peripheral,
        9: override(from_peripheral, out_over),
        12: from_enable,
        13: int(drives),
        17: seen,
        19: override(seen, in_over),
        24: seen,
        26: override(seen, irq_over),
    }
    assert {bit: status >> bit & 1 for bit in wanted} == wanted
    probe.run(write(ctrl(pin), 0x1F), write(pad(pin), 0x56))
    gpio.release(pin)


def test_reset_values(probe: Probe) -> None:
    fresh = Probe()
    values = fresh.run(
        read(ctrl(0)), read(pad(0)), read(PADS + 0x7C), read(PADS + 0x80), read(GPIO_IN), read(GPIO_HI_IN)
    )
    assert values == [0x1F, 0x56, 0xDA, 0x5A, 0, 0x3E]
    assert [fresh.board.gpio.function(pin) for pin in range(30)] == [""] * 30


@settings(max_examples=60, deadline=None)
@given(
    pin=st.integers(0, 29),
    levels=st.lists(st.integers(0, 1), min_size=1, max_size=8),
    enabled=st.integers(0, 15),
    forced=st.integers(0, 15),
    clear=st.integers(0, 15),
)
def test_interrupt_registers(probe: Probe, pin: int, levels: list[int], enabled: int, forced: int, clear: int) -> None:
    """INTR, INTE, INTF, INTS: levels live, edges latched until written with ones."""
    gpio, word, shift = probe.board.gpio, pin // 8 * 4, pin % 8 * 4
    gpio.set(pin, 0)
    probe.run(
        write(INTR0 + word, 0xFFFFFFFF),
        write(PROC0_INTE0 + word, enabled << shift),
        write(PROC0_INTF0 + word, forced << shift),
    )
    last = edges = 0
    for level in levels:
        gpio.set(pin, level)
        edges |= {(0, 1): 8, (1, 0): 4}.get((last, level), 0)
        last = level
    raw = (2 if last else 1) | edges
    intr, ints, other, line = probe.run(
        read(INTR0 + word),
        read(PROC0_INTS0 + word),
        read(PROC0_INTS0 + 0x30 + word),
        write(0xE000E280, 1 << 13),  # NVIC_ICPR: a line that has fallen is forgotten, one that is high pends again
        read(0xE000E200),
    )
    assert intr >> shift & 15 == raw
    assert ints >> shift & 15 == (raw & enabled) | forced
    assert other == 0, "PROC1 has its own enables"
    assert line >> 13 & 1 == bool((raw & enabled) | forced)
    intr, *_ = probe.run(
        write(INTR0 + word, clear << shift),
        read(INTR0 + word),
        write(PROC0_INTE0 + word, 0),
        write(PROC0_INTF0 + word, 0),
    )
    assert intr >> shift & 15 == raw & ~(clear & 12)
    gpio.release(pin)


def test_qspi_pins_and_the_bootsel_button() -> None:
    """The button is read as the pico-sdk does: chip select made an input by OEOVER, then GPIO_HI_IN bit 1."""
    probe = Probe()
    ss_ctrl = IO_QSPI + 0x0C
    select = [write(ss_ctrl, 2 << 12), read(GPIO_HI_IN), write(ss_ctrl, 0)]
    probe.run(write(ss_ctrl, 0))
    assert probe.run(*select)[0] & 2 == 2
    probe.board.gpio.bootsel = True
    assert probe.run(*select)[0] & 2 == 0
    assert probe.board.gpio.bootsel
    probe.board.gpio.bootsel = False
    assert probe.run(*select)[0] & 2 == 2


def square_wave(board: Board) -> int:
    """Load a program that toggles GPIO 3 every 6 cycles; its cycle of the first store."""
    # str r1, [r0] (GPIO_OUT_XOR); nop; nop; nop; b back
    code = [0x6001, 0xBF00, 0xBF00, 0xBF00, 0xE7FA]
    table = struct.pack("<64I", 0x20040000, 0x20000101, *[0] * 62)
    board.load(table + struct.pack("<5H", *code), address=0x20000000)
    return board.cycles


def test_edges_have_the_cycle_of_the_store() -> None:
    board = Board()
    start = square_wave(board)
    board.chip.blocks["IO_BANK0"].write("GPIO3_CTRL", SIO_FUNCTION, 0)
    S = board.chip.S
    from firmware_sim.rp2040 import layout

    S[layout.GPIO_OE], S[0], S[1] = 8, OUT_XOR, 8
    board.chip.pins_changed()
    board.gpio.watch(3)
    board.run(max_cycles=6 * 2000)
    expected = [Edge(start + 6 * i, 3, 1 - i % 2) for i in range(2000)]
    assert board.gpio.edges == expected


def test_callbacks_come_before_the_next_instruction() -> None:
    """GPIO 3 wired to GPIO 5: the program sees its own output come back at once."""
    probe = Probe()
    gpio = probe.board.gpio
    gpio.watch(3, lambda edge: gpio.set(5, edge.level))
    probe.run(write(ctrl(3), SIO_FUNCTION), write(OE, 8))
    for level in (1, 0, 1, 1, 0):
        values = probe.run(write(OUT, level << 3), read(GPIO_IN))
        assert values[0] == level << 3 | level << 5
    assert [edge.level for edge in gpio.edges] == [1, 0, 1, 0]
    gpio.unwatch(3)
    probe.run(write(OUT, 8))
    assert gpio.read(5) == 0


def test_drive_conflicts_are_kept() -> None:
    probe = Probe()
    gpio = probe.board.gpio
    probe.run(write(ctrl(9), SIO_FUNCTION), write(OUT, 1 << 9), write(OE, 1 << 9))
    gpio.set(9, 1)
    assert gpio.conflicts == []
    gpio.set(9, 0)
    assert (gpio.conflicts, gpio.read(9)) == ([9], 1)


def test_resistors_on_the_board_win_against_pulls(probe: Probe) -> None:
    gpio = probe.board.gpio
    probe.run(write(pad(2), 0x44))
    gpio.pull(2, 1)
    assert gpio.read(2) == 1
    gpio.pull(2, -1)
    assert gpio.read(2) == 0


def test_snapshots_hold_levels_and_latched_edges() -> None:
    probe = Probe()
    probe.board.gpio.watch(7)
    probe.board.gpio.set(7, 1)
    saved = probe.board.snapshot()
    other = Probe()
    other.board.restore(saved)
    assert other.board.gpio.edges == probe.board.gpio.edges == [Edge(0, 7, 1)]
    assert other.board.gpio.read(7) == 1
    assert other.run(read(INTR0))[0] >> 28 == 0b1010


def test_wires_outlast_a_reset() -> None:
    probe = Probe()
    probe.board.gpio.set(7, 1)
    probe.board.reset()
    assert probe.board.gpio.read(7) == 1


def test_there_is_no_gpio_30() -> None:
    with pytest.raises(BadInputError, match="no GPIO 30: the RP2040 has GPIO 0 to 29"):
        Board().gpio.set(30, 1)
