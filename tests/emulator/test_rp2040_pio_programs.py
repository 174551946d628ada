"""PIO programs that everybody knows, by their timing at the pins; with DMA, interrupts and each other.

The words are those of adafruit-circuitpython-pioasm 1.3.8, an assembler that knows nothing of this emulator; where it
is installed, the first test assembles the sources again.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from register_scene import Registers

from firmware_sim.rp2040 import Board, layout
from firmware_sim.rp2040.blocks.dma_layout import EVENT

PIO0, DMA = 0x50200000, 0x50000000
CTRL, FSTAT, FDEBUG, FLEVEL, TXF0, RXF0, IRQ = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x20, 0x30
INPUT_SYNC_BYPASS, DBG_PADOUT, DBG_CFGINFO, INSTR_MEM0 = 0x38, 0x3C, 0x44, 0x48
CLKDIV, EXECCTRL, SHIFTCTRL, ADDR, INSTR, PINCTRL = 0xC8, 0xCC, 0xD0, 0xD4, 0xD8, 0xDC
INTR, IRQ0_INTE, IRQ0_INTS = 0x128, 0x12C, 0x134
AUTOPUSH, AUTOPULL, IN_RIGHT, OUT_RIGHT, FJOIN_TX, FJOIN_RX = 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 30, 1 << 31
SIDE_EN, OUT_STICKY = 1 << 30, 1 << 17
PROGRAMS = {
    "uart_tx": (
        ".side_set 1 opt\npull side 1 [7]\nset x, 7 side 0 [7]\nbit:\nout pins, 1\njmp x-- bit [6]",
        [0x9FA0, 0xF727, 0x6001, 0x0642],
    ),
    "uart_rx": (
        "start:\nwait 0 pin 0\nset x, 7 [10]\nbit:\nin pins, 1\njmp x-- bit [6]\njmp pin good\nirq 4 rel\n"
        "wait 1 pin 0\njmp start\ngood:\npush",
        [0x2020, 0xEA27, 0x4001, 0x0642, 0x00C8, 0xC014, 0x20A0, 0x0000, 0x8020],
    ),
    "spi": (".side_set 1\nout pins, 1 side 0 [1]\nin pins, 1 side 1 [1]", [0x6101, 0x5101]),
    "ws2812": (
        ".side_set 1\nbit:\nout x, 1 side 0 [2]\njmp !x zero side 1 [1]\njmp bit side 1 [4]\nzero:\nnop side 0 [4]",
        [0x6221, 0x1123, 0x1400, 0xA442],
    ),
    "pwm": (
        ".side_set 1 opt\npull noblock side 0\nmov x, osr\nmov y, isr\ncount:\njmp x!=y noset\njmp skip side 1\n"
        "noset:\nnop\nskip:\njmp y-- count",
        [0x9080, 0xA027, 0xA046, 0x00A5, 0x1806, 0xA042, 0x0083],
    ),
    "square": ("set pins, 1 [3]\nset pins, 0 [3]", [0xE301, 0xE300]),
    "parallel_in": ("wait 1 gpio 18\nin pins, 8\nwait 0 gpio 18", [0x2092, 0x4008, 0x2012]),
    "parallel_out": ("out pins, 8", [0x6008]),
    "late_irq": ("pull\nmov x, osr\nloop:\njmp x-- loop\nirq 1", [0x80A0, 0xA027, 0x0042, 0xC001]),
    "ping": ("irq 6\nwait 1 irq 7\nset pins, 1\nset pins, 0", [0xC006, 0x20C7, 0xE001, 0xE000]),
    "pong": ("wait 1 irq 6\nirq 7 [1]", [0x20C6, 0xC107]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_words_are_those_of_an_independent_assembler(name: str) -> None:
    assembler = pytest.importorskip("adafruit_pioasm", reason="adafruit-circuitpython-pioasm is not installed")
    source, words = PROGRAMS[name]
    assert list(assembler.assemble(f".program {name}\n{source}\n")) == words


@pytest.fixture
def chip() -> Registers:
    registers = Registers()
    registers.function(range(30), 6)
    return registers


def load(
    chip: Registers,
    name: str,
    *,
    sm: int = 0,
    offset: int = 0,
    outputs: int = 0,
    clkdiv: float = 1,
    execctrl: int = 0,
    shiftctrl: int = OUT_RIGHT | IN_RIGHT,
    pinctrl: int = 0,
) -> None:
    """Put a program at `offset`, make `outputs` pins from GPIO 0 outputs, configure the machine at its start."""
    words = PROGRAMS[name][1]
    for i, word in enumerate(words):
        moved = word + offset if word >> 13 == 0 else word
        chip.write(PIO0 + INSTR_MEM0 + 4 * (offset + i), moved)
    at = PIO0 + 0x18 * sm
    chip.write(at + CLKDIV, int(clkdiv * 256) << 8)
    chip.write(at + EXECCTRL, execctrl | (offset + len(words) - 1) << 12 | offset << 7)
    chip.write(at + SHIFTCTRL, shiftctrl)
    for first in range(0, outputs, 5):  # set pindirs
        chip.write(at + PINCTRL, min(5, outputs - first) << 26 | first << 5)
        force(chip, sm, 0xE09F)
    chip.write(at + PINCTRL, pinctrl)
    force(chip, sm, offset)


def force(chip: Registers, sm: int, instruction: int) -> None:
    chip.write(PIO0 + 0x18 * sm + INSTR, instruction)
    chip.until(chip.now + 1)


def go(chip: Registers, machines: int = 1) -> int:
    """Restart the clock dividers and enable; the first cycle of the machines at clock divider 1."""
    chip.write(PIO0 + CTRL, machines | machines << 8)
    return chip.now + 1


def edges(chip: Registers, pin: int) -> list[tuple[int, int]]:
    return [(edge.cycle, edge.level) for edge in chip.board.gpio.edges if edge.pin == pin]


def test_uart_tx(chip: Registers) -> None:
    """Start bit, eight data bits, stop bit, eight ticks each: the edges come at the cycle."""
    load(chip, "uart_tx", outputs=1, clkdiv=2, execctrl=SIDE_EN, pinctrl=2 << 29 | 1 << 20)
    chip.board.gpio.watch(0)
    go(chip)
    chip.until(chip.now + 100)
    chip.board.gpio.clear()
    for byte in (0x55, 0x0F, 0x80):
        chip.write(PIO0 + TXF0, byte)
    chip.until(chip.now + 3 * 160 + 100)
    found = edges(chip, 0)
    start = found[0][0]
    expected, level, at = [], 1, start
    for byte in (0x55, 0x0F, 0x80):
        for bit in (0, *(byte >> i & 1 for i in range(8)), 1):
            if bit != level:
                expected.append((at, bit))
                level = bit
            at += 16
    assert found == expected


def test_uart_rx_at_a_fractional_divider(chip: Registers) -> None:
    load(chip, "uart_rx", clkdiv=5.5, execctrl=4 << 24, pinctrl=4 << 15)
    chip.drive(1 << 4, 1 << 4)
    go(chip)
    for byte in (0xA5, 0x00, 0x7E):
        for bit in (0, *(byte >> i & 1 for i in range(8)), 1):
            chip.drive(bit << 4, 1 << 4)
            chip.until(chip.now + 44)
    chip.until(chip.now + 100)
    assert [chip.read(PIO0 + RXF0) >> 24 for _ in range(3)] == [0xA5, 0x00, 0x7E]
    assert chip.read(PIO0 + IRQ) == 0
    chip.drive(0, 1 << 4)  # a break: no stop bit
    chip.until(chip.now + 1000)
    assert chip.read(PIO0 + IRQ) == 1 << 4


@pytest.mark.parametrize("bypass", [False, True])
def test_spi_reads_its_own_pin(chip: Registers, bypass: bool) -> None:
    """At full speed a level comes back too late through the synchroniser, one bit, and in time without it."""
    shift = AUTOPULL | AUTOPUSH | 8 << 25 | 8 << 20
    load(chip, "spi", outputs=2, shiftctrl=shift, pinctrl=1 << 29 | 1 << 10 | 1 << 20 | 0 << 15)
    chip.write(PIO0 + INPUT_SYNC_BYPASS, 1 if bypass else 0)
    chip.write(PIO0 + TXF0, 0xB7 << 24)
    chip.board.gpio.watch(1)
    go(chip)
    chip.until(chip.now + 100)
    assert chip.read(PIO0 + RXF0) == (0xB7 if bypass else 0xB7 >> 1)
    times = [cycle for cycle, _ in edges(chip, 1)]
    assert len(times) == 16
    assert {b - a for a, b in itertools.pairwise(times)} == {2}


def test_ws2812(chip: Registers) -> None:
    """A one is high for seven of ten ticks, a zero for two; eight words follow each other without a gap."""
    load(chip, "ws2812", outputs=1, clkdiv=4, shiftctrl=AUTOPULL | 24 << 25 | FJOIN_TX, pinctrl=1 << 29)
    colours = [0x123456, 0xFFFFFF, 0, 0x800001, 0xAAAAAA, 0x0F0F0F, 0x7FFFFE, 1]
    for colour in colours:
        chip.write(PIO0 + TXF0, colour << 8)
    chip.board.gpio.watch(0)
    go(chip)
    chip.until(chip.now + 8 * 24 * 40 + 500)
    found = edges(chip, 0)
    high = [down - up for (up, _), (down, _) in zip(found[::2], found[1::2], strict=True)]
    assert set(high) == {8, 28}
    periods = [b[0] - a[0] for a, b in itertools.pairwise(found[::2])]
    assert set(periods) == {40}
    bits = "".join("1" if width == 28 else "0" for width in high)
    assert [int(bits[i : i + 24], 2) for i in range(0, len(bits), 24)] == colours


def test_pwm_keeps_its_level_until_another_comes(chip: Registers) -> None:
    load(chip, "pwm", outputs=1, execctrl=SIDE_EN, pinctrl=2 << 29)
    force(chip, 0, 0xE03F)  # set x, 31: the period is in the ISR
    force(chip, 0, 0xA0C1)  # mov isr, x
    chip.write(PIO0 + TXF0, 10)
    chip.board.gpio.watch(0)
    go(chip)
    chip.until(chip.now + 1000)
    up, down, again = (cycle for cycle, _ in edges(chip, 0)[2:5])
    assert again - up == 3 * 32 + 3
    assert down - up == 3 * 10 + 2


def test_fractional_divider(chip: Registers) -> None:
    """2.5 cycles a tick: half periods of ten cycles exactly; 1.25: of five; 1 + 1/3: six or five, never else."""
    chip.board.gpio.watch(0)
    for divider, widths in ((2.5, {10}), (1.25, {5}), (1 + 85 / 256, {5, 6})):
        load(chip, "square", outputs=1, clkdiv=divider, pinctrl=1 << 26)
        chip.board.gpio.clear()
        start = go(chip)
        chip.until(start + 4000)
        times = [cycle for cycle, _ in edges(chip, 0)]
        assert {b - a for a, b in itertools.pairwise(times)} == widths
        assert abs((times[-1] - times[0]) / (len(times) - 1) - 4 * divider) < 0.01
        chip.write(PIO0 + CTRL, 0)


def transfer(chip: Registers, channel: int, source: int, target: int, count: int, control: int) -> None:
    at = DMA + 0x40 * channel
    for offset, value in ((0, source), (4, target), (8, count), (12, control | 1 | channel << 11)):
        chip.write(at + offset, value)


def test_a_parallel_bus_is_sampled_into_memory(chip: Registers) -> None:
    """Eight lines and a clock at 1 / 8 of the system's, as a camera drives them: all bytes arrive, four a word."""
    data = bytes((i * 73 + i // 7) & 255 for i in range(800))
    load(chip, "parallel_in", shiftctrl=AUTOPUSH | IN_RIGHT | FJOIN_RX)
    transfer(chip, 3, PIO0 + RXF0, 0x20010000, len(data) // 4, 2 << 2 | 1 << 5 | 4 << 15)
    chip.drive(0)
    go(chip)
    for byte in data:
        chip.drive(byte)
        chip.until(chip.now + 4)
        chip.drive(byte | 1 << 18)
        chip.until(chip.now + 4)
    chip.until(chip.now + 30)
    assert chip.board.read_memory(0x20010000, len(data)) == data
    assert not chip.read(DMA + 0x40 * 3 + 12) & 1 << 24


@pytest.mark.parametrize("divider", [1, 2])
def test_a_word_every_four_cycles_goes_out_without_a_gap(chip: Registers, divider: int) -> None:
    """DMA keeps up with a byte a cycle on eight pins."""
    data = bytes((i * 29 + 1) & 255 or 1 for i in range(256))
    chip.board.write_memory(0x20010000, data)
    load(chip, "parallel_out", outputs=8, shiftctrl=AUTOPULL | OUT_RIGHT | FJOIN_TX, pinctrl=8 << 20, clkdiv=divider)
    transfer(chip, 0, 0x20010000, PIO0 + TXF0, 64, 2 << 2 | 1 << 4 | 0 << 15)
    chip.until(chip.now + 100)  # the FIFO is full
    for pin in range(8):
        chip.board.gpio.watch(pin)
    start = go(chip) + 2 * divider - 1  # the first OUT finds an empty OSR
    for cycle in range(start, start + 256 * divider, 16):  # the machines and the DMA are looked at now and then
        chip.until(cycle)
    chip.until(start + 256 * divider)
    found = sorted((edge.cycle, edge.pin, edge.level) for edge in chip.board.gpio.edges)
    byte, seen = 0, []
    for cycle in range(start, start + 256 * divider, divider):
        while found and found[0][0] <= cycle + 1:  # what is done in a cycle is on the pins in the next
            _, pin, level = found.pop(0)
            byte = byte & ~(1 << pin) | level << pin
        seen.append(byte)
    assert bytes(seen) == data


def test_machines_signal_each_other_by_flags(chip: Registers) -> None:
    """A flag set in one cycle is seen in the next: a round of ping and pong takes six cycles."""
    load(chip, "ping", outputs=1, pinctrl=1 << 26)
    load(chip, "pong", sm=1, offset=8)
    chip.board.gpio.watch(0)
    go(chip, 3)
    chip.until(chip.now + 200)
    times = [cycle for cycle, level in edges(chip, 0) if level]
    assert {b - a for a, b in itertools.pairwise(times)} == {6}


@pytest.mark.parametrize("count", [3, 50, 51, 200, 1000])
def test_interrupts_come_at_their_cycle(chip: Registers, count: int) -> None:
    """The line rises while nobody looks: the event that the chip has planned must not be later."""
    load(chip, "late_irq")
    chip.write(PIO0 + IRQ0_INTE, 1 << 9)
    chip.write(PIO0 + TXF0, count)
    first = go(chip)
    due = first + 2 + count + 1  # pull, mov, count + 1 jumps
    chip.until(chip.now)  # as the core does after the store
    while not chip.S[layout.LINES] >> 7 & 1:
        event = int(chip.S[EVENT])
        assert event <= due
        chip.until(event)
    assert chip.now == due
    assert chip.read(PIO0 + IRQ0_INTS) == 1 << 9
    chip.write(PIO0 + IRQ, 1 << 1)
    assert not chip.S[layout.LINES] >> 7 & 1


def test_registers(chip: Registers) -> None:
    assert chip.read(PIO0 + DBG_CFGINFO) == 32 << 16 | 4 << 8 | 4
    assert chip.read(PIO0 + FSTAT) == 0x0F000F00
    assert [chip.read(PIO0 + at) for at in (CLKDIV, EXECCTRL, SHIFTCTRL, PINCTRL)] == [
        1 << 16,
        0x1F000,
        3 << 18,
        5 << 26,
    ]
    for value in range(5):
        chip.write(PIO0 + TXF0 + 4, value)
    assert chip.read(PIO0 + FLEVEL) == 4 << 8
    assert chip.read(PIO0 + FDEBUG) == 1 << 17  # TXOVER
    assert chip.read(PIO0 + FSTAT) == 0x0D020F00
    assert chip.read(PIO0 + RXF0) == 0
    assert chip.read(PIO0 + FDEBUG) == 1 << 17 | 1 << 8  # RXUNDER
    chip.write(PIO0 + FDEBUG, 1 << 17)
    assert chip.read(PIO0 + FDEBUG) == 1 << 8
    assert chip.read(PIO0 + INTR) == 0xD0
    chip.write(PIO0 + 0x18 + SHIFTCTRL, 3 << 18 | FJOIN_RX)  # empties both
    assert chip.read(PIO0 + FSTAT) == 0x0F020F00
    chip.write(PIO0 + 0x18 + SHIFTCTRL, 3 << 18 | FJOIN_TX)
    assert chip.read(PIO0 + FSTAT) == 0x0F000F02
    assert int(chip.S[layout.DREQ_LEVEL]) & 0xFF == 0x0F


def test_instructions_are_forced_and_stall(chip: Registers) -> None:
    """SMx_INSTR runs on a machine that is disabled; a PULL without data stays latched until data comes."""
    force(chip, 2, 0xE02A)  # set x, 10
    force(chip, 2, 0xA0C1)  # mov isr, x
    force(chip, 2, 0x8020)  # push
    assert chip.read(PIO0 + RXF0 + 8) == 10
    force(chip, 2, 0x80A0)  # pull
    assert chip.read(PIO0 + 0x30 + EXECCTRL) >> 31 == 1
    chip.write(PIO0 + TXF0 + 8, 77)
    chip.until(chip.now + 2)
    assert chip.read(PIO0 + 0x30 + EXECCTRL) >> 31 == 0
    force(chip, 2, 0xA0C7)  # mov isr, osr
    force(chip, 2, 0x8020)
    assert chip.read(PIO0 + RXF0 + 8) == 77
    force(chip, 2, 0x0013)  # jmp 19
    assert chip.read(PIO0 + 0x30 + ADDR) == 19


def test_sticky_outputs_win_again_in_the_next_cycle(chip: Registers) -> None:
    """Machine 0 holds a pin low; machine 1 toggles it, and each high lasts for one cycle."""
    load(chip, "square", outputs=1, pinctrl=1 << 26, sm=1)
    at = PIO0
    chip.write(at + EXECCTRL, OUT_STICKY | 31 << 12)
    chip.write(at + PINCTRL, 1 << 26)
    force(chip, 0, 0xE000)  # set pins, 0
    chip.board.gpio.watch(0)
    go(chip, 2)
    chip.until(chip.now + 80)
    found = edges(chip, 0)
    assert len(found) >= 18
    assert {down - up for (up, _), (down, _) in zip(found[::2], found[1::2], strict=False)} == {1}


def test_the_pio_example_sends_colours_and_reads_them_back(example_elf: Callable[..., Path]) -> None:
    board = Board()
    board.load(example_elf("pio"))
    board.gpio.watch(2)
    stop = board.run(max_cycles=5_000_000)
    assert (stop.reason, stop.r0, board.warnings) == ("bkpt", 30, [])
    assert board.uart0.sent == b"leds 30 of 30 first 0008f725\n"
    found = board.gpio.edges
    assert len(found) == 2 * 24 * 30
    highs = [b.cycle - a.cycle for a, b in zip(found[::2], found[1::2], strict=True)]
    assert set(highs) <= {31, 32, 109, 110}  # 2 and 7 ticks of 15.625 cycles
    green, red, blue = (int("".join(str(int(w > 70)) for w in highs[24 + i : 32 + i]), 2) for i in (0, 8, 16))
    assert (green, red, blue) == (8, 247, 37)


def test_the_dma_example_prints_a_checksum_and_a_list_of_texts(example_elf: Callable[..., Path]) -> None:
    board = Board()
    board.load(example_elf("dma"))
    stop = board.run(max_cycles=5_000_000)
    expected = zlib.crc32(bytes((i * i + (i >> 3)) & 255 for i in range(1024)))
    assert (stop.reason, stop.r0, board.warnings) == ("bkpt", expected, [])
    assert board.uart0.sent == b"crc %08x right\none channel feeds another\n" % expected
