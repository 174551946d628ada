"""Back from the integers of a model to weights that can be trained on: a `.tflite` is all that learning on needs."""

from __future__ import annotations

import numpy as np
import torch

from edge.learning.folding import FoldedLayer, FoldedNetwork
from edge.learning.grid import Grid
from edge.learning.network import Topology
from firmware_sim.compiler.graph import AveragePool2D, Conv2D, DepthwiseConv2D, Graph, Pad
from shared.errors import BadInputError


def dequantised(graph: Graph) -> tuple[FoldedNetwork, tuple[Grid, ...]]:
    """Float weights and the output grids of the layers of a network as `to_integers` writes them.

    A weight's scale follows from the multiplier that the integers are rescaled by. Raises BadInputError for a graph of
    another form: only crustwatch's own networks can be trained on.
    """
    layers: list[FoldedLayer] = []
    grids: list[Grid] = []
    for operator in graph.operators:
        if isinstance(operator, Pad | AveragePool2D):
            continue
        if not isinstance(operator, Conv2D | DepthwiseConv2D):
            raise _other(f"it holds {type(operator).__name__}")
        taken, given = graph.tensors[operator.input], graph.tensors[operator.output]
        exponent = operator.rescale.exponent.astype(np.float64)
        real = operator.rescale.multiplier.astype(np.float64) * np.exp2(exponent - 31)  # [O]: s_in * s_w / s_out
        scales = real * given.scale / taken.scale  # [O]
        depthwise = isinstance(operator, DepthwiseConv2D)
        if depthwise and given.shape[2] != taken.shape[2]:
            raise _other("a depthwise layer has a channel multiplier")
        order = (2, 0, 1) if depthwise else (0, 3, 1, 2)
        integers = operator.weights.astype(np.float64).transpose(order)  # [O, kh, kw] or [O, I, kh, kw]
        if depthwise:
            integers = integers[:, None]  # [O, 1, kh, kw]
        weight = integers * scales[:, None, None, None]  # [O, I / groups, kh, kw]
        bias = operator.bias * scales * taken.scale  # [O]
        layers.append(
            FoldedLayer(
                f"layer{len(layers)}",
                torch.from_numpy(weight.astype(np.float32)),
                torch.from_numpy(bias.astype(np.float32)),
                operator.window.stride_h,
                depthwise,
                True,
            )
        )
        grids.append(Grid(given.scale, given.zero_point))
    return FoldedNetwork(_topology(graph, layers), _named(layers)), tuple(grids)


def _named(layers: list[FoldedLayer]) -> tuple[FoldedLayer, ...]:
    """The layers under the names of `EdgeNetwork`; the last one, the head, is not rectified."""
    kinds = ("depthwise", "pointwise")
    named = []
    for position, layer in enumerate(layers):
        last = position == len(layers) - 1
        block = f"block{(position - 1) // 2}/{kinds[(position - 1) % 2]}"
        name = "head" if last else "stem" if position == 0 else block
        named.append(FoldedLayer(name, layer.weight, layer.bias, layer.stride, layer.depthwise, not last))
    return tuple(named)


def _topology(graph: Graph, layers: list[FoldedLayer]) -> Topology:
    kinds = [layer.depthwise for layer in layers]
    blocks = (len(layers) - 2) // 2
    if len(layers) < 4 or kinds != [False, *[True, False] * blocks, False]:
        raise _other("its layers are not a stem, pairs of depthwise and 1x1 convolutions, and a head")
    pairs = zip(layers[1:-1:2], layers[2:-1:2], strict=True)
    return Topology(
        graph.tensors[graph.input].shape[0],
        len(layers[0].weight),
        tuple((depthwise.stride, len(pointwise.weight)) for depthwise, pointwise in pairs),
        graph.labels,
    )


def _other(why: str) -> BadInputError:
    return BadInputError(f"the model cannot be trained on: {why}; crustwatch edge train makes one that can")
