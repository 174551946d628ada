"""Pools, MEAN, PAD, RESHAPE and CONCATENATION of a `.tflite` file, checked and turned into their form in graph.py."""

from __future__ import annotations

import math

import numpy as np

from firmware_sim.compiler.arithmetic import INT32_MAX, quantise_multiplier
from firmware_sim.compiler.graph import (
    AveragePool2D,
    Concatenation,
    MaxPool2D,
    Mean,
    Operator,
    Pad,
    Rescale,
    Reshape,
    Tensor,
)
from firmware_sim.compiler.tflite_file import MAX_SIDE, Source
from firmware_sim.compiler.tflite_layers import activation_of, window_of


def _same_quantisation(source: Source, into: Tensor, out: Tensor) -> None:
    if (into.scale, into.zero_point) != (out.scale, out.zero_point):
        raise source.error("needs the same scale and zero point in and out", source.outputs[0])


def _pool(source: Source, form: type[AveragePool2D] | type[MaxPool2D]) -> Operator:
    source.expect_arity((1,))
    options = source.expect_options("Pool2DOptions")
    (index, into), (target, out) = source.activation(0), source.output()
    _same_quantisation(source, into, out)
    if into.shape[2] != out.shape[2]:
        raise source.error(f"{into.shape[2]} channels in, {out.shape[2]} out", target)
    window = window_of(source, options, (int(options.filterHeight), int(options.filterWidth)), into.shape, out.shape)
    return form(index, target, window, *activation_of(source, options, out))


def average_pool_2d(source: Source) -> Operator:
    """AVERAGE_POOL_2D of any window."""
    return _pool(source, AveragePool2D)


def max_pool_2d(source: Source) -> Operator:
    """MAX_POOL_2D of any window."""
    return _pool(source, MaxPool2D)


def _spatial_axis(source: Source, axis: int, rank: int) -> int:
    """An axis of the file's tensor, perhaps counted from the end, as one of H, W, C; negative for a batch axis."""
    if not -rank <= axis < rank:
        raise source.error(f"axis {axis} of {rank}")
    return axis % rank - rank + 3


def mean(source: Source) -> Operator:
    """MEAN over constant axes (EvalIntegerMean of tensorflow/lite/kernels/reduce.cc)."""
    source.expect_arity((2,))
    options = source.expect_options("ReducerOptions")
    (index, into), (target, out) = source.activation(0), source.output()
    rank = source.rank(0)
    axes = {_spatial_axis(source, int(axis), rank) for axis in source.axes(1)}
    axes = {axis for axis in axes if axis >= 0}  # leading axes are one
    kept = tuple(1 if axis in axes else side for axis, side in enumerate(into.shape))
    if out.elements != math.prod(kept) or (options.keepDims and out.shape != kept):
        raise source.error(f"output is {list(out.shape)}, but the axes give {list(kept)}", target)
    count = into.elements // out.elements
    try:
        multiplier, exponent = quantise_multiplier(into.scale / out.scale)
    except ValueError as error:
        raise source.error(str(error), target) from None
    shift = min(count.bit_length() - 1, 32, 31 + exponent)  # the 1/count goes into the factor
    multiplier, exponent = (multiplier << shift) // count, exponent - shift
    if 255 * count << max(exponent, 0) > INT32_MAX:
        raise source.error(f"the sum of {count} values can leave int32", target)
    rescale = Rescale(np.array([multiplier], np.int32), np.array([exponent], np.int8))
    return Mean(index, target, tuple(sorted(axes)), rescale)


def pad(source: Source) -> Operator:
    """PAD of height, width and channels by a constant [rank, 2] of int32."""
    source.expect_arity((2,))
    (index, into), (target, out) = source.activation(0), source.output()
    _same_quantisation(source, into, out)
    rank = source.rank(0)
    amounts = source.constant(1, np.int32, 2).values.astype(np.int64)  # [rank, 2]: before and after
    if amounts.shape != (rank, 2) or not ((amounts >= 0) & (amounts <= MAX_SIDE)).all() or amounts[: rank - 3].any():
        raise source.error(
            f"pads height, width and channels by 0 to {MAX_SIDE}, not {amounts.tolist()}", source.inputs[1]
        )
    spatial = np.concatenate([np.zeros((max(0, 3 - rank), 2), np.int64), amounts[-3:]])  # [3, 2]
    sides = tuple(int(side + both) for side, both in zip(into.shape, spatial.sum(axis=1), strict=True))
    if out.shape != sides:
        raise source.error(f"output is {list(out.shape)}, but the padding gives {list(sides)}", target)
    top, left, before = (int(amount) for amount in spatial[:, 0])
    return Pad(index, target, top, left, before)


def reshape(source: Source) -> Operator:
    """RESHAPE to the output tensor's shape; a shape input is not read."""
    source.expect_arity((1, 2))
    (index, into), (target, out) = source.activation(0), source.output()
    _same_quantisation(source, into, out)
    if into.bytes != out.bytes:
        raise source.error(f"{list(into.shape)} has not as many elements as {list(out.shape)}", target)
    return Reshape(index, target)


def concatenation(source: Source) -> Operator:
    """CONCATENATION of activations along height, width or channels."""
    options = source.expect_options("ConcatenationOptions")
    if not source.inputs or len(source.outputs) != 1:
        raise source.error(f"has {len(source.inputs)} inputs and {len(source.outputs)} outputs")
    target, out = source.output()
    axis = _spatial_axis(source, int(options.axis), source.rank(0))
    if axis < 0 or int(options.fusedActivationFunction) != 0:
        raise source.error(f"along axis {int(options.axis)}: height, width or channels without activation is supported")
    indices, total = [], 0
    for position in range(len(source.inputs)):
        index, into = source.activation(position)
        _same_quantisation(source, into, out)
        if any(a != b for i, (a, b) in enumerate(zip(into.shape, out.shape, strict=True)) if i != axis):
            raise source.error(f"shape {list(into.shape)} does not fit {list(out.shape)}", index)
        indices.append(index)
        total += into.shape[axis]
    if total != out.shape[axis]:
        raise source.error(f"its inputs have {total} along axis {axis}, its output {out.shape[axis]}", target)
    return Concatenation(tuple(indices), target, axis)
