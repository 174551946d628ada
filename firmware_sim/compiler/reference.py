"""The integer reference: what every runtime, the C code and the chip must equal byte for byte.

Plain numpy on the checked graph, TFLite's reference kernels with double rounding (see arithmetic.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.arithmetic import ADD_LEFT_SHIFT, rescale, truncating_mean
from firmware_sim.compiler.graph import (
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    Graph,
    Operator,
    Pad,
    Shape,
    Tensor,
    Window,
)
from shared.errors import BadInputError

Int64 = NDArray[np.int64]


def run(graph: Graph, x: NDArray[np.int8]) -> NDArray[np.int8]:
    """Logits int8 [n] of one quantised frame int8 [H, W, C]. BadInputError for another shape or dtype."""
    if x.dtype != np.int8 or x.shape != graph.input_tensor.shape:
        raise BadInputError(f"the model takes int8 {list(graph.input_tensor.shape)}, not {x.dtype} {list(x.shape)}")
    logits: NDArray[np.int8] = run_activations(graph, x[None])[graph.output].reshape(-1)
    return logits  # [n]


def run_batch(graph: Graph, x: NDArray[np.int8]) -> NDArray[np.int8]:
    """Logits int8 [N, n] of frames int8 [N, H, W, C], each as `run` gives them."""
    if x.dtype != np.int8 or x.shape[1:] != graph.input_tensor.shape:
        raise BadInputError(f"the model takes int8 [N, {graph.input_tensor.shape}], not {x.dtype} {list(x.shape)}")
    return run_activations(graph, x)[graph.output].reshape(len(x), -1)  # [N, n]


def run_activations(graph: Graph, x: NDArray[np.int8]) -> dict[int, NDArray[np.int8]]:
    """Every activation int8 [N, h, w, c] by tensor index, for frames int8 [N, H, W, C] of the input's shape."""
    values = {graph.input: x}
    for operator in graph.operators:
        values[operator.output] = _apply(graph, operator, values)
    return values


def _apply(graph: Graph, operator: Operator, values: dict[int, NDArray[np.int8]]) -> NDArray[np.int8]:
    """One operator on its inputs int8 [N, h, w, c], giving int8 [N, h', w', c']."""
    into, out = graph.tensors[operator.input], graph.tensors[operator.output]
    x = values[operator.input].astype(np.int64)  # [N, h, w, c]
    if isinstance(operator, Conv2D):
        return _clamped(_conv(operator, x - into.zero_point, out), out, operator.low, operator.high)
    if isinstance(operator, DepthwiseConv2D):
        return _clamped(_depthwise(operator, x - into.zero_point, out), out, operator.low, operator.high)
    if isinstance(operator, AveragePool2D):
        return np.clip(_average_pool(operator, x, out), operator.low, operator.high).astype(np.int8)
    if isinstance(operator, Pad):
        return _padded(x, operator.top, operator.left, out.shape, out.zero_point).astype(np.int8)
    if isinstance(operator, Add):
        second = graph.tensors[operator.input2]
        return _clamped(
            _add(operator, x - into.zero_point, values[operator.input2] - np.int64(second.zero_point)),
            out,
            operator.low,
            operator.high,
        )
    return x.reshape(len(x), *out.shape).astype(np.int8)


def _clamped(x: Int64, out: Tensor, low: int, high: int) -> NDArray[np.int8]:
    return np.clip(x + out.zero_point, low, high).astype(np.int8)


def _padded(x: Int64, top: int, left: int, shape: Shape, value: int) -> Int64:
    """`x` int64 [N, h, w, c] placed at (top, left) of [N, *shape] filled with `value`; what sticks out is cut."""
    count, height, width, _ = x.shape
    canvas = np.full((count, *shape), value, np.int64)
    view = canvas[:, top : top + height, left : left + width]
    view[...] = x[:, : view.shape[1], : view.shape[2]]
    return canvas


def _taps(x: Int64, window: Window, out: Shape, value: int = 0) -> Int64:
    """The window's view of `x` int64 [N, h, w, c] with padding `value`: a view [N, out_h, out_w, c, kh, kw]."""
    need_h = (out[0] - 1) * window.stride_h + window.height
    need_w = (out[1] - 1) * window.stride_w + window.width
    canvas = _padded(x, window.pad_top, window.pad_left, (need_h, need_w, x.shape[3]), value)
    views = np.lib.stride_tricks.sliding_window_view(canvas, (window.height, window.width), axis=(1, 2))
    return views[:, :: window.stride_h, :: window.stride_w]


def _conv(operator: Conv2D, x: Int64, out: Tensor) -> Int64:
    """`x` int64 [N, h, w, I] without zero point, to rescaled sums int64 [N, out_h, out_w, O]."""
    taps = _taps(x, operator.window, out.shape)  # [N, oh, ow, I, kh, kw]
    columns = taps.transpose(0, 1, 2, 4, 5, 3).reshape(len(x), *out.shape[:2], -1)  # [N, oh, ow, kh*kw*I]
    weights = operator.weights.reshape(out.shape[2], -1).astype(np.int64)  # [O, kh*kw*I]
    sums = columns @ weights.T + operator.bias  # [N, oh, ow, O]
    return rescale(sums, operator.rescale.multiplier, operator.rescale.exponent)


def _depthwise(operator: DepthwiseConv2D, x: Int64, out: Tensor) -> Int64:
    """`x` int64 [N, h, w, I] without zero point, to rescaled sums int64 [N, out_h, out_w, O]."""
    repeated = np.repeat(x, operator.multiplier, axis=3)  # [N, h, w, O]
    taps = _taps(repeated, operator.window, out.shape)  # [N, oh, ow, O, kh, kw]
    weights = operator.weights.astype(np.int64)  # [kh, kw, O]
    sums = np.einsum("nhwoyx,yxo->nhwo", taps, weights) + operator.bias  # [N, oh, ow, O]
    return rescale(sums, operator.rescale.multiplier, operator.rescale.exponent)


def _average_pool(operator: AveragePool2D, x: Int64, out: Tensor) -> Int64:
    """`x` int64 [N, h, w, c] with zero point: the mean of the taps inside, int64 [N, out_h, out_w, c]."""
    total = _taps(x, operator.window, out.shape).sum(axis=(4, 5))  # [N, oh, ow, c]
    ones = np.ones((1, *x.shape[1:3], 1), np.int64)
    count = _taps(ones, operator.window, out.shape).sum(axis=(4, 5))  # [1, oh, ow, 1]
    return truncating_mean(total, count)


def _add(operator: Add, one: Int64, two: Int64) -> Int64:
    """Sum of int64 [N, h, w, c] without zero points, at the output's scale."""
    multiplier, exponent = operator.rescale.multiplier, operator.rescale.exponent
    first = rescale(one << ADD_LEFT_SHIFT, multiplier[:1], exponent[:1])
    second = rescale(two << ADD_LEFT_SHIFT, multiplier[1:2], exponent[1:2])
    return rescale(first + second, multiplier[2:], exponent[2:])
