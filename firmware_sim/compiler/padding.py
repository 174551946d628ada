"""PAD in front of convolutions becomes their own padding, whose taps read the same zero point."""

from __future__ import annotations

from dataclasses import replace

from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph, Operator, Pad, inputs_of


def without_pads(graph: Graph) -> Graph:
    """The same network with each PAD that only convolutions read folded into their windows."""
    folded: dict[int, Pad] = {}  # by output
    for operator in graph.operators:
        if isinstance(operator, Pad) and operator.output != graph.output and _folds(operator, graph):
            folded[operator.output] = operator
    return replace(graph, operators=tuple(_changed(operator, folded) for operator in graph.operators))


def _folds(pad: Pad, graph: Graph) -> bool:
    into, out = graph.tensors[pad.input], graph.tensors[pad.output]
    readers = [operator for operator in graph.operators if pad.output in inputs_of(operator)]
    bottom, right = out.shape[0] - into.shape[0] - pad.top, out.shape[1] - into.shape[1] - pad.left
    return into.shape[2] == out.shape[2] and all(
        isinstance(operator, Conv2D | DepthwiseConv2D)
        and not operator.rescale.once  # FULLY_CONNECTED
        and max(pad.top + operator.window.pad_top, bottom) < operator.window.height
        and max(pad.left + operator.window.pad_left, right) < operator.window.width
        for operator in readers
    )


def _changed(operator: Operator, folded: dict[int, Pad]) -> Operator:
    if isinstance(operator, Pad) and operator.output in folded:
        return replace(operator, folded=True)
    if not isinstance(operator, Conv2D | DepthwiseConv2D) or operator.input not in folded:
        return operator
    pad, window = folded[operator.input], operator.window
    window = replace(window, pad_top=window.pad_top + pad.top, pad_left=window.pad_left + pad.left)
    return replace(operator, input=pad.input, window=window)
