"""The soft float and double tables: what lies at which offset, how arguments travel, what a call costs.

RP2040 datasheet 2.8.3.2.3 (version 2 of the ROM). Cycles are the averages of its tables as we remember them; of those
we could check only two rows against a copy (double to unsigned 64-bit fixed point 52, double to float 23). Entries
marked `estimated` are in no table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from firmware_sim.rp2040.rom import soft_float as sf
from firmware_sim.rp2040.rom.soft_float import DOUBLE, SINGLE, Format

# (registers r0-r3 in) -> (words out, in r0, r1, ...)
Routine = Callable[[int, int, int, int], tuple[int, ...]]
WORD = 0xFFFFFFFF


class Entry(NamedTuple):
    """One routine: its name in the datasheet without the underscore, cycles of single and double, how it runs."""

    name: str
    cycles: tuple[int, int]
    make: Callable[[Format], Routine]
    flags: bool = False  # the condition flags are set from r0
    estimated: bool = False


def _split(value: int, form: Format) -> tuple[int, ...]:
    """A float in one or two registers."""
    return (value & WORD,) if form is SINGLE else (value & WORD, value >> 32)


def _one(function: Callable[[int, Format], int]) -> Callable[[Format], Routine]:
    """float f(float)."""

    def make(form: Format) -> Routine:
        if form is SINGLE:
            return lambda a, b, c, d: (function(a, form),)
        return lambda a, b, c, d: _split(function(a | b << 32, form), form)

    return make


def _two(function: Callable[[int, int, Format], int]) -> Callable[[Format], Routine]:
    """float f(float, float)."""

    def make(form: Format) -> Routine:
        if form is SINGLE:
            return lambda a, b, c, d: (function(a, b, form),)
        return lambda a, b, c, d: _split(function(a | b << 32, c | d << 32, form), form)

    return make


def _compare(function: Callable[[int, int, Format], int]) -> Callable[[Format], Routine]:
    """int f(float, float)."""

    def make(form: Format) -> Routine:
        if form is SINGLE:
            return lambda a, b, c, d: (function(a, b, form) & WORD,)
        return lambda a, b, c, d: (function(a | b << 32, c | d << 32, form) & WORD,)

    return make


def _sine_cosine(which: slice) -> Callable[[Format], Routine]:
    """Sine, cosine or both; the cosine of both follows the sine."""

    def make(form: Format) -> Routine:
        def run(a: int, b: int, c: int, d: int) -> tuple[int, ...]:
            both: tuple[int, ...] = sf.sine_cosine(a if form is SINGLE else a | b << 32, form)
            return tuple(word for value in both[which] for word in _split(value, form))

        return run

    return make


def _to_integer(bits: int, signed: bool, fixed: bool) -> Callable[[Format], Routine]:
    """integer f(float) or f(float, int point)."""

    def make(form: Format) -> Routine:
        def run(a: int, b: int, c: int, d: int) -> tuple[int, ...]:
            value, point = (a, b) if form is SINGLE else (a | b << 32, c)
            result = sf.to_integer(value, _signed(point, 32) if fixed else 0, form, bits, signed)
            return (result,) if bits == 32 else (result & WORD, result >> 32)

        return run

    return make


def _from_integer(bits: int, signed: bool, fixed: bool) -> Callable[[Format], Routine]:
    """float f(integer) or f(integer, int point)."""

    def make(form: Format) -> Routine:
        def run(a: int, b: int, c: int, d: int) -> tuple[int, ...]:
            value, point = (a, b) if bits == 32 else (a | b << 32, c)
            value = _signed(value, bits) if signed else value
            return _split(sf.from_integer(value, _signed(point, 32) if fixed else 0, form), form)

        return run

    return make


def _convert(form: Format) -> Routine:
    """To the other format."""
    if form is SINGLE:
        return lambda a, b, c, d: _split(sf.convert(a, SINGLE, DOUBLE), DOUBLE)
    return lambda a, b, c, d: (sf.convert(a | b << 32, DOUBLE, SINGLE),)


def _signed(value: int, bits: int) -> int:
    """Two's complement to an int."""
    return value - (1 << bits) if value >> bits - 1 else value


# In the order of the table; entry i is at offset 4 * i. The first 21 are all that version 1 of the ROM has.
ENTRIES = (
    Entry("add", (71, 91), _two(sf.add)),
    Entry("sub", (74, 95), _two(sf.subtract)),
    Entry("mul", (58, 155), _two(sf.multiply)),
    Entry("div", (71, 183), _two(sf.divide)),
    Entry("cmp_fast", (20, 25), _compare(sf.compare_fast), flags=True, estimated=True),
    Entry("cmp_fast_flags", (20, 25), _compare(sf.compare_fast), flags=True, estimated=True),
    Entry("sqrt", (63, 169), _one(sf.square_root)),
    Entry("2int", (40, 75), _to_integer(32, True, False)),
    Entry("2fix", (39, 74), _to_integer(32, True, True)),
    Entry("2uint", (39, 63), _to_integer(32, False, False)),
    Entry("2ufix", (38, 62), _to_integer(32, False, True)),
    Entry("int2", (55, 69), _from_integer(32, True, False)),
    Entry("fix2", (53, 68), _from_integer(32, True, True)),
    Entry("uint2", (54, 64), _from_integer(32, False, False)),
    Entry("ufix2", (52, 62), _from_integer(32, False, True)),
    Entry("cos", (587, 1617), _sine_cosine(slice(1, 2))),
    Entry("sin", (577, 1618), _sine_cosine(slice(0, 1))),
    Entry("tan", (653, 1891), _one(sf.tangent)),
    Entry("sincos", (577, 1618), _sine_cosine(slice(0, 2)), estimated=True),  # version 3 of the ROM
    Entry("exp", (524, 804), _one(sf.exponential)),
    Entry("ln", (789, 428), _one(sf.logarithm)),
    Entry("cmp", (25, 39), _compare(sf.compare), flags=True),
    Entry("atan2", (599, 2168), _two(sf.arc_tangent)),
    Entry("int642", (56, 55), _from_integer(64, True, False)),
    Entry("fix642", (54, 56), _from_integer(64, True, True)),
    Entry("uint642", (58, 57), _from_integer(64, False, False)),
    Entry("ufix642", (57, 57), _from_integer(64, False, True)),
    Entry("2int64", (54, 70), _to_integer(64, True, False)),
    Entry("2fix64", (53, 69), _to_integer(64, True, True)),
    Entry("2uint64", (42, 53), _to_integer(64, False, False)),
    Entry("2ufix64", (41, 52), _to_integer(64, False, True)),
    Entry("2other", (15, 23), _convert),
)
VERSION_1_ENTRIES = 21
