"""Where each activation lies in the firmware's arena: a static plan, made once when the tables are generated.

Largest tensor first, each at the lowest offset where it meets no tensor alive at the same time (the greedy planner of
tflite-micro, tensorflow/lite/micro/memory_planner/greedy_memory_planner.cc). RESHAPE moves nothing: its output is
its input's place. So is that of a layer that works value by value, when nobody reads the input afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_sim.compiler.graph import Add, Graph, Lookup, Mul, Operator, Pad, Reshape, inputs_of
from firmware_sim.compiler.planes import PLAIN, Formats

ALIGNMENT = 4  # bytes: the kernels load words


@dataclass(frozen=True, slots=True)
class Placement:
    """One buffer: its bytes, and the first and last operator position during which it is alive."""

    offset: int
    bytes: int
    first: int  # -1: written before the first operator (the input)
    last: int

    def meets(self, other: Placement) -> bool:
        """Whether both are alive at the same time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """Byte offset of each activation, and the size of the whole."""

    offsets: dict[int, int]  # by tensor index
    placements: tuple[Placement, ...]  # one a buffer (tensors that share bytes share one)
    bytes: int


def plan(graph: Graph, formats: Formats = PLAIN) -> ArenaPlan:
    """Place all activations of `graph`; no other operator's output overlaps its inputs.

    `formats`: the tensors that are no plain activations (planes.py).
    """
    sizes = formats.bytes(graph)
    folded = {operator.output for operator in graph.operators if isinstance(operator, Pad) and operator.folded}
    owner = {index: index for index in graph.activations if index not in folded}
    owner |= {view: whole for view, (whole, _) in graph.views.items()}
    for position, operator in enumerate(graph.operators):
        if isinstance(operator, Reshape):
            owner[operator.output] = owner[operator.input]
        elif (place := _in_place(position, operator, graph, owner)) is not None and operator.output not in folded:
            owner[operator.output] = owner[place]
    first, last = {owner[graph.input]: -1}, {owner[graph.input]: 0}
    for position, operator in enumerate(graph.operators):
        if operator.output in folded:
            continue
        for index in (*(i for i in inputs_of(operator) if i in owner), operator.output):
            first.setdefault(owner[index], position)
            last[owner[index]] = position
    last[owner[graph.output]] = len(graph.operators)
    placed: dict[int, Placement] = {}
    for index in sorted(first, key=lambda i: (-sizes[i], first[i])):
        size = -(-sizes[index] // ALIGNMENT) * ALIGNMENT
        want = Placement(0, size, first[index], last[index])
        offset = _lowest_gap(size, sorted((p for p in placed.values() if p.meets(want)), key=lambda p: p.offset))
        placed[index] = Placement(offset, size, want.first, want.last)
    total = max(p.offset + p.bytes for p in placed.values())
    offsets = {i: placed[owner[i]].offset for i in owner if owner[i] in placed}
    offsets |= {view: offsets[whole] + offset for view, (whole, offset) in graph.views.items()}
    return ArenaPlan(offsets, tuple(placed.values()), total)


def _in_place(position: int, operator: Operator, graph: Graph, owner: dict[int, int]) -> int | None:
    """The input whose place the output may take: of a layer value by value, of its size, and read for the last time."""
    if not isinstance(operator, Add | Mul | Lookup):
        return None
    out = graph.tensors[operator.output]
    for index in inputs_of(operator):
        into = graph.tensors[index]
        if index not in owner or (into.shape, into.bytes) != (out.shape, out.bytes):
            continue
        same = {other for other in owner if owner[other] == owner[index]}
        later = {read for after in graph.operators[position + 1 :] for read in inputs_of(after)}
        if not same & (later | {graph.input, graph.output}):
            return index
    return None


def _lowest_gap(size: int, neighbours: list[Placement]) -> int:
    """Lowest offset with `size` free bytes among `neighbours`, sorted by offset."""
    offset = 0
    for neighbour in neighbours:
        if neighbour.offset - offset >= size:
            break
        offset = max(offset, neighbour.offset + neighbour.bytes)
    return offset
