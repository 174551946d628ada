"""gemmlowp's fixed-point exp, TFLite's int8 SOFTMAX on it, and LOGISTIC, bit for bit.

Sources: gemmlowp fixedpoint/fixedpoint.h; tensorflow/lite/kernels/internal/reference/softmax.h. A FixedPoint<int32, I>
of value v is the int32 round(v * 2^(31 - I)), called QI here. exp and LOGISTIC have one int8 argument in the end, so
the compiler tabulates them: the chip only looks up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
ONE_Q2 = 1 << 29
SOFTMAX_INTEGER_BITS = 5  # kScaledDiffIntegerBits
SUM_INTEGER_BITS = 12  # kAccumulationIntegerBits


def _high(a: int, b: int) -> int:
    """SaturatingRoundingDoublingHighMul."""
    return min((a * b + 2**30) >> 31, INT32_MAX)


def _divide_by_power(x: int, exponent: int) -> int:
    """RoundingDivideByPOT, ties away from zero."""
    mask = (1 << exponent) - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (x < 0))


def _saturating_left(x: int, exponent: int) -> int:
    """SaturatingRoundingMultiplyByPOT with a positive exponent."""
    return max(INT32_MIN, min(INT32_MAX, x << exponent))


def _exp_of_last_quarter(a: int) -> int:
    """exp(a), Q0, for -1/4 <= a < 0 in Q0 (exp_on_interval_between_negative_one_quarter_and_0_excl)."""
    exp_minus_eighth, third = 1895147668, 715827883
    x = a + (1 << 28)
    x2 = _high(x, x)
    x3, x4 = _high(x2, x), _high(x2, x2)
    tail = _divide_by_power(_high(_divide_by_power(x4, 2) + x3, third) + x2, 1)
    return exp_minus_eighth + _high(exp_minus_eighth, x + tail)


BARREL = {-2: 1672461947, -1: 1302514674, 0: 790015084, 1: 290630308, 2: 39332535, 3: 720401, 4: 242}
"""exp(-2^k) in Q0."""


def exp_of_negative(a: int, integer_bits: int) -> int:
    """exp(a), Q0, for a <= 0 in Q(integer_bits) with at most 5 integer bits (exp_on_negative_values)."""
    if a == 0:
        return INT32_MAX
    fraction = 31 - integer_bits
    quarter = 1 << (fraction - 2)
    last = (a & (quarter - 1)) - quarter
    result = _exp_of_last_quarter(_saturating_left(last, integer_bits))
    remainder = last - a
    for exponent, factor in BARREL.items():
        if integer_bits > exponent and remainder & (1 << (fraction + exponent)):
            result = _high(result, factor)
    return result


def one_over_one_plus(x: int) -> int:
    """1 / (1 + x), Q0, for 0 <= x < 1 in Q0 (one_over_one_plus_x_for_x_in_0_1): three Newton steps."""
    half_denominator = (x + INT32_MAX + 1) >> 1  # RoundingHalfSum of non-negative numbers
    found = 1515870810 + _high(half_denominator, -1010580540)  # 48/17 - 32/17 * d in Q2
    for _ in range(3):
        rest = ONE_Q2 - _high(half_denominator, found)
        found += _saturating_left(_high(found, rest), 2)
    return _saturating_left(found, 1)


def _input_radius(integer_bits: int, left_shift: int) -> int:
    """CalculateInputRadius: differences at or beyond it saturate."""
    return math.floor(((1 << integer_bits) - 1) * 2.0 ** (31 - integer_bits) / 2.0**left_shift)


def _greater_than_one(real: float) -> tuple[int, int]:
    """QuantizeMultiplierGreaterThanOne: (multiplier, left shift). Raises ValueError for a factor up to one."""
    if real <= 1.0:
        raise ValueError("the input's scale is too small for the fixed-point form")
    mantissa, exponent = math.frexp(real)
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    return (multiplier // 2, exponent + 1) if multiplier == 2**31 else (multiplier, exponent)


def _scaled(x: int, multiplier: int, left_shift: int) -> int:
    """MultiplyByQuantizedMultiplier with a left shift (which wraps in C where nobody looks) or a right one."""
    if left_shift >= 0:
        return _high(((x << left_shift) + 2**31) % 2**32 - 2**31, multiplier)
    return _divide_by_power(_high(x, multiplier), -left_shift)


def logistic_table(scale: float, zero_point: int) -> NDArray[np.int8]:
    """Int8 LOGISTIC by the input's byte: int8 [256]. Output scale 1/256, zero point -128.

    LiteRT makes a table in float32 (LUTPopulate of tensorflow/lite/kernels/internal/common.h), with exp of its C
    library, which is taken to be the float32 nearest to the true value.
    """
    q = np.arange(256, dtype=np.int64).astype(np.uint8).view(np.int8)  # [256]
    x = np.float32(scale) * (q.astype(np.int32) - zero_point).astype(np.float32)
    with np.errstate(over="ignore"):
        exponential = np.exp(-x.astype(np.float64)).astype(np.float32)
    value = np.float32(1.0) / (np.float32(1.0) + exponential)
    steps = np.floor(value * np.float32(256.0) + np.float32(0.5)).astype(np.int64) - 128
    table: NDArray[np.int8] = np.clip(steps, -128, 127).astype(np.int8)
    return table


@dataclass(frozen=True, slots=True)
class SoftmaxTables:
    """`exponentials[d]` is exp(-d * scale * beta) in Q0 for d = max - x; beyond `reach` differences count as zero."""

    exponentials: tuple[int, ...]  # [256]
    reach: int


def softmax_tables(scale: float, beta: float) -> SoftmaxTables:
    """Tables of an int8 SOFTMAX. Raises ValueError when TFLite refuses the scale."""
    real = min(beta * scale * 2.0 ** (31 - SOFTMAX_INTEGER_BITS), 2.0**31 - 1.0)
    multiplier, shift = _greater_than_one(real)
    reach = min(255, _input_radius(SOFTMAX_INTEGER_BITS, shift))
    return SoftmaxTables(
        tuple(
            exp_of_negative(_scaled(-d, multiplier, shift), SOFTMAX_INTEGER_BITS) if d <= reach else 0
            for d in range(256)
        ),
        reach,
    )


def softmax_row(row: list[int], tables: SoftmaxTables) -> list[int]:
    """Int8 SOFTMAX of one row of int8 values; output scale 1/256, zero point -128."""
    highest = max(row)
    total = sum(_divide_by_power(tables.exponentials[highest - x], SUM_INTEGER_BITS) for x in row)
    headroom = 32 - total.bit_length()  # leading zeros of the int32
    inverse = one_over_one_plus((total << headroom) % 2**32 - 2**31)
    right = SUM_INTEGER_BITS - headroom + 31 - 8
    found = []
    for x in row:
        difference = highest - x
        if difference > tables.reach:
            found.append(-128)
            continue
        value = _divide_by_power(_high(inverse, tables.exponentials[difference]), right) - 128
        found.append(max(-128, min(127, value)))
    return found
