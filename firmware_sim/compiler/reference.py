"""The integer reference: what every runtime, the C code and the chip must equal byte for byte.

Plain numpy on the checked graph, TFLite's reference kernels with double rounding (see arithmetic.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.arithmetic import ADD_LEFT_SHIFT, rescale, rescale_once, truncating_mean
from firmware_sim.compiler.fixed_point import softmax_row
from firmware_sim.compiler.graph import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    Graph,
    Lookup,
    MaxPool2D,
    Mean,
    Mul,
    Operator,
    Pad,
    Quantize,
    Rescale,
    Reshape,
    Shape,
    Softmax,
    Tensor,
    Window,
    inputs_of,
)
from shared.errors import BadInputError

Int64 = NDArray[np.int64]
Values = NDArray[Any]  # of a tensor's dtype: int8, at the borders perhaps uint8 or float32


def run(graph: Graph, x: Values) -> Values:
    """Output [n] of one input [H, W, C], int8 for most networks. BadInputError for another shape or dtype."""
    source = graph.input_tensor
    if x.dtype != source.dtype or x.shape != source.shape:
        raise BadInputError(f"the model takes {source.dtype} {list(source.shape)}, not {x.dtype} {list(x.shape)}")
    return run_activations(graph, x[None])[graph.output].reshape(-1)  # [n]


def run_batch(graph: Graph, x: Values) -> Values:
    """Outputs [N, n] of inputs [N, H, W, C], each as `run` gives them."""
    source = graph.input_tensor
    if x.dtype != source.dtype or x.shape[1:] != source.shape:
        raise BadInputError(f"the model takes {source.dtype} [N, {source.shape}], not {x.dtype} {list(x.shape)}")
    return run_activations(graph, x)[graph.output].reshape(len(x), -1)  # [N, n]


def run_activations(graph: Graph, x: Values) -> dict[int, Values]:
    """Every activation [N, h, w, c] by tensor index, for inputs [N, H, W, C] of the input's shape."""
    values: dict[int, Values] = {index: constant[None] for index, constant in graph.constants.items()}
    values[graph.input] = x
    for operator in graph.operators:
        for index in inputs_of(operator):
            if index in graph.views:
                values[index] = _view(graph, index, values)
        found = _apply(graph, operator, values)
        if operator.output in graph.views:
            whole = graph.tensors[graph.views[operator.output][0]]
            values.setdefault(graph.views[operator.output][0], np.zeros((len(x), *whole.shape), whole.dtype))
            _view(graph, operator.output, values)[...] = found
        values[operator.output] = found
    return values


def _view(graph: Graph, index: int, values: dict[int, Values]) -> Values:
    """The rows [N, h, w, c] of another tensor that are this one (strips.py)."""
    whole, offset = graph.views[index]
    first = offset // (graph.tensors[whole].bytes // graph.tensors[whole].shape[0])
    return values[whole][:, first : first + graph.tensors[index].shape[0]]


def _apply(graph: Graph, operator: Operator, values: dict[int, Values]) -> Values:
    """One operator on its inputs [N, h, w, c], giving [N, h', w', c'] of its output's dtype."""
    out = graph.tensors[operator.output]
    if isinstance(operator, Concatenation):
        joined: Values = np.concatenate([values[index] for index in operator.inputs], axis=operator.axis + 1)
        return joined
    into = graph.tensors[operator.input]
    x = values[operator.input]  # [N, h, w, c]
    if isinstance(operator, Reshape):
        return x.reshape(len(x), *out.shape)
    if isinstance(operator, Quantize):
        return _quantised(x, out)
    if isinstance(operator, Lookup | Dequantize):
        found: Values = operator.table[x.view(np.uint8)]
        return found
    wide = x.astype(np.int64)
    if isinstance(operator, Softmax):
        rows = [softmax_row(row, operator.tables) for row in wide.reshape(-1, out.shape[2]).tolist()]
        return np.array(rows, np.int8).reshape(x.shape)
    if isinstance(operator, Pad):
        start = (operator.top, operator.left, operator.before)
        return _padded(wide, start, out.shape, out.zero_point).astype(np.int8)
    if isinstance(operator, Mean):
        sums = wide.sum(axis=tuple(axis + 1 for axis in operator.axes), keepdims=True)
        count = wide[0].size // sums[0].size
        factor = operator.rescale
        rescaled = rescale(sums - into.zero_point * count, factor.multiplier, factor.exponent)
        return _clamped(rescaled, out, -128, 127).reshape(len(x), *out.shape)
    if isinstance(operator, AveragePool2D):
        return _clamped(_average_pool(operator, wide, out), None, operator.low, operator.high)
    if isinstance(operator, MaxPool2D):
        taps = _taps(wide, operator.window, out.shape, -128)  # [N, oh, ow, c, kh, kw]
        return _clamped(taps.max(axis=(4, 5)), None, operator.low, operator.high)
    wide = wide - into.zero_point
    if isinstance(operator, Add | Mul):
        second = values[operator.input2].astype(np.int64) - graph.tensors[operator.input2].zero_point
        result = _add(operator, wide, second) if isinstance(operator, Add) else _mul(operator, wide, second)
    elif isinstance(operator, DepthwiseConv2D):
        result = _depthwise(operator, wide, out)
    elif operator.rescale.once:  # FULLY_CONNECTED: rows of the input as pixels
        pixels = (1, into.elements // operator.weights.shape[3])
        wide = wide.reshape(len(x), *pixels, operator.weights.shape[3])
        result = _conv(operator, wide, pixels).reshape(len(x), *out.shape)
    else:
        result = _conv(operator, wide, out.shape[:2])
    return _clamped(result, out, operator.low, operator.high)


def _quantised(x: Values, out: Tensor) -> NDArray[np.int8]:
    """AffineQuantize: float32 to int8, half away from zero. What no int32 holds saturates; NaN becomes -128."""
    with np.errstate(over="ignore", invalid="ignore"):
        steps = x / np.float32(out.scale)  # float32
        rounded = np.trunc(steps.astype(np.float64) + np.copysign(0.5, steps))
    limited = np.where(np.isnan(rounded), -(2.0**31), np.clip(rounded, -(2.0**31), 2.0**31 - 1))
    quantised: NDArray[np.int8] = np.clip(limited + out.zero_point, -128, 127).astype(np.int8)
    return quantised


def _clamped(x: Int64, out: Tensor | None, low: int, high: int) -> NDArray[np.int8]:
    """`x` clamped as int8, after the zero point of `out` when it has none yet."""
    clamped: NDArray[np.int8] = np.clip(x + (out.zero_point if out else 0), low, high).astype(np.int8)
    return clamped


def _padded(x: Int64, start: Shape, shape: Shape, value: int) -> Int64:
    """`x` int64 [N, h, w, c] placed at `start` of [N, *shape] filled with `value`; what sticks out is cut."""
    count, height, width, channels = x.shape
    top, left, before = start
    canvas = np.full((count, *shape), value, np.int64)
    view = canvas[:, top : top + height, left : left + width, before : before + channels]
    view[...] = x[:, : view.shape[1], : view.shape[2]]
    return canvas


def _taps(x: Int64, window: Window, out: Shape | tuple[int, int], value: int = 0) -> Int64:
    """The window's view of `x` int64 [N, h, w, c] with padding `value`: a view [N, out_h, out_w, c, kh, kw]."""
    need_h = (out[0] - 1) * window.stride_h + window.height
    need_w = (out[1] - 1) * window.stride_w + window.width
    canvas = _padded(x, (window.pad_top, window.pad_left, 0), (need_h, need_w, x.shape[3]), value)
    views = np.lib.stride_tricks.sliding_window_view(canvas, (window.height, window.width), axis=(1, 2))
    return views[:, :: window.stride_h, :: window.stride_w]


def _conv(operator: Conv2D, x: Int64, pixels: tuple[int, int]) -> Int64:
    """`x` int64 [N, h, w, I] without zero point, to rescaled sums int64 [N, *pixels, O]."""
    taps = _taps(x, operator.window, pixels)  # [N, oh, ow, I, kh, kw]
    columns = taps.transpose(0, 1, 2, 4, 5, 3).reshape(len(x), *pixels, -1)  # [N, oh, ow, kh*kw*I]
    weights = operator.weights.reshape(len(operator.weights), -1)  # [O, kh*kw*I]
    sums = (columns.astype(np.float64) @ weights.T.astype(np.float64)).astype(np.int64)  # exact: below 2^53
    return _rescaled(sums + operator.bias, operator.rescale)  # [N, oh, ow, O]


def _depthwise(operator: DepthwiseConv2D, x: Int64, out: Tensor) -> Int64:
    """`x` int64 [N, h, w, I] without zero point, to rescaled sums int64 [N, out_h, out_w, O]."""
    repeated = np.repeat(x, operator.multiplier, axis=3)  # [N, h, w, O]
    taps = _taps(repeated, operator.window, out.shape)  # [N, oh, ow, O, kh, kw]
    weights = operator.weights.astype(np.int64)  # [kh, kw, O]
    sums = np.einsum("nhwoyx,yxo->nhwo", taps, weights) + operator.bias  # [N, oh, ow, O]
    return _rescaled(sums, operator.rescale)


def _average_pool(operator: AveragePool2D, x: Int64, out: Tensor) -> Int64:
    """`x` int64 [N, h, w, c] with zero point: the mean of the taps inside, int64 [N, out_h, out_w, c]."""
    total = _taps(x, operator.window, out.shape).sum(axis=(4, 5))  # [N, oh, ow, c]
    ones = np.ones((1, *x.shape[1:3], 1), np.int64)
    count = _taps(ones, operator.window, out.shape).sum(axis=(4, 5))  # [1, oh, ow, 1]
    return truncating_mean(total, count)


def _rescaled(sums: Int64, factor: Rescale) -> Int64:
    """`sums` int64 [..., O] by the factors of their channels."""
    if not factor.once:
        return rescale(sums, factor.multiplier, factor.exponent)
    return rescale_once(sums, factor.multiplier, factor.exponent)


def _add(operator: Add, one: Int64, two: Int64) -> Int64:
    """Sum or difference of int64 [N, h, w, c] without zero points, at the output's scale."""
    multiplier, exponent = operator.rescale.multiplier, operator.rescale.exponent
    first = rescale(one << ADD_LEFT_SHIFT, multiplier[:1], exponent[:1])
    second = rescale(two << ADD_LEFT_SHIFT, multiplier[1:2], exponent[1:2])
    return rescale(first + operator.sign * second, multiplier[2:], exponent[2:])


def _mul(operator: Mul, one: Int64, two: Int64) -> Int64:
    """Product of int64 [N, h, w, c] without zero points, at the output's scale."""
    return rescale(one * two, operator.rescale.multiplier, operator.rescale.exponent)
