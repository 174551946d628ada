"""Arithmetic of the boot ROM's float and double routines, on bit patterns. RP2040 datasheet 2.8.3.2.

Not IEEE 754 in full: a denormal argument counts as the zero of its sign and a denormal result becomes one; a NaN
counts as the infinity of its sign and none comes out (0 / 0, 0 * infinity and infinity - infinity give infinities, the
square root and logarithm of a negative number -infinity). Sum, product, quotient and root are rounded to nearest, ties
to even. Integers come out rounded towards minus infinity and clamped.

The transcendental functions give the nearest float; the ROM's own are a few units in the last place away from it, more
near multiples of pi and near ln(1), because it works in fixed point there.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

INFINITY = math.inf


class Format(NamedTuple):
    """A binary floating-point format: width and the bits of its fraction and exponent."""

    bits: int
    fraction: int
    exponent: int
    code: str  # for struct
    angle: float  # sine, cosine and tangent take angles up to this, in radians

    @property
    def sign(self) -> int:
        """The sign bit."""
        return 1 << self.bits - 1

    @property
    def infinity(self) -> int:
        """Bits of +infinity; also the mask of the exponent."""
        return ((1 << self.exponent) - 1) << self.fraction

    @property
    def bias(self) -> int:
        """Exponent field of 1.0."""
        return (1 << self.exponent - 1) - 1


SINGLE = Format(32, 23, 8, "f", 128.0)
DOUBLE = Format(64, 52, 11, "d", 1024.0)


def flush(bits: int, form: Format) -> int:
    """Clear the fraction of zeros, denormals, infinities and NaNs."""
    field = bits & form.infinity
    return bits & ~((1 << form.fraction) - 1) if field in (0, form.infinity) else bits


def decode(bits: int, form: Format) -> float:
    """The number that the routines see."""
    width = "I" if form.bits == 32 else "Q"
    value: float = struct.unpack("<" + form.code, struct.pack("<" + width, flush(bits, form)))[0]
    return value


def encode(value: float, form: Format) -> int:
    """Nearest bits of a number that is not a NaN."""
    width = "I" if form.bits == 32 else "Q"
    try:
        packed = struct.pack("<" + form.code, value)
    except OverflowError:  # beyond the largest single
        packed = struct.pack("<" + form.code, math.copysign(INFINITY, value))
    bits: int = struct.unpack("<" + width, packed)[0]
    return flush(bits, form)


def add(a: int, b: int, form: Format) -> int:
    """a + b; +infinity for infinities of different signs."""
    x, y = decode(a, form), decode(b, form)
    return form.infinity if math.isinf(x) and x == -y else encode(x + y, form)


def subtract(a: int, b: int, form: Format) -> int:
    """a - b."""
    return add(a, b ^ form.sign, form)


def multiply(a: int, b: int, form: Format) -> int:
    """a * b; 0 * infinity is an infinity."""
    x, y = decode(a, form), decode(b, form)
    if math.isinf(x) or math.isinf(y):
        return form.infinity | ((a ^ b) & form.sign)
    return encode(x * y, form)


def divide(a: int, b: int, form: Format) -> int:
    """a / b; infinity for a zero divisor and for infinity / infinity."""
    x, y, sign = decode(a, form), decode(b, form), (a ^ b) & form.sign
    if y == 0.0 or math.isinf(x):
        return form.infinity | sign
    return encode(x / y, form)


def square_root(a: int, form: Format) -> int:
    """Root of a; -infinity for a negative argument, and -0 stays."""
    x = decode(a, form)
    if x < 0.0:
        return form.infinity | form.sign
    return encode(math.sqrt(x), form)


def compare(a: int, b: int, form: Format) -> int:
    """-1, 0 or 1 as a is less than, equal to or greater than b; denormals are zeros and NaNs infinities."""
    x, y = decode(a, form), decode(b, form)
    return (x > y) - (x < y)


def compare_fast(a: int, b: int, form: Format) -> int:
    """As `compare`, but denormals and NaNs count by their bits."""
    x, y = (-(v ^ form.sign) if v & form.sign else v for v in (a, b))
    return (x > y) - (x < y)


def to_integer(a: int, point: int, form: Format, bits: int, signed: bool) -> int:
    """floor(a * 2**point), clamped to an integer of `bits`; two's complement."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    field, negative = (a & form.infinity) >> form.fraction, bool(a & form.sign)
    if field == 0:
        return 0
    mantissa = (a & (1 << form.fraction) - 1) | 1 << form.fraction
    shift = field - form.bias - form.fraction + point
    if field == form.infinity >> form.fraction or shift > bits:
        value = low if negative else high
    else:
        value = -mantissa if negative else mantissa
        value = value << shift if shift >= 0 else value >> -shift
        value = max(low, min(high, value))
    return value & (1 << bits) - 1


def from_integer(value: int, point: int, form: Format) -> int:
    """The float nearest to value / 2**point, ties to even; too small a number is +0, too large a one infinity."""
    sign, magnitude = (form.sign if value < 0 else 0), abs(value)
    if magnitude == 0:
        return 0
    drop = magnitude.bit_length() - form.fraction - 1
    if drop > 0:
        rest, half = magnitude & (1 << drop) - 1, 1 << drop - 1
        magnitude >>= drop
        magnitude += rest > half or (rest == half and magnitude & 1)
        if magnitude >> form.fraction + 1:
            magnitude, drop = magnitude >> 1, drop + 1
    else:
        magnitude <<= -drop
    field = form.bias + form.fraction + drop - point
    if field >= (1 << form.exponent) - 1:
        return form.infinity | sign
    if field <= 0:
        return 0
    return sign | field << form.fraction | (magnitude & (1 << form.fraction) - 1)


def sine_cosine(a: int, form: Format) -> tuple[int, int]:
    """Sine and cosine of an angle in radians, which is clamped to the range of the routine."""
    angle = max(-form.angle, min(form.angle, decode(a, form)))
    return encode(math.sin(angle) + 0.0, form), encode(math.cos(angle), form)


def tangent(a: int, form: Format) -> int:
    """Tangent of an angle in radians, which is clamped to the range of the routine."""
    angle = max(-form.angle, min(form.angle, decode(a, form)))
    return encode(math.tan(angle) + 0.0, form)


def exponential(a: int, form: Format) -> int:
    """e to the power of a."""
    try:
        return encode(math.exp(decode(a, form)), form)
    except OverflowError:
        return form.infinity


def logarithm(a: int, form: Format) -> int:
    """Natural logarithm of a; -infinity for anything that is not positive."""
    x = decode(a, form)
    if x <= 0.0:
        return form.infinity | form.sign
    return encode(math.log(x), form)


def arc_tangent(y: int, x: int, form: Format) -> int:
    """Angle of the point (x, y)."""
    return encode(math.atan2(decode(y, form), decode(x, form)), form)


def convert(a: int, source: Format, target: Format) -> int:
    """A float in the other format."""
    return encode(decode(a, source), target)
