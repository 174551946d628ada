"""The arithmetic of soft_float.py, compiled: what firmware calls most must not wait for Python.

The numbers of the functions are those of float_tables.py: 32 of singles, then 32 of doubles. Singles are computed as
doubles and rounded once more, which gives the same bits for sum, product, quotient and root (53 >= 2 * 24 + 2).
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.far import longs_at, memory_of
from firmware_sim.rp2040.kernels.intrinsics import intrinsic
from firmware_sim.rp2040.layout import CARRY, CYCLES, LR, NZ, OVERFLOW, PC, STATE_WORDS, WORD, IntArray, State
from firmware_sim.rp2040.rom.float_tables import ENTRIES

COUNT = len(ENTRIES)
(ADD, SUB, MUL, DIV, CMP_FAST, CMP_FAST_FLAGS, SQRT, TO_INT, TO_FIX, TO_UINT, TO_UFIX) = range(11)
(FROM_INT, FROM_FIX, FROM_UINT, FROM_UFIX, COS, SIN, TAN, SINCOS, EXP, LN, CMP, ATAN2) = range(11, 23)
(FROM_INT64, FROM_FIX64, FROM_UINT64, FROM_UFIX64, TO_INT64, TO_FIX64, TO_UINT64, TO_UFIX64, OTHER) = range(23, 32)
COSTS = cast(IntArray, np.array([entry.cycles[form] for form in (0, 1) for entry in ENTRIES], np.int64))
ROM_VERSION = 0x13  # address
SINGLE_INFINITY, SINGLE_TOP = 0x7F800000, 0xFF800000
DOUBLE_FRACTION = (1 << 52) - 1
LOW = (1 << 63) - 1
CARRY_SET = 1 << 32


@intrinsic("trunc i64 {0} to i32", "bitcast i32 {a} to float", "fpext float {b} to double")
def single_of(bits: int) -> float:
    """The number that 32 bits stand for."""
    raise NotImplementedError


@intrinsic("fptrunc double {0} to float", "bitcast float {a} to i32", "zext i32 {b} to i64")
def bits_of_single(x: float) -> int:
    """The 32 bits of the nearest single."""
    raise NotImplementedError


@intrinsic("bitcast i64 {0} to double")
def double_of(bits: int) -> float:
    """The number that 64 bits stand for."""
    raise NotImplementedError


@intrinsic("bitcast double {0} to i64")
def bits_of_double(x: float) -> int:
    """Its 64 bits."""
    raise NotImplementedError


@inner
def number_of_single(bits: int) -> float:
    """The number that the routines see: denormals are zeros, NaNs infinities."""
    field = bits & SINGLE_INFINITY
    if field == 0 or field == SINGLE_INFINITY:
        bits &= SINGLE_TOP
    return single_of(bits)


@inner
def number_of_double(low: int, high: int) -> float:
    """As number_of_single, from two words."""
    bits = low | high << 32
    field = high >> 20 & 0x7FF
    if field == 0 or field == 0x7FF:
        bits &= ~DOUBLE_FRACTION
    return double_of(bits)


@inner
def bits_of(x: float, double: bool) -> int:
    """Bits of the nearest float, denormals as zeros."""
    if double:
        bits = bits_of_double(x)
        return bits & ~DOUBLE_FRACTION if bits >> 52 & 0x7FF == 0 else bits
    bits = bits_of_single(x)
    return bits & SINGLE_TOP if bits & SINGLE_INFINITY == 0 else bits


@inner
def arithmetic(kind: int, x: float, y: float) -> float:
    """Sum, difference, product, quotient or root by the ROM's rules for infinities."""
    if kind == SUB:
        y = -y
    if kind <= SUB:
        return math.inf if math.isinf(x) and x == -y else x + y
    if kind == SQRT:
        return -math.inf if x < 0.0 else math.sqrt(x)
    infinite = math.isinf(x) or (y == 0.0 if kind == DIV else math.isinf(y))
    if infinite:
        return math.copysign(math.inf, math.copysign(1.0, x) * math.copysign(1.0, y))
    return x * y if kind == MUL else x / y


@inner
def to_integer(x: float, point: int, bits: int, signed: bool) -> int:
    """floor(x * 2**point), clamped; the result's 64 bits."""
    pattern = bits_of_double(x)
    field, negative = pattern >> 52 & 0x7FF, pattern < 0
    if field == 0 or (negative and not signed):
        return 0
    mantissa = (pattern & DOUBLE_FRACTION) | DOUBLE_FRACTION + 1
    length = field - 1022 + point  # of the integer part, in bits
    if field == 0x7FF or length > (bits - 1 if signed else bits):
        if not signed:
            return -1
        return -1 << bits - 1 if negative else (1 << bits - 1) - 1
    shift = length - 53
    if shift >= 0:
        return -(mantissa << shift) if negative else mantissa << shift
    if shift < -63:
        return -1 if negative else 0
    return -mantissa >> -shift if negative else mantissa >> -shift


@inner
def from_integer(value: int, signed: bool, point: int, double: bool) -> int:
    """Bits of the float nearest to value / 2**point, ties to even. An unsigned value is given by its 64 bits."""
    negative = signed and value < 0
    if negative:
        value = -value
    if value == 0:
        return 0
    drop = 0
    if value < 0:  # 2**63 or more: one bit less, kept as a sticky bit
        value = (value >> 1 & LOW) | (value & 1)
        drop = 1
    fraction, bias, top = (52, 1023, 0x7FF) if double else (23, 127, 0xFF)
    length = 0
    while value >> length:
        length += 1
    excess = length - fraction - 1
    if excess > 0:
        rest, half = value & (1 << excess) - 1, 1 << excess - 1
        value >>= excess
        if rest > half or (rest == half and value & 1):
            value += 1
        if value >> fraction + 1:
            value >>= 1
            excess += 1
    else:
        value <<= -excess
    field = bias + fraction + drop + excess - point
    sign = 0
    if negative:
        sign = -1 << 63 if double else 1 << 31
    if field >= top:
        return sign | top << fraction
    if field <= 0:
        return 0
    return sign | field << fraction | (value & (1 << fraction) - 1)


@inner
def signed_word(value: int) -> int:
    """Two's complement of 32 bits."""
    return value - ((value & 0x80000000) << 1)


@inner
def order(low: int, high: int, double: bool) -> int:
    """A number that compares as the float does, by all its bits."""
    if double:
        magnitude = (high & 0x7FFFFFFF) << 32 | low
        return -magnitude if high >> 31 else magnitude
    return -(low & 0x7FFFFFFF) if low >> 31 else low


@inner
def put(S: State, core: int, bits: int, wide: bool) -> None:
    """The result in r0, or r0 and r1."""
    S[core] = bits & WORD
    if wide:
        S[core + 1] = bits >> 32 & WORD


@far
def rom_float(state: int, core: int, number: int, _c: int, _d: int) -> int:
    """Run a float function of the boot ROM for a core and return to its caller; 0: Python has to."""
    S = longs_at(state, STATE_WORDS)
    if number >= 2 * COUNT or memory_of(S).bytes[ROM_VERSION] == 1:
        return 0
    double = number >= COUNT
    kind = number - COUNT if double else number
    if COS <= kind <= LN or kind == ATAN2:
        return 0
    r0, r1, r2, r3 = S[core], S[core + 1], S[core + 2], S[core + 3]
    x = number_of_double(r0, r1) if double else number_of_single(r0)
    if kind <= DIV or kind == SQRT:
        y = number_of_double(r2, r3) if double else number_of_single(r1)
        put(S, core, bits_of(arithmetic(kind, x, y), double), double)
    elif kind in (CMP, CMP_FAST, CMP_FAST_FLAGS):
        if kind == CMP:
            y = number_of_double(r2, r3) if double else number_of_single(r1)
            result = int(x > y) - int(x < y)
        else:
            first, second = order(r0, r1, double), order(r2, r3, double) if double else order(r1, 0, double)
            result = int(first > second) - int(first < second)
        put(S, core, result, False)
        S[core + NZ], S[core + CARRY], S[core + OVERFLOW] = result & WORD, CARRY_SET, 0
    elif kind == OTHER:
        put(S, core, bits_of(x, not double), not double)
    elif TO_INT <= kind <= TO_UFIX or TO_INT64 <= kind <= TO_UFIX64:
        wide = kind >= TO_INT64
        index = kind - TO_INT64 if wide else kind - TO_INT  # int, fix, uint, ufix
        point = signed_word(r2 if double else r1) if index & 1 else 0
        put(S, core, to_integer(x, point, 64 if wide else 32, index < 2), wide)
    else:
        wide = kind >= FROM_INT64
        index = kind - FROM_INT64 if wide else kind - FROM_INT
        value = r0 | r1 << 32 if wide else (signed_word(r0) if index < 2 else r0)
        point = signed_word(r2 if wide else r1) if index & 1 else 0
        put(S, core, from_integer(value, index < 2, point, double), double)
    S[core + PC] = S[core + LR] & (WORD - 1)
    S[core + CYCLES] += COSTS[number]
    return 1
