"""Planes: activations that a generated convolution writes as the depthwise layer behind it reads them, packed in pairs.

A plane is one channel: packed rows of words, value of the first + (value of the second << 16), where the second row is
`distance` rows below the first (band.h). The convolution writes each word once, in the place of two bytes; the
depthwise layer then packs nothing. What the convolution cannot know (zero points beside the rows, rows that belong to
the other half) the depthwise code fills in, channel by channel. A plane takes two bytes a value and more, so it is
chosen where the arena has room.

Likewise a depthwise layer that reads planes may write words of both pixels, [row of the first][column][channel], which
are the windows of a 1x1 convolution behind it: that packs nothing either.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph, Pad, Window, inputs_of

SIDE = 3  # of the window


@dataclass(frozen=True, slots=True)
class Formats:
    """The tensors that are no plain activations, by index."""

    planes: dict[int, Plane] = field(default_factory=dict)
    words: dict[int, int] = field(default_factory=dict)  # words [rows][W][C] of two pixels, so many rows apart

    def touches(self, operator: Conv2D | DepthwiseConv2D) -> tuple[bool, ...]:
        """Which of a layer's tensors are."""
        ends = (operator.input, operator.output)
        return tuple(index in found for found in (self.planes, self.words) for index in ends)

    def bytes(self, graph: Graph) -> dict[int, int]:
        """What each activation takes."""
        sizes = {index: graph.tensors[index].bytes for index in graph.activations}
        for operator in graph.operators:
            if isinstance(operator, DepthwiseConv2D) and operator.input in self.planes:
                height, width, channels = graph.tensors[operator.output].shape
                sizes[operator.output] += height % 2 * width * channels  # a second row that does not exist
        sizes |= {index: plane.bytes for index, plane in self.planes.items()}
        for index, distance in self.words.items():
            sizes[index] = 4 * distance * graph.tensors[index].shape[1] * graph.tensors[index].shape[2]
        return sizes


@dataclass(frozen=True, slots=True)
class Source:
    """Where a packed row comes from: "written" by the convolution, or from row `row` of the plane: "low" its first
    pixels, which are second ones here, "high" its second ones, which are first ones here, "alone" itself without second
    ones; "outside": zero points."""

    kind: str
    row: int = 0


@dataclass(frozen=True, slots=True)
class Plane:
    """What a depthwise layer reads of each channel, and the convolution before it writes."""

    pitch: int  # words of a packed row
    rows: tuple[Source, ...]
    top: int  # rows before the first that the convolution writes
    left: int
    columns: int  # that it writes
    distance: int  # rows from the first pixel's to the second's
    height: int  # of the input
    zero_point: int
    index: tuple[int, ...]  # of each channel's plane, in the order of the depthwise layer's code; -1: nobody reads it

    @property
    def words(self) -> int:
        """Of one plane."""
        return self.pitch * len(self.rows)

    @property
    def count(self) -> int:
        """Planes."""
        return max(self.index) + 1

    @property
    def bytes(self) -> int:
        """Of all planes."""
        return 4 * self.words * self.count

    @property
    def first_rows(self) -> int:
        """Packed rows that the convolution writes."""
        return min(self.distance, self.height)

    @property
    def name(self) -> str:
        """For the names of functions."""
        kinds = "".join(source.kind[0] + str(source.row) for source in self.rows if source.kind != "written")
        return f"plane_{self.left}_{self.columns}_{self.zero_point & 255}_{kinds}_{len(self.rows)}"


PLAIN = Formats()


def plane_of(conv: Conv2D, depthwise: DepthwiseConv2D, graph: Graph, order: list[int]) -> Plane | None:
    """The planes between two layers; None where they do not fit together. `order`: the channels that are read."""
    window = depthwise.window
    height, width, channels = graph.tensors[conv.output].shape
    out_h, out_w, _ = graph.tensors[depthwise.output].shape
    if (window.height, window.width) != (SIDE, SIDE) or depthwise.multiplier != 1 or conv.rescale.once or not order:
        return None
    half = (out_h + 1) // 2
    distance = half * window.stride_h
    if 2 * distance < height or distance > height or window.stride_h > SIDE or window.pad_top > SIDE - window.stride_h:
        return None
    rows = [
        _source(row - window.pad_top, distance, height, window.pad_top)
        for row in range(distance + SIDE - window.stride_h)
    ]
    index = np.full(channels, -1)
    index[order] = np.arange(len(order))
    return Plane(
        pitch=max((out_w - 1) * window.stride_w + SIDE, window.pad_left + width),
        rows=tuple(rows),
        top=window.pad_top,
        left=window.pad_left,
        columns=width,
        distance=distance,
        height=height,
        zero_point=graph.tensors[conv.output].zero_point,
        index=tuple(index.tolist()),
    )


def _source(y: int, distance: int, height: int, top: int) -> Source:
    """Of the packed row whose first pixels are input row y."""
    below = y + distance < height
    if y < 0:
        return Source("low", y + distance + top) if below else Source("outside")
    if y < distance:
        return Source("written") if below else Source("alone", y + top)
    return Source("high", y - distance + top) if y < height else Source("outside")


def joints(graph: Graph) -> dict[int, tuple[Conv2D, DepthwiseConv2D]]:
    """The tensors between a convolution and the depthwise layer that alone reads it, by index."""
    made = {operator.output: operator for operator in graph.operators if isinstance(operator, Conv2D)}
    return {
        operator.input: (made[operator.input], operator)
        for operator in graph.operators
        if isinstance(operator, DepthwiseConv2D) and operator.input in made and _alone(operator.input, graph)
    }


def word_joints(graph: Graph) -> dict[int, tuple[DepthwiseConv2D, Conv2D]]:
    """Those between a depthwise layer and the 1x1 convolution that alone reads it."""
    made = {operator.output: operator for operator in graph.operators if isinstance(operator, DepthwiseConv2D)}
    return {
        operator.input: (made[operator.input], operator)
        for operator in graph.operators
        if isinstance(operator, Conv2D)
        and operator.input in made
        and _alone(operator.input, graph)
        and not operator.rescale.once
        and operator.window == Window(1, 1, 1, 1, 0, 0)
    }


def _alone(index: int, graph: Graph) -> bool:
    """Whether one operator reads the tensor, and nobody else."""
    readers = [
        operator
        for operator in graph.operators
        if index in inputs_of(operator) and not (isinstance(operator, Pad) and operator.folded)
    ]
    return len(readers) == 1 and index != graph.output
