"""Operators of a `.tflite` file that work value by value or row by row, checked and turned into their graph.py form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.arithmetic import INT32_MAX, activation_range, add_rescale, quantise_multiplier, rescale
from firmware_sim.compiler.fixed_point import logistic_table, softmax_tables
from firmware_sim.compiler.graph import (
    Add,
    Dequantize,
    Lookup,
    Mul,
    Operator,
    Quantize,
    Rescale,
    Softmax,
    Tensor,
)
from firmware_sim.compiler.tflite_file import Source
from firmware_sim.compiler.tflite_layers import activation_of

PROBABILITY_SCALE, PROBABILITY_ZERO_POINT = 1.0 / 256.0, -128  # what LiteRT asks of SOFTMAX and LOGISTIC
MAX_SOFTMAX_ROW = 511  # more may overflow TFLite's own sum
BYTES = np.arange(256, dtype=np.int64).astype(np.uint8).view(np.int8).astype(np.int64)  # 0..127, -128..-1


def _repeats(source: Source, one: Tensor, two: Tensor, out: Tensor) -> None:
    sides = zip(one.shape, two.shape, out.shape, strict=True)
    if any((a != b and 1 not in (a, b)) or c != max(a, b) for a, b, c in sides):
        raise source.error(
            f"{list(one.shape)} with {list(two.shape)} to {list(out.shape)}: sides must be equal, or 1 to be repeated"
        )


def _sum(source: Source, table: str, sign: int) -> Operator:
    source.expect_arity((2,))
    options = source.expect_options(table)
    (index, one), (index2, two), (target, out) = source.operand(0), source.operand(1), source.output()
    _repeats(source, one, two, out)
    try:
        multipliers, exponents = add_rescale(one.scale, two.scale, out.scale)
    except ValueError as error:
        raise source.error(str(error), target) from None
    factors = Rescale(np.array(multipliers, np.int32), np.array(exponents, np.int8))  # [3]
    return Add(index, index2, target, factors, *activation_of(source, options, out), sign)


def add(source: Source) -> Operator:
    """ADD of two tensors, either of which may be a constant."""
    return _sum(source, "AddOptions", 1)


def sub(source: Source) -> Operator:
    """SUB of two tensors, either of which may be a constant."""
    return _sum(source, "SubOptions", -1)


def mul(source: Source) -> Operator:
    """MUL of two tensors, either of which may be a constant. LiteRT computes the factor in float32."""
    source.expect_arity((2,))
    options = source.expect_options("MulOptions")
    (index, one), (index2, two), (target, out) = source.operand(0), source.operand(1), source.output()
    _repeats(source, one, two, out)
    with np.errstate(over="ignore", under="ignore"):
        real = float(np.float32(one.scale) * np.float32(two.scale) / np.float32(out.scale))
    factor = _factor(source, real, 255 * 255)
    return Mul(index, index2, target, factor, *activation_of(source, options, out))


def _factor(source: Source, real: float, largest: int) -> Rescale:
    """A single factor for values up to `largest`, whose left shift must stay in int32."""
    try:
        multiplier, exponent = quantise_multiplier(real)
    except ValueError as error:
        raise source.error(str(error), source.outputs[0]) from None
    if largest << max(exponent, 0) > INT32_MAX:
        raise source.error(f"factor {real:g} between its scales is too large", source.outputs[0])
    return Rescale(np.array([multiplier], np.int32), np.array([exponent], np.int8))


def _rescaled(factor: Rescale, x: NDArray[np.int64], zero_point: int, low: int, high: int) -> NDArray[np.int64]:
    return np.clip(rescale(x, factor.multiplier, factor.exponent) + zero_point, low, high)


def _relu(source: Source, *, six: bool) -> Operator:
    """RELU and RELU6: a rescale, then the clamp."""
    source.expect_arity((1,))
    (index, into), (target, out) = source.activation(0), source.output()
    _same_shape(source, into, out)
    with np.errstate(over="ignore", under="ignore"):
        real = float(np.float32(into.scale) / np.float32(out.scale))  # ReluPrepare: a float32 quotient
    factor = _factor(source, real, 255)
    try:
        low, high = activation_range("RELU6" if six else "RELU", out.scale, out.zero_point)
    except ValueError as error:
        raise source.error(str(error), target) from None
    table = _rescaled(factor, BYTES - into.zero_point, out.zero_point, low, high)
    return Lookup(index, target, source.kind, table.astype(np.int8))


def relu(source: Source) -> Operator:
    """RELU."""
    return _relu(source, six=False)


def relu6(source: Source) -> Operator:
    """RELU6."""
    return _relu(source, six=True)


def _same_shape(source: Source, into: Tensor, out: Tensor) -> None:
    if into.shape != out.shape:
        raise source.error(f"input is {list(into.shape)}, output {list(out.shape)}", source.outputs[0])


def _probability(source: Source, out: Tensor) -> None:
    if (out.scale, out.zero_point) != (PROBABILITY_SCALE, PROBABILITY_ZERO_POINT):
        raise source.error(
            f"its output needs scale 1/256 and zero point -128, not {out.scale:g} and {out.zero_point}",
            source.outputs[0],
        )


def logistic(source: Source) -> Operator:
    """LOGISTIC."""
    source.expect_arity((1,))
    (index, into), (target, out) = source.activation(0), source.output()
    _same_shape(source, into, out)
    _probability(source, out)
    return Lookup(index, target, source.kind, logistic_table(into.scale, into.zero_point))


def softmax(source: Source) -> Operator:
    """SOFTMAX over the last axis."""
    source.expect_arity((1,))
    options = source.expect_options("SoftmaxOptions")
    (index, into), (target, out) = source.activation(0), source.output()
    _same_shape(source, into, out)
    _probability(source, out)
    beta = float(options.beta)
    if into.shape[2] > MAX_SOFTMAX_ROW or not 0.0 < beta < np.inf:
        raise source.error(f"{into.shape[2]} values a row with beta {beta}: at most {MAX_SOFTMAX_ROW}, beta positive")
    try:
        tables = softmax_tables(into.scale, beta)
    except ValueError as error:
        raise source.error(str(error), index) from None
    return Softmax(index, target, tables)


def quantize(source: Source) -> Operator:
    """QUANTIZE: float32 or uint8 at the network's borders, or int8 to another scale."""
    source.expect_arity((1,))
    (index, into), (target, out) = source.border(0), source.border_output()
    _same_shape(source, into, out)
    if into.dtype == "float32":
        if out.dtype != "int8":
            raise source.error(f"float32 to {out.dtype}: int8 is supported", target)
        return Quantize(index, target)
    if out.dtype == "float32":
        raise source.error("its output must be int8 or uint8", target)
    factor = _factor(source, into.scale / out.scale, 255)  # a double quotient
    x = BYTES if into.dtype == "int8" else BYTES & 255
    low, high = (-128, 127) if out.dtype == "int8" else (0, 255)
    table = _rescaled(factor, x - into.zero_point, out.zero_point, low, high).astype(out.dtype)
    return Lookup(index, target, source.kind, table)


def dequantize(source: Source) -> Operator:
    """DEQUANTIZE of an int8 tensor to the network's float32 output."""
    source.expect_arity((1,))
    (index, into), (target, out) = source.activation(0), source.border_output()
    _same_shape(source, into, out)
    if out.dtype != "float32":
        raise source.error("its output must be float32", target)
    table = ((BYTES - into.zero_point) * into.scale).astype(np.float32)  # in double, rounded once
    return Dequantize(index, target, table)
