"""The emulated boot ROM as firmware uses it: look a function up by its two letters, call it."""

from __future__ import annotations

import ctypes
import math
import random
import shutil
import struct
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040 import Board, Stop
from firmware_sim.rp2040.bootrom import CODE_FUNCTIONS
from firmware_sim.rp2040.chip import Chip
from firmware_sim.rp2040.layout import CORE_STRIDE, CYCLES, LR, PC, SLEEPING
from firmware_sim.rp2040.rom import soft_float as sf
from firmware_sim.rp2040.rom.float_tables import ENTRIES
from firmware_sim.rp2040.rom.float_unit import rom_float
from firmware_sim.rp2040.rom.soft_float import DOUBLE, SINGLE, Format

BASE, CODE, DATA = 0x20000000, 0x20000100, 0x20008000
BLX_R4_BKPT = [0x47A0, 0xBE00]
WORDS = st.integers(0, 0xFFFFFFFF)
# Bits of singles and doubles, denormals and special values more often than by chance.
SINGLES = WORDS | st.sampled_from([0, 1, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x3F800000]).flatmap(
    lambda bits: st.sampled_from([bits, bits | 1 << 31])
)
DOUBLES = st.integers(0, (1 << 64) - 1) | st.sampled_from(
    [0, 1, (1 << 52) - 1, 1 << 52, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0x7FF8000000000000, 0x3FF0000000000000]
).flatmap(lambda bits: st.sampled_from([bits, bits | 1 << 63]))


class Caller:
    """A board whose program calls the address in r4 and stops."""

    def __init__(self, version: int = 3) -> None:
        self.board = Board(rom_version=version)
        table = struct.pack("<64I", 0x20040000, CODE | 1, *[0] * 62)
        self.board.load(table + struct.pack("<2H", *BLX_R4_BKPT), address=BASE)

    def call(self, address: int, *arguments: int) -> Stop:
        S = self.board.chip.S
        S[: len(arguments)] = arguments
        S[4], S[15] = address, CODE
        return self.board.run(max_cycles=500_000_000)

    def cycles(self, address: int, *arguments: int) -> int:
        """Cycles of the function without BLX (2)."""
        before = int(self.board.chip.S[CYCLES])
        return self.call(address, *arguments).cycles - before - 2

    def half(self, address: int) -> int:
        return int.from_bytes(self.board.read_memory(address, 2), "little")

    def word(self, address: int) -> int:
        return int.from_bytes(self.board.read_memory(address, 4), "little")

    def lookup(self, name: str, table: int = 0x14) -> int:
        """rom_table_lookup(function table, code), as pico-sdk does it."""
        return self.call(self.half(0x18), self.half(table), ord(name[0]) | ord(name[1]) << 8).r0

    def data(self, name: str) -> int:
        return self.lookup(name, 0x16)

    def floats(self, name: str, table: str = "SF") -> int:
        """Address in the float table by the name in ENTRIES."""
        return self.word(self.data(table) + 4 * [entry.name for entry in ENTRIES].index(name))


@pytest.fixture(scope="module")
def rom() -> Caller:
    return Caller()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_header_and_tables_of_each_version(version: int) -> None:
    rom = Caller(version)
    assert rom.board.read_memory(0x10, 4) == b"Mu\x01" + bytes([version])
    assert rom.word(0) % 4 == 0
    assert all(rom.word(4 * i) & 1 and rom.word(4 * i) < 0x4000 for i in (1, 2, 3))
    functions = [*CODE_FUNCTIONS, "UB", "IF", "EX", "RE", "RP", "FC", "CX"]
    assert {"P3", "R3", "L3", "T3", "MS", "S4", "MC", "C4", "DT", "DE", "WV"} <= set(functions)
    assert all(rom.lookup(name) & 1 and rom.lookup(name) < 0x4000 for name in functions)
    text = rom.board.read_memory(rom.data("CR"), 40)
    assert b"\0" in text
    assert rom.word(rom.data("GR"))
    count = 21 if version == 1 else 32
    for table in ("SF",) if version == 1 else ("SF", "SD"):
        pointers = struct.unpack(f"<{count}I", rom.board.read_memory(rom.data(table), 4 * count))
        assert all(pointer & 1 and pointer < 0x4000 for pointer in pointers)
        assert len(set(pointers)) == count
    assert (rom.data("SD") != 0) == (version > 1)
    if version > 1:
        assert rom.board.read_memory(rom.data("FZ"), 1) == b"\x20"


def test_unknown_functions_are_0(rom: Caller) -> None:
    assert rom.lookup("??") == 0
    assert rom.lookup("\0\0") == 0


def test_bit_functions(rom: Caller) -> None:
    rng = random.Random(3)
    for value in (0, 1, 0x80000000, 0xFFFFFFFF, *(rng.getrandbits(32) >> rng.randrange(32) for _ in range(30))):
        bits = f"{value:032b}"
        assert rom.call(rom.lookup("P3"), value).r0 == bits.count("1")
        assert rom.call(rom.lookup("R3"), value).r0 == int(bits[::-1], 2)
        assert rom.call(rom.lookup("L3"), value).r0 == len(bits) - len(bits.lstrip("0"))
        assert rom.call(rom.lookup("T3"), value).r0 == len(bits) - len(bits.rstrip("0"))


def test_memory_functions(rom: Caller) -> None:
    rng = random.Random(4)
    copy, fill, copy4, fill4 = (rom.lookup(name) for name in ("MC", "MS", "C4", "S4"))
    for _ in range(60):
        count, source, target = rng.choice((*range(40), 300)), rng.randrange(8), rng.randrange(8)
        content = bytearray(rng.randbytes(1024))
        rom.board.write_memory(DATA, bytes(content))
        aligned = rng.random() < 0.4
        source, target = (source & 4, 512 + (target & 4)) if aligned else (source, 512 + target)
        assert rom.call(copy4 if aligned else copy, DATA + target, DATA + source, count).r0 == DATA + target
        content[target : target + count] = content[source : source + count]
        assert rom.board.read_memory(DATA, 1024) == content
        assert rom.call(fill4 if aligned else fill, DATA + target, 0x1A5, count).r0 == DATA + target
        content[target : target + count] = b"\xa5" * count
        assert rom.board.read_memory(DATA, 1024) == content
    assert 300 <= rom.cycles(copy, DATA, DATA + 512, 400) < 420  # 13 cycles for 16 bytes
    assert 2800 <= rom.cycles(copy, DATA, DATA + 513, 400) < 2830  # 7 for one


def test_registers_that_a_caller_keeps(rom: Caller) -> None:
    S = rom.board.chip.S
    for name, arguments in (("MC", (DATA, DATA + 512, 100)), ("MS", (DATA, 1, 100)), ("T3", (8,)), ("R3", (8,))):
        address = rom.lookup(name)
        S[5:12] = range(105, 112)
        sp = int(S[13])
        rom.call(address, *arguments)
        assert list(S[5:12]) == list(range(105, 112))
        assert S[13] == sp


def test_copied_code_is_decoded_anew(rom: Caller) -> None:
    for value in (5, 6):
        rom.board.write_memory(DATA, struct.pack("<2H", 0x2000 | value, 0x4770))  # movs r0, #value; bx lr
        rom.call(rom.lookup("MC"), DATA + 0x100, DATA, 4)
        assert rom.call(DATA + 0x101).r0 == value


def test_debug_trampoline_ends_at_a_breakpoint(rom: Caller) -> None:
    rom.board.chip.S[7] = rom.lookup("P3") & ~1
    stop = rom.call(rom.lookup("DT"), 0xFF)
    assert (stop.reason, stop.immediate, stop.r0, stop.pc | 1) == ("bkpt", 0, 8, rom.lookup("DE"))


def test_reset_to_usb_ends_the_run() -> None:
    rom = Caller()
    assert rom.call(rom.lookup("UB"), 5, 2).reason == "usb_boot"


def test_code_is_what_the_source_says() -> None:
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    from firmware_sim.rp2040.rom import assemble, code

    built, labels = assemble.assemble()
    assert built == struct.pack(f"<{len(code.CODE)}H", *code.CODE)
    assert labels == code.LABELS


# --- float and double routines: called as code once each, then the arithmetic itself against numpy ---


def words(value: int, form: Format) -> tuple[int, ...]:
    return (value,) if form is SINGLE else (value & 0xFFFFFFFF, value >> 32)


@pytest.mark.parametrize(("table", "form"), [("SF", SINGLE), ("SD", DOUBLE)])
def test_every_routine_is_in_its_place(rom: Caller, table: str, form: Format) -> None:
    S = rom.board.chip.S

    def bits(value: float) -> tuple[int, ...]:
        return words(sf.encode(value, form), form)

    a, b, expected = 1.25, -0.75, {}
    for name, value in (("add", a + b), ("sub", a - b), ("mul", a * b), ("div", a / b), ("atan2", math.atan2(a, b))):
        expected[name] = ((*bits(a), *bits(b)), bits(value))
    for name in ("cos", "sin", "tan", "exp", "sqrt"):
        expected[name] = (bits(a), bits(getattr(math, name)(a)))
    expected["ln"] = (bits(a), bits(math.log(a)))
    expected["sincos"] = (bits(a), (*bits(math.sin(a)), *bits(math.cos(a))))
    for name in ("cmp", "cmp_fast", "cmp_fast_flags"):
        expected[name] = ((*bits(b), *bits(a)), (0xFFFFFFFF,))
    expected |= {"2int": (bits(-2.5), (0xFFFFFFFD,)), "2uint": (bits(2.5), (2,))}
    expected |= {"2fix": ((*bits(-2.5), 1), (0xFFFFFFFB,)), "2ufix": ((*bits(2.5), 1), (5,))}
    expected |= {"2int64": (bits(-2.5), (0xFFFFFFFD, 0xFFFFFFFF)), "2uint64": (bits(2.5), (2, 0))}
    expected |= {"2fix64": ((*bits(-2.5), 33), (0, 0xFFFFFFFB)), "2ufix64": ((*bits(2.5), 33), (0, 5))}
    expected |= {"int2": ((0xFFFFFFFD,), bits(-3.0)), "uint2": ((0xFFFFFFFD,), bits(4294967293.0))}
    expected |= {"fix2": ((0xFFFFFFFD, 1), bits(-1.5)), "ufix2": ((3, 1), bits(1.5))}
    expected |= {"int642": ((0, 0xFFFFFFFD), bits(-3.0 * 2**32)), "uint642": ((0, 0x80000000), bits(2.0**63))}
    expected |= {"fix642": ((0, 0xFFFFFFFD, 33), bits(-1.5)), "ufix642": ((0, 3, 33), bits(1.5))}
    other = DOUBLE if form is SINGLE else SINGLE
    expected["2other"] = (bits(a), words(sf.encode(a, other), other))
    assert set(expected) == {entry.name for entry in ENTRIES}
    for entry in ENTRIES:
        arguments, result = expected[entry.name]
        cycles = rom.cycles(rom.floats(entry.name, table), *arguments)
        assert tuple(S[: len(result)].tolist()) == result, entry.name
        assert cycles == entry.cycles[form is DOUBLE], entry.name


def test_a_call_belongs_to_the_core_that_made_it() -> None:
    """Core 1 calls a compiled routine, one of Python's and Thumb code, while core 0 runs on."""
    rom = Caller()
    S = rom.board.chip.S
    rom.board.write_memory(CODE, struct.pack("<2H", 0x3001, 0xE7FD))  # core 0: adds r0, #1; b .-2
    rom.board.write_memory(DATA, struct.pack("<2H", 0x47A0, 0xBE05))  # core 1: blx r4; bkpt #5
    one = sf.encode(1.0, SINGLE)
    cases = [("fadd", (one, one), sf.encode(2.0, SINGLE)), ("fexp", (0,), one), ("P3", (0xFF,), 8)]
    for name, arguments, result in cases:
        S[CORE_STRIDE : CORE_STRIDE + len(arguments)] = arguments
        S[CORE_STRIDE + 4] = rom.board._rom.address(name) | 1
        S[CORE_STRIDE + PC], S[CORE_STRIDE + SLEEPING], S[PC] = DATA, 0, CODE
        before = int(S[0])
        stop = rom.board.run(max_cycles=100_000)
        assert (stop.reason, stop.immediate) == ("bkpt", 5)
        assert S[CORE_STRIDE] == result, name
        assert before < S[0] < before + 2_000


def test_comparison_sets_the_flags(rom: Caller) -> None:
    """BLX r4; BLT, BEQ, BGT to one BKPT each, as __aeabi_cfcmple uses them."""
    address = rom.floats("cmp_fast_flags")
    code = [0x47A0, 0xDB02, 0xD002, 0xDC02, 0xBE09, 0xBE01, 0xBE02, 0xBE03]
    rom.board.write_memory(DATA, struct.pack("<8H", *code))
    for a, b, immediate in ((1.0, 2.0, 1), (2.0, 2.0, 2), (0.0, -0.0, 2), (3.0, -2.0, 3), (-3.0, -2.0, 1)):
        S = rom.board.chip.S
        S[0], S[1], S[4], S[15] = sf.encode(a, SINGLE), sf.encode(b, SINGLE), address, DATA
        assert rom.board.run(max_cycles=1000).immediate == immediate


def number(bits: int, form: Format) -> np.floating[Any]:
    """The numpy number that the routines should see."""
    kind, unsigned = (np.float32, np.uint32) if form is SINGLE else (np.float64, np.uint64)
    return unsigned(sf.flush(bits, form)).view(kind)


def result_bits(value: Any, form: Format) -> int:
    """Bits of a numpy result, with denormals flushed."""
    kind, unsigned = (np.float32, np.uint32) if form is SINGLE else (np.float64, np.uint64)
    return sf.flush(int(kind(value).view(unsigned)), form)


def check_arithmetic(a: int, b: int, form: Format) -> None:
    x, y = number(a, form), number(b, form)
    sign = (a ^ b) & form.sign
    with np.errstate(all="ignore"):
        for function, value, instead in (
            (sf.add, x + y, form.infinity),
            (sf.subtract, x - y, form.infinity),
            (sf.multiply, x * y, form.infinity | sign),
            (sf.divide, x / y, form.infinity | sign),
        ):
            wanted = instead if np.isnan(value) else result_bits(value, form)
            assert function(a, b, form) == wanted, (function.__name__, hex(a), hex(b))
        root = np.sqrt(x)
        wanted = form.infinity | form.sign if np.isnan(root) else result_bits(root, form)
        assert sf.square_root(a, form) == wanted
    assert sf.compare(a, b, form) == int(x > y) - int(x < y)


@given(SINGLES, SINGLES)
@settings(max_examples=400, deadline=None)
def test_single_arithmetic_is_numpys(a: int, b: int) -> None:
    check_arithmetic(a, b, SINGLE)
    check_arithmetic(a, (a & 0xFF800000) ^ (b & 0x80FFFFFF), SINGLE)  # near each other: cancellation and ties


@given(DOUBLES, DOUBLES)
@settings(max_examples=400, deadline=None)
def test_double_arithmetic_is_numpys(a: int, b: int) -> None:
    check_arithmetic(a, b, DOUBLE)
    check_arithmetic(a, (a & 0xFFF << 52) ^ (b & ~(0x7F << 56)), DOUBLE)


@given(SINGLES, DOUBLES, st.integers(-80, 80), st.sampled_from([32, 64]), st.booleans())
@settings(max_examples=400, deadline=None)
def test_floats_to_integers_round_down_and_clamp(a: int, d: int, point: int, bits: int, signed: bool) -> None:
    for value, form in ((a, SINGLE), (d, DOUBLE)):
        x = float(number(value, form))
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        if math.isinf(x):
            wanted = high if x > 0 else low
        else:
            numerator, denominator = x.as_integer_ratio()
            exact = (numerator << max(point, 0)) // (denominator << max(-point, 0))
            wanted = max(low, min(high, exact))
        assert sf.to_integer(value, point, form, bits, signed) == wanted & (1 << bits) - 1


@given(st.integers(-(1 << 63), (1 << 64) - 1), st.integers(-80, 200))
@settings(max_examples=400, deadline=None)
def test_integers_to_floats_round_to_even(value: int, point: int) -> None:
    assert number(sf.from_integer(value, 0, DOUBLE), DOUBLE) == float(value)  # Python rounds to nearest even
    assert sf.from_integer(value, point, DOUBLE) == sf.encode(math.ldexp(float(value), -point), DOUBLE)
    single = sf.from_integer(value, point, SINGLE)
    exact = Fraction(value) / Fraction(2) ** point
    if single & 0x7FFFFFFF == 0:
        assert abs(exact) < Fraction(2) ** -126
    elif single & 0x7FFFFFFF == 0x7F800000:
        assert abs(exact) >= 2**128 - 2**103
    else:
        away = [abs(fraction(single + step) - exact) for step in (0, -1, 1)]
        assert away[0] <= min(away)
        assert away[0] < min(away[1:]) or single % 2 == 0


def fraction(single: int) -> Fraction:
    """The value of a single; infinity as the power of two that it follows."""
    if single & 0x7FFFFFFF == 0x7F800000:
        return Fraction(2**128 if single < 1 << 31 else -(2**128))
    return Fraction(float(number(single, SINGLE)))


@given(st.floats(-127, 127, width=32), st.floats(-80, 80, width=32))
@settings(max_examples=200, deadline=None)
def test_transcendental_functions_are_close(angle: float, other: float) -> None:
    bits, second = sf.encode(angle, SINGLE), sf.encode(other, SINGLE)
    sine, cosine = sf.sine_cosine(bits, SINGLE)
    assert float(number(sine, SINGLE)) == pytest.approx(math.sin(angle), abs=1e-7)
    assert float(number(cosine, SINGLE)) == pytest.approx(math.cos(angle), abs=1e-7)
    assert float(number(sf.exponential(second, SINGLE), SINGLE)) == pytest.approx(math.exp(other), rel=1e-6, abs=1e-37)
    if abs(other) > 1e-37:
        assert float(number(sf.logarithm(second & 0x7FFFFFFF, SINGLE), SINGLE)) == pytest.approx(
            math.log(abs(other)), rel=1e-6, abs=1e-7
        )
    assert float(number(sf.arc_tangent(bits, second, SINGLE), SINGLE)) == pytest.approx(
        math.atan2(float(number(bits, SINGLE)), float(number(second, SINGLE))), rel=1e-6
    )


def test_compiled_routines_are_those_of_python() -> None:
    chip = Chip()
    chip.link()
    S = chip.S
    chip.mem.bytes[0x13] = 3
    call = ctypes.CFUNCTYPE(*[ctypes.c_int64] * 6)(rom_float.address)
    rng = random.Random(5)
    special = [0, 1, 0x7FFFFF, 0x800000, 0x7F800000, 0x7FC00000, 0x3F800000, 0x7FF00000, 0x100000, 0x7FFFFFFF]
    kinds = [lambda: rng.choice(special), lambda: rng.choice(special) | 1 << 31, lambda: rng.getrandbits(32)]
    kinds += [lambda: 0x3FE00000 + rng.randrange(1 << 22), lambda: rng.randrange(-80, 80) & 0xFFFFFFFF]
    in_python = set()
    for number in range(2 * len(ENTRIES)):
        entry = ENTRIES[number % len(ENTRIES)]
        routine = entry.make(DOUBLE if number >= len(ENTRIES) else SINGLE)
        for _ in range(500):
            arguments = [rng.choice(kinds)() for _ in range(4)]
            S[:4], S[LR], S[CYCLES] = arguments, DATA | 1, 0
            if not call(S.ctypes.data, 0, number, 0, 0):
                in_python.add(entry.name)
                break
            wanted = routine(*arguments)
            assert tuple(S[: len(wanted)].tolist()) == wanted, (entry.name, [hex(word) for word in arguments])
            assert (S[PC], S[CYCLES]) == (DATA, entry.cycles[number >= len(ENTRIES)])
    assert in_python == {"cos", "sin", "tan", "sincos", "exp", "ln", "atan2"}
    assert not call(S.ctypes.data, 0, 2 * len(ENTRIES), 0, 0)
    chip.mem.bytes[0x13] = 1
    assert not call(S.ctypes.data, 0, 0, 0, 0)


@pytest.mark.parametrize("form", [SINGLE, DOUBLE])
def test_special_values(form: Format) -> None:
    inf, nan, minus, denormal = form.infinity, form.infinity | 1, form.sign, 1
    one = sf.encode(1.0, form)
    assert sf.add(inf, inf | minus, form) == inf
    assert sf.add(nan | minus, one, form) == inf | minus
    assert sf.divide(0, 0, form) == inf
    assert sf.divide(one | minus, denormal, form) == inf | minus
    assert sf.multiply(0, inf | minus, form) == inf | minus
    assert sf.square_root(minus, form) == minus
    assert sf.square_root(one | minus, form) == inf | minus
    assert sf.logarithm(denormal, form) == inf | minus
    assert sf.logarithm(one | minus, form) == inf | minus
    assert sf.exponential(inf, form) == inf
    assert sf.exponential(inf | minus, form) == 0
    assert sf.compare(nan, inf, form) == 0
    assert sf.compare(denormal, minus, form) == 0
    assert sf.compare_fast(denormal, minus, form) == 1
    assert sf.to_integer(nan, 0, form, 32, True) == 0x7FFFFFFF
    assert sf.to_integer(inf | minus, 0, form, 64, True) == 1 << 63
    assert (
        sf.convert(nan, form, DOUBLE if form is SINGLE else SINGLE) == (DOUBLE if form is SINGLE else SINGLE).infinity
    )
