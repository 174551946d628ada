"""Line-buffered execution: a chain of convolutions and pools runs strip by strip; its activations are never whole.

A strip is some rows of the chain's last output. Each layer of the chain becomes a layer a strip, which computes the
rows that the strip needs (those that two strips need, twice); rows of an activation lie one behind the other, so the
first layer reads, and the last one writes, a part of its whole tensor (a view), and what is between exists one strip at
a time. Kernels and bytes are the same. It costs the rows computed twice and more code, so only models that do not fit
otherwise are changed, by the chain and the number of strips that compute least twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from firmware_sim.compiler.graph import (
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    Graph,
    MaxPool2D,
    Operator,
    Pad,
    Tensor,
    inputs_of,
)

STRIPS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
LONGEST = 8  # layers of a chain
ALIGNMENT = 4  # bytes, of the rows at which a view begins
Local = Conv2D | DepthwiseConv2D | AveragePool2D | MaxPool2D


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a tensor, from `first` to before `end`."""

    first: int
    end: int


def fitted(graph: Graph, bytes_of: Callable[[Graph], int], most: int) -> Graph:
    """The network itself if `bytes_of` it are at most so many, else one with strips that fits; itself if none does."""
    if bytes_of(graph) <= most:
        return graph
    found = []
    for begin, end in chains(graph):
        for count in STRIPS:
            changed = in_strips(graph, begin, end, count)
            if changed is not None and bytes_of(changed) <= most:
                found.append(changed)
                break  # more strips compute more twice
    return min(found, key=lambda changed: changed.macs()) if found else graph


def chains(graph: Graph) -> Iterator[tuple[int, int]]:
    """Positions of the first and last operators of all chains of two layers and more."""
    for begin in range(len(graph.operators)):
        for end in range(begin, min(begin + LONGEST, len(graph.operators))):
            operator = graph.operators[end]
            if not isinstance(operator, Local) or (isinstance(operator, Conv2D) and operator.rescale.once):
                break
            if end > begin:
                yield begin, end
            if not _read_by_next(graph, end):
                break


def _read_by_next(graph: Graph, position: int) -> bool:
    """Whether the next operator, and it alone, reads an operator's output."""
    output = graph.operators[position].output
    readers = [
        i
        for i, operator in enumerate(graph.operators)
        if output in inputs_of(operator) and not (isinstance(operator, Pad) and operator.folded)
    ]
    return readers == [position + 1] and output != graph.output


def in_strips(graph: Graph, begin: int, end: int, count: int) -> Graph | None:
    """The network whose operators `begin` to `end` run in `count` strips; None when their rows do not divide so."""
    operators = list(graph.operators[begin : end + 1])
    height = graph.tensors[operators[-1].output].shape[0]
    each = -(-height // count)
    if each >= height:
        return None
    tensors, views, unread = dict(graph.tensors), dict(graph.views), dict(graph.unread)
    made: list[Operator] = []
    following = max(tensors) + 1
    for first in range(0, height, each):
        wanted = Rows(first, min(first + each, height))
        rows = _rows_of(operators, graph, wanted)
        names = {}
        for level, part in enumerate(rows):
            index = inputs_of(operators[0])[0] if level == 0 else operators[level - 1].output
            whole = graph.tensors[index]
            tensors[following] = replace(
                whole, name=f"{whole.name}[{part.first}:{part.end}]", shape=(part.end - part.first, *whole.shape[1:])
            )
            if index in graph.unread:
                unread[following] = graph.unread[index]
            if level in (0, len(operators)):
                offset = part.first * (whole.bytes // whole.shape[0])
                if offset % ALIGNMENT or index in graph.views:
                    return None
                views[following] = (index, offset)
            names[level] = following
            following += 1
        for level, operator in enumerate(operators):
            strip = _strip(operator, rows[level], rows[level + 1], names[level], names[level + 1])
            if strip is None:
                return None
            made.append(strip)
    whole_operators = (*graph.operators[:begin], *made, *graph.operators[end + 1 :])
    between = {operator.output for operator in operators[:-1]}
    kept: dict[int, Tensor] = {index: tensor for index, tensor in tensors.items() if index not in between}
    return replace(graph, tensors=kept, operators=whole_operators, views=views, unread=unread)


def _rows_of(operators: list[Operator], graph: Graph, wanted: Rows) -> list[Rows]:
    """The rows of the chain's input and of each output that some rows of the last output need."""
    found = [wanted]
    for operator in reversed(operators):
        assert isinstance(operator, Local)  # noqa: S101
        window, height = operator.window, graph.tensors[operator.input].shape[0]
        first = found[0].first * window.stride_h - window.pad_top
        end = (found[0].end - 1) * window.stride_h - window.pad_top + window.height
        found.insert(0, Rows(min(max(0, first), height - 1), max(1, min(end, height))))
    return found


def _strip(operator: Operator, reads: Rows, writes: Rows, into: int, out: int) -> Operator | None:
    """The operator on some rows: what is above the first that it reads is padding, as is what is below the last.

    None where a window would lie in the padding alone.
    """
    assert isinstance(operator, Local)  # noqa: S101
    window = operator.window
    above = reads.first - (writes.first * window.stride_h - window.pad_top)
    if above < 0:
        return None
    return replace(operator, input=into, output=out, window=replace(window, pad_top=above))
