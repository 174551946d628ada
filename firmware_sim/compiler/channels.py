"""Channels that are the same number for every input, and channels that nothing reads: neither need be computed.

Trained networks have many (an output channel without weights gives its bias). A constant channel moves into the biases
of the layers that read it, whose weights of it become zero; then whatever only such weights read is not read at all,
and so on up to the input. The network's output stays the same, byte for byte.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.graph import (
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    Graph,
    Lookup,
    MaxPool2D,
    Mul,
    Operator,
    Pad,
    Reshape,
    Tensor,
    Window,
    inputs_of,
)
from firmware_sim.compiler.padding import without_pads
from firmware_sim.compiler.prover import staircase_of

Constants = dict[int, int]  # of a tensor: value by channel
Bools = NDArray[np.bool_]


def simplified(graph: Graph) -> Graph:
    """The same network without weights for constant channels, `unread` filled in, and no PAD before windows."""
    graph = without_pads(graph)
    constants: dict[int, Constants] = {}
    operators: list[Operator] = []
    for operator in graph.operators:
        changed = _folded(operator, graph, constants)
        constants[changed.output] = _constants(changed, graph, constants)
        operators.append(changed)
    unread = _unread(replace(graph, operators=tuple(operators)))
    return replace(graph, operators=tuple(_emptied(operator, unread) for operator in operators), unread=unread)


def _emptied(operator: Operator, unread: dict[int, Bools]) -> Operator:
    """A convolution without weights for the outputs that nothing reads."""
    if not isinstance(operator, Conv2D | DepthwiseConv2D) or operator.output not in unread:
        return operator
    weights, skipped = operator.weights.copy(), unread[operator.output]
    if isinstance(operator, Conv2D):
        weights[skipped] = 0
    else:
        weights[..., skipped] = 0
    return replace(operator, weights=weights)


def _folded(operator: Operator, graph: Graph, constants: dict[int, Constants]) -> Operator:
    """A convolution with its constant inputs in its bias."""
    if not isinstance(operator, Conv2D | DepthwiseConv2D):
        return operator
    into, out = graph.tensors[operator.input], graph.tensors[operator.output]
    if isinstance(operator, Conv2D) and operator.weights.shape[3] != into.shape[2]:
        return operator  # FULLY_CONNECTED of more than one pixel
    weights, bias = operator.weights.copy(), operator.bias.copy()
    for channel, value in constants.get(operator.input, {}).items():
        distance = value - into.zero_point
        if distance and _touches_padding(operator.window, into, out):
            continue  # in the padding it is the zero point
        if isinstance(operator, Conv2D):
            bias += distance * weights[..., channel].sum(axis=(1, 2), dtype=np.int32)  # [O]
            weights[..., channel] = 0
        else:
            outputs = slice(channel * operator.multiplier, (channel + 1) * operator.multiplier)
            bias[outputs] += distance * weights[..., outputs].sum(axis=(0, 1), dtype=np.int32)
            weights[..., outputs] = 0
    return replace(operator, weights=weights, bias=bias)


def _touches_padding(window: Window, into: Tensor, out: Tensor) -> bool:
    bottom = (out.shape[0] - 1) * window.stride_h - window.pad_top + window.height
    right = (out.shape[1] - 1) * window.stride_w - window.pad_left + window.width
    return window.pad_top > 0 or window.pad_left > 0 or bottom > into.shape[0] or right > into.shape[1]


def _constants(operator: Operator, graph: Graph, constants: dict[int, Constants]) -> Constants:
    """The constant channels of an operator's output."""
    if isinstance(operator, Conv2D | DepthwiseConv2D):
        channels = len(operator.bias)
        axes = (1, 2, 3) if isinstance(operator, Conv2D) else (0, 1)
        values = staircase_of(operator, graph).value(np.zeros((channels, 1), np.int64))[:, 0]  # [O]
        return {int(c): int(values[c]) for c in np.flatnonzero(~operator.weights.any(axis=axes))}
    known = constants.get(inputs_of(operator)[0], {})
    out = graph.tensors[operator.output]
    if isinstance(operator, AveragePool2D | MaxPool2D):
        return {c: min(max(value, operator.low), operator.high) for c, value in known.items()}
    if isinstance(operator, Lookup) and out.dtype == "int8" and graph.tensors[operator.input].dtype == "int8":
        return {c: int(operator.table[value & 255]) for c, value in known.items()}
    if isinstance(operator, Pad) and _keeps_channels(operator, graph):
        return {c: value for c, value in known.items() if value == out.zero_point}
    if isinstance(operator, Reshape) and _keeps_channels(operator, graph):
        return known
    return {}


def _keeps_channels(operator: Operator, graph: Graph) -> bool:
    """Whether each output channel reads the input channels of the same number and no others."""
    if isinstance(operator, Pad):
        return (
            operator.before == 0 and graph.tensors[operator.input].shape[2] == graph.tensors[operator.output].shape[2]
        )
    if isinstance(operator, AveragePool2D | MaxPool2D | Lookup | Reshape | Add | Mul):
        channels = {graph.tensors[index].shape[2] for index in (*inputs_of(operator), operator.output)}
        return len(channels) == 1
    return False


def _unread(graph: Graph) -> dict[int, Bools]:
    """Channels [C] of each activation that no output byte depends on."""
    read: dict[int, Bools] = {index: np.zeros(tensor.shape[2], np.bool_) for index, tensor in graph.tensors.items()}
    read[graph.output] = np.ones(graph.output_tensor.shape[2], np.bool_)
    for operator in reversed(graph.operators):
        wanted = read[operator.output]  # [C]
        for index in inputs_of(operator):
            read[index] = np.logical_or(read[index], _reads(operator, wanted, graph, len(read[index])))
    return {index: ~channels for index, channels in read.items() if not channels.all()}


def _reads(operator: Operator, wanted: Bools, graph: Graph, channels: int) -> Bools:
    """Which of an input's channels the wanted output channels depend on: bool [channels]."""
    if isinstance(operator, Conv2D) and operator.weights.shape[3] == channels:
        return np.asarray(operator.weights[wanted].any(axis=(0, 1, 2)))
    if isinstance(operator, DepthwiseConv2D):
        used = wanted & operator.weights.any(axis=(0, 1))  # [O]
        return np.asarray(used.reshape(channels, operator.multiplier).any(axis=1))
    if _keeps_channels(operator, graph):
        return wanted
    return np.ones(channels, np.bool_)
