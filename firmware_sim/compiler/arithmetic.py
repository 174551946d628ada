"""TFLite's reference int8 arithmetic with double rounding, in numpy, bit for bit.

Sources: tensorflow/lite/kernels/internal/quantization_util.cc (QuantizeMultiplier), common.h
(MultiplyByQuantizedMultiplier, not TFLITE_SINGLE_ROUNDING) and gemmlowp/fixedpoint/fixedpoint.h. A real factor is
multiplier * 2^(exponent - 31). Everything is int64 inside; the reader proves that int32 in C holds the same values.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
INT8_MIN, INT8_MAX = -128, 127
ADD_LEFT_SHIFT = 20  # tensorflow/lite/micro/kernels/add_common.cc


def quantise_multiplier(real: float) -> tuple[int, int]:
    """Fixed-point (multiplier, exponent) of a factor: 0 or 2^30 <= multiplier < 2^31, -31 <= exponent.

    Raises ValueError for a factor that is negative, not finite, or 2^30 and above.
    """
    if not 0.0 <= real < 2.0**30:
        raise ValueError(f"a rescale factor must lie in 0 to 2^30, not {real}")
    mantissa, exponent = math.frexp(real)
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier //= 2
        exponent += 1
    return (multiplier, exponent) if exponent >= -31 else (0, 0)


def doubling_high_multiply(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """SaturatingRoundingDoublingHighMul: a * b / 2^31 for int32 values, ties upward; shapes broadcast.

    For negative products gemmlowp adds 1 - 2^30 and truncates toward zero, which comes to the same as the floor here.
    The single overflow (both -2^31) saturates.
    """
    product: NDArray[np.int64] = (a * b + 2**30) >> 31
    return np.minimum(product, INT32_MAX)


def rounding_divide_by_power_of_two(x: NDArray[np.int64], exponent: NDArray[np.int64]) -> NDArray[np.int64]:
    """RoundingDivideByPOT: x / 2^exponent, ties away from zero, 0 <= exponent <= 31; shapes broadcast."""
    mask = (np.int64(1) << exponent) - 1
    remainder = x & mask
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + (remainder > threshold)


def rescale(x: NDArray[np.int64], multiplier: NDArray[np.int32], exponent: NDArray[np.int8]) -> NDArray[np.int64]:
    """MultiplyByQuantizedMultiplier: x * multiplier * 2^(exponent - 31), rounded twice.

    `multiplier` and `exponent` broadcast against the last axis of `x` (int64 [..., n] holding int32 values).
    """
    wide = exponent.astype(np.int64)
    left, right = np.maximum(wide, 0), np.maximum(-wide, 0)
    return rounding_divide_by_power_of_two(doubling_high_multiply(x << left, multiplier.astype(np.int64)), right)


def rescale_once(x: NDArray[np.int64], multiplier: NDArray[np.int32], exponent: NDArray[np.int8]) -> NDArray[np.int64]:
    """x * multiplier * 2^(exponent - 31) rounded once, ties upward: LiteRT's FULLY_CONNECTED. Shapes as `rescale`."""
    shift = 31 - exponent.astype(np.int64)  # 1..62
    product: NDArray[np.int64] = x * multiplier.astype(np.int64)
    return (product + (np.int64(1) << (shift - 1))) >> shift


def activation_range(activation: str, scale: float, zero_point: int) -> tuple[int, int]:
    """Int8 clamp (low, high) of a fused activation: NONE, RELU or RELU6 (CalculateActivationRangeQuantized).

    The bounds are computed in float32, as the runtimes do. Raises ValueError for other activations.
    """
    if activation == "NONE":
        return INT8_MIN, INT8_MAX
    low = max(INT8_MIN, zero_point)
    if activation == "RELU":
        return low, INT8_MAX
    if activation == "RELU6":
        return low, min(INT8_MAX, zero_point + steps_of_six(scale))
    raise ValueError(f"fused activation {activation}: NONE, RELU or RELU6 is supported")


def steps_of_six(scale: float) -> int:
    """The 6 of RELU6 in steps of `scale`. Raises ValueError when no int32 holds it, as the runtimes do."""
    with np.errstate(over="ignore"):
        steps = float(np.float32(6.0) / np.float32(scale)) + 0.5
    if steps > INT32_MAX:
        raise ValueError(f"RELU6 with scale {scale:g}: 6 is too many steps")
    return math.floor(steps)


def add_rescale(scale_1: float, scale_2: float, scale_out: float) -> tuple[list[int], list[int]]:
    """The three (multipliers, exponents) of ADD for its inputs and its output.

    Raises ValueError when the output's factor is not below one, which the runtimes refuse too.
    """
    twice_larger = 2.0 * max(scale_1, scale_2)
    factors = [scale_1 / twice_larger, scale_2 / twice_larger, twice_larger / (2**ADD_LEFT_SHIFT * scale_out)]
    if factors[2] >= 1.0:
        raise ValueError(f"output scale {scale_out} is too small for input scales {scale_1} and {scale_2}")
    pairs = [quantise_multiplier(factor) for factor in factors]
    return [m for m, _ in pairs], [e for _, e in pairs]


def truncating_mean(total: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """AVERAGE_POOL_2D's mean: (total + count/2) / count, half away from zero, with C's truncating division."""
    half = count // 2
    return np.where(total > 0, (total + half) // count, -((half - total) // count))
