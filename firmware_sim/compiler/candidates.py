"""Which convolutions become generated code, with their proofs and their assembly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.assembly import Assembly
from firmware_sim.compiler.bands import Bands, WindowLayout, bands_of, paired_bands
from firmware_sim.compiler.dense_code import dense_code
from firmware_sim.compiler.depthwise_code import Geometry, channel_code, layer_code
from firmware_sim.compiler.depthwise_groups import grouped
from firmware_sim.compiler.generated_layer import Chunk, Generated, GeneratedDepthwise
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph, Operator
from firmware_sim.compiler.kernels import WORK_WORDS
from firmware_sim.compiler.planes import Formats, Plane, joints, plane_of, word_joints
from firmware_sim.compiler.proofs import proven
from firmware_sim.compiler.prover import EXACT, F1, Requantisation, staircase_of
from firmware_sim.compiler.split import PACK_CYCLES, balanced

MAX_EXACT = 64  # nn.h, NN_WORK_SUMS: two sums a channel
PAIR_DEPTHWISE_CYCLES = 100.0  # of the kernels on pairs, an output, packing left out (decision 0091)
RUN_BYTES, NUMBERS_BYTES = 16, 64  # nn.h, struct nn_depthwise_run
ROW_CYCLES, ROW_OUTPUT_CYCLES = 3.5, 40.0  # of generated code, a weight and an output of a pair of pixels
ODD_PAIRS = 64  # with fewer pairs of pixels than these, an odd one that one core has alone counts


@dataclass(frozen=True, slots=True)
class Candidate:
    """One layer as generated code: what it costs."""

    generated: Generated | GeneratedDepthwise
    assembly: tuple[Assembly, ...]
    cycles: float  # as predicted, both cores at work
    bytes: int  # of SRAM, less the tables of bias and factors that it replaces
    source: Dense | None = None


@dataclass(frozen=True, slots=True)
class Dense:
    """What generated code of a CONV_2D or FULLY_CONNECTED is made from."""

    position: int
    rows: NDArray[np.int8]  # [O, K]
    forms: Requantisation
    constants: NDArray[np.int64]  # [O], outputs of channels without weights
    unread: NDArray[np.bool_]  # [O], channels whose output may be anything
    pairs: int  # of pixels
    shared_pairs: int  # of one of two cores that share pixels
    packing: float  # cycles a pair
    layout: WindowLayout | None  # of bands; None: windows are packed one by one
    packed_once: bool  # the work area holds all that is packed
    cores: int
    plane: Plane | None = None  # where its outputs go
    paired: int = 0  # rows between the pixels of its input's words; 0: it packs its input

    @property
    def repacking(self) -> float:
        """Cycles of packing a pair in a chunk that is not the first."""
        return 0.0 if self.packed_once else self.packing

    def code(self, first: int, end: int) -> tuple[Chunk, tuple[Assembly, ...], float]:
        """Functions for the channels from `first` to before `end`, and the cycles they take, packing included.

        On two cores it is one function for both, each with half of the pixels, or one for each, with its channels.
        """
        name = f"layer_{self.position}_code" + ("" if (first, end) == (0, len(self.rows)) else f"_from_{first}")
        whole = self._function(name, first, end)
        cycles = (self.pairs if self.cores == 1 else self.shared_pairs) * (self.packing + whole.cycles)
        chunk = Chunk((name,), first, end)
        even = 2 * self.shared_pairs - self.pairs <= self.pairs / ODD_PAIRS
        if self.cores == 1 or even or end - first < 2:
            return chunk, (whole,), cycles
        products = np.count_nonzero(self.rows[first:end], axis=1)  # [O]
        middle = first + balanced((products * ROW_CYCLES + ROW_OUTPUT_CYCLES).tolist())
        names = (f"{name}_core_0", f"{name}_core_1")
        parts = (self._function(names[0], first, middle), self._function(names[1], middle, end))
        shared = self.pairs * (self.packing + max(code.cycles for code in parts))
        if shared >= cycles:
            return chunk, (whole,), cycles
        return Chunk(names, first, end, middle), parts, shared

    def _function(self, name: str, first: int, end: int) -> Assembly:
        return dense_code(
            name, self.rows, self.forms, self.constants, (first, end), self.unread, self.layout, self.plane
        )


def dense_of(position: int, operator: Conv2D, graph: Graph, cores: int, words: int, formats: Formats) -> Dense | None:
    """What its code is made from; None when its window does not fit the work area, or too much is not proven."""
    plane, paired = formats.planes.get(operator.output), formats.words.get(operator.input, 0)
    if operator.weights[0].size > WORK_WORDS:
        return None
    stairs = staircase_of(operator, graph)
    forms = proven(operator, graph)
    rows: NDArray[np.int8] = operator.weights.reshape(len(operator.weights), -1)  # [O, K]
    constants = stairs.value(np.zeros((len(rows), 1), np.int64))[:, 0]  # [O]
    empty = ~rows.any(axis=1)  # needs no proof
    forms = replace(forms, form=np.where(empty, F1, forms.form), b=np.where(empty, constants << forms.shift, forms.b))
    if (forms.form == EXACT).sum() > MAX_EXACT:
        return None
    geometry: Bands | None
    if plane is not None or paired:
        geometry = paired_bands(operator, graph, words, plane, paired)
        if geometry is None or (forms.form == EXACT).any():
            return None
    else:
        geometry = bands_of(operator, graph, cores, words)
    if geometry is None:
        pairs = (graph.tensors[operator.output].elements // len(rows) + 1) // 2
        geometry = Bands(None, pairs, -(-pairs // 2), PACK_CYCLES * rows.shape[1], pairs * rows.shape[1] <= words)
    return Dense(
        position=position,
        rows=rows,
        forms=forms,
        constants=constants,
        unread=~graph.needed(operator.output),
        pairs=geometry.pairs,
        shared_pairs=geometry.shared_pairs,
        packing=geometry.packing,
        layout=geometry.layout,
        packed_once=geometry.packed_once,
        cores=cores,
        plane=plane,
        paired=paired,
    )


def candidate(
    position: int, operator: Conv2D, graph: Graph, cores: int, words: int, formats: Formats
) -> Candidate | None:
    """Generated code of a CONV_2D or FULLY_CONNECTED."""
    source = dense_of(position, operator, graph, cores, words, formats)
    if source is None:
        return None
    chunk, assembly, cycles = source.code(0, len(source.rows))
    size = sum(code.bytes for code in assembly) - 9 * len(source.rows)
    return Candidate(generated_of(source, (chunk,)), assembly, cycles, size, source)


def generated_of(source: Dense, chunks: tuple[Chunk, ...]) -> Generated:
    """The layer that these functions are."""
    by_channels = [bool(chunk.split) for chunk in chunks]
    return Generated(
        forms=source.forms,
        exact=np.flatnonzero(source.forms.form == EXACT),
        chunks=chunks,
        pitch=source.layout.pitch if source.layout else 0,
        packed_once=source.packed_once and len(set(by_channels)) == 1,
        plane=source.plane,
        paired=source.paired,
    )


def depthwise_candidate(
    position: int, operator: DepthwiseConv2D, graph: Graph, cores: int, formats: Formats
) -> Candidate | None:
    """Generated code of a 3x3 DEPTHWISE_CONV_2D on pairs; None for other windows."""
    found = grouped(position, operator, graph, cores)
    plane, words = formats.planes.get(operator.input), operator.output in formats.words
    if found is None:
        return None
    window, (height, width, channels) = operator.window, graph.tensors[operator.output].shape
    packed = plane.pitch if plane is not None else (width - 1) * window.stride_w + window.width
    geometry = Geometry(packed, window.stride_h, window.stride_w, width, channels, plane, words)
    code: dict[str, Assembly] = {}
    named: dict[str, str] = {}
    for name, split, kind, group in found.groups:
        label = f"{name}_{plane.name}" if plane is not None else name
        label += "_words" if words else ""
        named[name] = label
        made = channel_code(label, group[0], geometry) if found.own else layer_code(label, split, geometry, kind)
        code[label] = made
    runs = tuple(replace(run, name=named[run.name]) for run in found.runs())
    rows, count = (height + 1) // 2, sum(len(run.channels) for run in runs)
    generated = GeneratedDepthwise(found.forms, runs, found.rest, found.own, found.split, plane, words)
    instead = 2 * rows * width * PAIR_DEPTHWISE_CYCLES * len(generated.rest)
    cycles = instead + sum((rows * code[r.name].cycles + code[r.name].start_cycles) * len(r.channels) for r in runs)
    size = sum(made.bytes for made in code.values()) + RUN_BYTES * len(runs)
    size += (0 if found.own else NUMBERS_BYTES * count) - (0 if found.rest else 9 * channels)
    return Candidate(generated, tuple(code.values()), cycles / cores, size)


def possible_formats(graph: Graph, cores: int) -> Formats:
    """The tensors that could be planes, and those that could be words."""
    positions = {operator.output: i for i, operator in enumerate(graph.operators)}
    planes: dict[int, Plane] = {}
    for index, (conv, depthwise) in joints(graph).items():
        layer = grouped(positions[depthwise.output], depthwise, graph, cores)
        if layer is None or not layer.groups or layer.rest or not _all_proven(conv, graph):
            continue
        order = [channel.index for run in layer.runs() for channel in run.channels]
        plane = plane_of(conv, depthwise, graph, order)
        if plane is not None:
            planes[index] = plane
    words = {
        index: (graph.tensors[index].shape[0] + 1) // 2
        for index, (depthwise, conv) in word_joints(graph).items()
        if depthwise.input in planes and _all_proven(conv, graph)
    }
    return Formats(planes, words)


def _all_proven(conv: Conv2D, graph: Graph) -> bool:
    """Whether no channel needs exact requantisation."""
    return not (proven(conv, graph).form[conv.weights.any(axis=(1, 2, 3))] == EXACT).any()


def candidates(graph: Graph, cores: int, words: int, formats: Formats) -> dict[int, Candidate]:
    """Generated code of the layers that can have it, by operator position."""
    made = ((i, candidate_of(i, operator, graph, cores, words, formats)) for i, operator in enumerate(graph.operators))
    return {position: found for position, found in made if found is not None}


def candidate_of(
    position: int, operator: Operator, graph: Graph, cores: int, words: int, formats: Formats
) -> Candidate | None:
    """That of one layer, if it has one."""
    if isinstance(operator, Conv2D):
        return candidate(position, operator, graph, cores, words, formats)
    return (
        depthwise_candidate(position, operator, graph, cores, formats)
        if isinstance(operator, DepthwiseConv2D)
        else None
    )
