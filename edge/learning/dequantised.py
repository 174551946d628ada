"""Back from the integers of a model to weights that can be trained on: a `.tflite` is all that learning on needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from edge.learning.folding import FoldedLayer, FoldedNetwork
from edge.learning.grid import LOW, Grid
from edge.learning.network import RELU6
from firmware_sim.compiler.graph import Add, AveragePool2D, Conv2D, DepthwiseConv2D, Graph, Pad
from shared.errors import BadInputError

SMALLEST = 3  # layers


def dequantised(graph: Graph) -> tuple[FoldedNetwork, tuple[Grid, ...]]:
    """Float weights and the grids of outputs and sums of a network as `to_integers` writes them.

    A weight's scale follows from the multiplier that the integers are rescaled by. Linear layers before the head tell
    inverted residuals, whose rectifiers have a ceiling: in the integers it is the end of a grid, which learning on
    chooses anew. Raises BadInputError for a graph of another form: only crustwatch's own networks can be trained on.
    """
    layers: list[FoldedLayer] = []
    grids: list[Grid] = []
    made_by: dict[int, int] = {}  # tensor: the layer whose result it is
    pooled = padded = False
    for operator in graph.operators:
        given = graph.tensors[operator.output]
        if isinstance(operator, Pad):
            padded = True
        elif isinstance(operator, AveragePool2D):
            pooled = True
        elif isinstance(operator, Add):
            _add(operator, layers, made_by)
            grids.append(Grid(given.scale, given.zero_point))
        elif isinstance(operator, Conv2D | DepthwiseConv2D):
            if layers and layers[-1].pooled:
                raise _other("layers follow its head")
            made_by[operator.output] = len(layers)
            layers.append(_layer(operator, graph, len(layers), padded=padded, pooled=pooled))
            grids.append(Grid(given.scale, given.zero_point))
            padded = False
        else:
            raise _other(f"it holds {type(operator).__name__}")
    if len(layers) < SMALLEST or not layers[-1].pooled:
        raise _other("its layers are not a stem, convolutions, an average pool and a head")
    if not all(layer.relu for layer in layers[:-1]):
        layers = [replace(layer, ceiling=RELU6 if layer.relu else None) for layer in layers]
    return FoldedNetwork(graph.tensors[graph.input].shape[0], tuple(layers)), tuple(grids)


def _layer(
    operator: Conv2D | DepthwiseConv2D, graph: Graph, position: int, *, padded: bool, pooled: bool
) -> FoldedLayer:
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
    kind = "depthwise" if depthwise else "dense"
    stride = operator.window.stride_h
    return FoldedLayer(
        "head" if pooled else "stem" if position == 0 else f"layer{position}/{kind}",
        torch.from_numpy(weight.astype(np.float32)),
        torch.from_numpy(bias.astype(np.float32)),
        stride,
        depthwise,
        relu=not pooled and given.zero_point == LOW,  # a grid from zero on: nothing negative comes out
        far=stride > 1 and not padded,
        pooled=pooled,
    )


def _add(operator: Add, layers: list[FoldedLayer], made_by: dict[int, int]) -> None:
    """The last layer's output and an earlier one's result become the last layer's result."""
    last = len(layers) - 1
    pair = [made_by.get(tensor) for tensor in (operator.input, operator.input2)]
    if operator.sign < 0 or last not in pair or None in pair or pair[0] == pair[1] or layers[last].added is not None:
        raise _other("a sum is not of a layer and one before it")
    layers[last] = replace(layers[last], added=next(one for one in pair if one != last))
    made_by[operator.output] = last


def _other(why: str) -> BadInputError:
    return BadInputError(f"the model cannot be trained on: {why}; crustwatch edge train makes one that can")
