"""Registers as the emulated core sees them: a small program executes scripts of loads and stores."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040 import Board, layout

BASE, CODE, SCRIPT, RESULTS = 0x20000000, 0x20000100, 0x20001000, 0x20020000
SIO, TIMER, UART0, RESETS, WATCHDOG = 0xD0000000, 0x40054000, 0x40034000, 0x4000C000, 0x40058000
CLOCKS, XOSC, PLL_SYS = 0x40008000, 0x40024000, 0x40028000
# loop: ldmia r6!, {r0-r2}; cmp r0, #1; beq write; bhi stop; ldr r3, [r1]; stmia r7!, {r3}; b loop
# write: str r2, [r1]; b loop; stop: bkpt #0
PROBE = [0xCE07, 0x2801, 0xD003, 0xD804, 0x680B, 0xC708, 0xE7F8, 0x600A, 0xE7F6, 0xBE00]
READ, WRITE, STOP = 0, 1, 2
WORD = 0xFFFFFFFF

Step = tuple[int, int, int]


def read(address: int) -> Step:
    return READ, address, 0


def write(address: int, value: int) -> Step:
    return WRITE, address, value & WORD


class Probe:
    """A board that executes scripts; state stays between them."""

    def __init__(self) -> None:
        self.board = Board()
        table = struct.pack("<64I", 0x20040000, CODE | 1, *[0] * 62)
        self.board.load(table + struct.pack("<10H", *PROBE), address=BASE)

    def run(self, *steps: Step) -> list[int]:
        """Execute the steps; the values that the READs loaded."""
        words = [word for step in (*steps, (STOP, 0, 0)) for word in step]
        self.board.write_memory(SCRIPT, struct.pack(f"<{len(words)}I", *words))
        S = self.board.chip.S
        S[6], S[7], S[15] = SCRIPT, RESULTS, CODE
        stop = self.board.run(max_cycles=1_000_000)
        assert (stop.reason, stop.faults) == ("bkpt", [])
        count = sum(step[0] == READ for step in steps)
        return list(struct.unpack(f"<{count}I", self.board.read_memory(RESULTS, 4 * count)))


@pytest.fixture(scope="module")
def probe() -> Probe:
    return Probe()


def hardware_divide(x: int, y: int, is_signed: bool) -> tuple[int, int]:
    """Quotient and remainder of the RP2040's divider (datasheet 2.3.1.5), as words."""
    if is_signed:
        x, y = (v - ((v & 0x80000000) << 1) for v in (x, y))
    if y == 0:
        return (1 if is_signed and x < 0 else WORD), x & WORD
    quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
    return quotient & WORD, (x - quotient * y) & WORD


CORNERS = [0, 1, 2, 7, WORD, WORD - 1, 0x80000000, 0x7FFFFFFF]


@pytest.mark.parametrize("is_signed", [False, True])
def test_divider(probe: Probe, is_signed: bool) -> None:
    rng = random.Random(7)
    pairs = [(x, y) for x in CORNERS for y in CORNERS]
    pairs += [(rng.getrandbits(32), rng.getrandbits(rng.randrange(1, 33))) for _ in range(100)]
    first = SIO + (0x68 if is_signed else 0x60)
    for x, y in pairs:
        values = probe.run(write(first, x), write(first + 4, y), read(SIO + 0x78), read(SIO + 0x74), read(SIO + 0x70))
        assert values[0] & 2, "DIRTY"
        assert (values[2], values[1]) == hardware_divide(x, y, is_signed), (x, y)
    assert probe.run(read(SIO + 0x78)) == [1]  # reading the quotient cleaned it


def test_divider_takes_eight_cycles() -> None:
    """STR DIVISOR; n NOPs; LDR CSR: READY once 8 cycles have passed since the store."""
    for nops, ready in ((0, 0), (6, 0), (7, 1), (12, 1)):
        board = Board()
        code = [0x6641] + [0xBF00] * nops + [0x6F81, 0xBE00]  # str r1, [r0, #0x64]; ldr r1, [r0, #0x78]
        table = struct.pack("<64I", 0x20040000, CODE | 1, *[0] * 62)
        board.load(table + struct.pack(f"<{len(code)}H", *code), address=BASE)
        board.chip.S[0], board.chip.S[1] = SIO, 3
        board.run(max_cycles=100)
        assert board.registers["r1"] & 1 == ready, nops


def interp_model(accums: list[int], bases: list[int], ctrls: list[int], index: int) -> list[int]:
    """PEEK_LANE0, PEEK_LANE1 and PEEK_FULL from the datasheet's description (2.3.1.6), written independently."""

    def to_signed(value: int) -> int:
        return (value & WORD) - ((value & 0x80000000) << 1)

    raws, lanes = [], []
    for lane in (0, 1):
        ctrl = ctrls[lane]
        source = accums[1 - lane] if ctrl >> 16 & 1 else accums[lane]
        bits = f"{source >> (ctrl & 31):032b}"[::-1]  # bit 0 first
        low, high = ctrl >> 5 & 31, ctrl >> 10 & 31
        kept = [bit if low <= i <= high else "0" for i, bit in enumerate(bits)]
        if ctrl >> 15 & 1:
            kept[high + 1 :] = [kept[high]] * (31 - high)
        raw = int("".join(reversed(kept)), 2)
        raws.append(raw)
        lanes.append((bases[lane] + (source if ctrl >> 18 & 1 else raw)) & WORD)
    full = (bases[2] + sum(raws)) & WORD
    if index == 0 and ctrls[0] >> 21 & 1:
        alpha = raws[1] & 255
        convert = to_signed if ctrls[1] >> 15 & 1 else int
        lanes = [alpha, (convert(bases[0]) + (alpha * (convert(bases[1]) - convert(bases[0])) >> 8)) & WORD]
        full = (bases[2] + raws[0]) & WORD
    if index == 1 and ctrls[0] >> 22 & 1:
        convert = to_signed if ctrls[0] >> 15 & 1 else int
        value = max(convert(raws[0]), convert(bases[0]))
        lanes[0] = min(value, convert(bases[1])) & WORD
    return [*lanes, full]


@settings(max_examples=150, deadline=None)
@given(
    index=st.integers(0, 1),
    accums=st.lists(st.integers(0, WORD), min_size=2, max_size=2),
    bases=st.lists(st.integers(0, WORD), min_size=3, max_size=3),
    ctrls=st.lists(st.integers(0, (1 << 19) - 1), min_size=2, max_size=2),
    special=st.booleans(),
)
def test_interpolators(
    probe: Probe, index: int, accums: list[int], bases: list[int], ctrls: list[int], special: bool
) -> None:
    for lane in (0, 1):  # MASK_LSB above MASK_MSB is not defined
        low, high = sorted((ctrls[lane] >> 5 & 31, ctrls[lane] >> 10 & 31))
        ctrls[lane] = ctrls[lane] & ~0x7FE0 | low << 5 | high << 10
    if special:
        ctrls[0] |= 1 << (21 + index)
    at = SIO + 0x80 + 0x40 * index
    registers = [*accums, *bases]
    steps = [write(at + 4 * i, value) for i, value in enumerate(registers)]
    steps += [write(at + 0x2C, ctrls[0]), write(at + 0x30, ctrls[1])]
    peeks = probe.run(*steps, read(at + 0x20), read(at + 0x24), read(at + 0x28))
    assert peeks == interp_model(accums, bases, ctrls, index)
    lane0, lane1, _ = peeks
    popped = probe.run(read(at + 0x1C), read(at), read(at + 4))
    crossed = [lane1 if ctrls[0] >> 17 & 1 else lane0, lane0 if ctrls[1] >> 17 & 1 else lane1]
    assert popped == [peeks[2], *crossed]


def test_requantisation_by_interp1(probe: Probe) -> None:
    """Shift and clamp as the int8 kernels use them: signed lane 0 of INTERP1 clamped to [-128, 127]."""
    at = SIO + 0xC0
    probe.run(write(at + 8, -128), write(at + 12, 127), write(at + 0x2C, 5 | 26 << 10 | 1 << 15 | 1 << 22))
    for value in (-(1 << 31), -4097, -4096, -33, -1, 0, 31, 32, 4063, 4064, 4096, (1 << 31) - 1):
        expected = min(127, max(-128, value >> 5)) & WORD
        assert probe.run(write(at, value), read(at + 0x20)) == [expected], value


def test_gpio_set_clear_xor(probe: Probe) -> None:
    out, oe = SIO + 0x10, SIO + 0x20
    values = probe.run(
        *[write(0x40014004 + 8 * pin, 5) for pin in range(8)],  # IO_BANK0 GPIOx_CTRL: SIO
        write(oe, 0xFF),
        write(out, 0x0F),
        write(out + 4, 0x30),
        write(out + 8, 0x03),
        write(out + 12, 0x81),
        read(out),
        read(SIO + 4),
    )
    assert values == [0xBD, 0xBD]


def test_spinlocks(probe: Probe) -> None:
    lock = SIO + 0x100 + 4 * 5
    assert probe.run(read(lock), read(lock), read(SIO + 0x5C), write(lock, 0), read(lock)) == [32, 0, 32, 32]


def test_atomic_aliases_and_narrow_writes(probe: Probe) -> None:
    scratch = WATCHDOG + 0x0C
    values = probe.run(
        write(scratch, 0xF0F0),
        write(scratch + 0x1000, 0xFF00),
        read(scratch),
        write(scratch + 0x2000, 0x5),
        read(scratch),
        write(scratch + 0x3000, 0xF0),
        read(scratch + 0x1000),
    )
    assert values == [0x0FF0, 0x0FF5, 0x0F05]


def test_timer_counts_microseconds_and_latches(probe: Probe) -> None:
    before = probe.board.cycles
    low, high = probe.run(write(TIMER + 4, 0xFFFFFFF0), write(TIMER, 7), read(TIMER + 0x0C), read(TIMER + 8))
    assert (high, low >= 0xFFFFFFF0) == (7, True)
    probe.board.chip.S[15] = CODE
    after = probe.run(*[read(TIMER + 0x28)] * 60, read(TIMER + 0x24))
    elapsed = (probe.board.cycles - before) / 6.5
    assert after[-1] == 8
    assert (after[-2] + 16) & WORD <= elapsed


def test_unstriped_sram_alias(probe: Probe) -> None:
    striped = 0x20030000
    values = probe.run(write(striped, 1), write(striped + 4, 2), read(0x21000000 + 0xC000), read(0x21010000 + 0xC000))
    assert values == [1, 2]


def test_uart_fifo_levels_and_overrun() -> None:
    probe = Probe()
    board = probe.board
    dr, fr, ris = UART0, UART0 + 0x18, UART0 + 0x3C
    setup = [write(CLOCKS + 0x48, 0x800), write(UART0 + 0x24, 1), write(UART0 + 0x2C, 0x70), write(UART0 + 0x30, 0x301)]
    probe.run(*setup)
    board.uart0.write(bytes(range(1, 16)))
    while board.uart0.pending:
        probe.run(read(fr))
    assert probe.run(read(ris))[0] & 0x10 == 0  # 15 of 16
    board.uart0.write(bytes([16]))
    while board.uart0.pending:
        probe.run(read(fr))
    assert probe.run(read(ris))[0] & 0x50 == 0x10
    probe.run(*[read(fr)] * 200)  # 32 bit times of silence
    assert probe.run(read(ris))[0] & 0x50 == 0x50
    assert probe.run(*[read(dr)] * 16, read(fr))[:16] == list(range(1, 17))
    board.uart0.write(bytes(40))
    while board.uart0.pending:
        probe.run(read(fr))
    values = probe.run(read(ris), *[read(dr)] * 32, read(fr))
    assert values[0] & 0x400, "overrun"
    assert values[-1] & 0x10, "32 kept, 8 lost"


def test_uart_before_it_is_enabled_warns() -> None:
    probe = Probe()
    probe.run(write(UART0, ord("x")))
    assert probe.board.uart0.read() == b"x"
    assert "UART0 was written before it was enabled" in probe.board.warnings[-1]


def test_alarm_interrupts_clear_by_the_bits_on_the_bus(probe: Probe) -> None:
    """TIMER.INTR is write-clear: through the clear alias, too, it is the written bits that go (pico-sdk does that)."""
    for alias in (0, 0x1000, 0x2000, 0x3000):
        probe.board.chip.S[layout.TIMER_INTR] = 15
        values = probe.run(write(TIMER + 0x34 + alias, 2), read(TIMER + 0x34), write(TIMER + 0x34, 15))
        assert values == [13]
