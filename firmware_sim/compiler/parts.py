"""The part of a layer that one core computes, and shapes as the kernels see them."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_sim.compiler.graph import Concatenation, Conv2D, Graph, Mean, Operator, Shape


@dataclass(frozen=True, slots=True)
class Part:
    """Pixels (y * width + x) and channels that one core computes."""

    pixel: int
    pixel_end: int
    channel: int
    channel_end: int

    @property
    def pixels(self) -> int:
        """How many."""
        return self.pixel_end - self.pixel

    @property
    def channels(self) -> int:
        """How many."""
        return self.channel_end - self.channel


def output_shape(operator: Operator, graph: Graph) -> Shape:
    """Rows, columns and channels as the kernels see them."""
    shape = graph.tensors[operator.output].shape
    if isinstance(operator, Mean):
        into = graph.tensors[operator.input].shape
        height, width, channels = (1 if i in operator.axes else side for i, side in enumerate(into))
        return height, width, channels
    if isinstance(operator, Conv2D) and operator.rescale.once:
        return 1, graph.tensors[operator.output].elements // len(operator.bias), len(operator.bias)
    return shape


def input_shape(operator: Operator, graph: Graph) -> Shape:
    """Likewise of the input."""
    if isinstance(operator, Concatenation):
        return graph.tensors[operator.inputs[0]].shape
    if isinstance(operator, Conv2D) and operator.rescale.once:
        depth = operator.weights.shape[3]
        return 1, graph.tensors[operator.input].elements // depth, depth
    return graph.tensors[operator.input].shape


def parts_of(
    operator: Operator, graph: Graph, split: int, *, by_channels: bool, first: int = 0, end: int = 0
) -> list[Part]:
    """What each core computes (network.c, network_part)."""
    height, width, channels = output_shape(operator, graph)
    whole = Part(0, height * width, first, end or channels)
    if not split:
        return [whole]
    if by_channels:
        return [Part(0, whole.pixel_end, first, split), Part(0, whole.pixel_end, split, whole.channel_end)]
    return [Part(0, split, first, whole.channel_end), Part(split, whole.pixel_end, first, whole.channel_end)]
