"""Which convolutions become generated code, with their proofs and their assembly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.assembly import Assembly
from firmware_sim.compiler.bands import Bands, bands_of
from firmware_sim.compiler.dense_code import Rows, dense_code
from firmware_sim.compiler.depthwise_channels import SPLITS, Channel, channels_of, splits_of
from firmware_sim.compiler.depthwise_code import Geometry, channel_code, layer_code
from firmware_sim.compiler.emit_layers import WORK_WORDS, Chunk, Generated, GeneratedDepthwise, kernel_of
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph, Operator
from firmware_sim.compiler.prover import EXACT, F1, Requantisation, prove, staircase_of
from firmware_sim.compiler.split import PACK_CYCLES, balanced

MAX_EXACT = 64  # nn.h, NN_WORK_SUMS: two sums a channel
PAIR_CYCLES, PAIR_OUTPUT_CYCLES = 3.6, 55.0  # of the kernels on pairs, a MAC and an output (decision 0091)
PAIR_DEPTHWISE_CYCLES = 100.0  # of the kernels on pairs, an output, packing left out
CHANNEL_BYTES, NUMBERS_BYTES = 12, 48  # nn.h, struct nn_depthwise_channel
MAX_LOOPS = 3  # of a depthwise layer
OWN_PAIRS = 250  # of pixels: with so many, code for each depthwise channel is worth its bytes
PLAIN_CYCLES = 15.0  # a MAC of the plain kernels
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
    layout: Rows | None  # of bands; None: windows are packed one by one
    packed_once: bool  # the work area holds all that is packed
    cores: int

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
        return dense_code(name, self.rows, self.forms, self.constants, (first, end), self.unread, self.layout)


def dense_of(position: int, operator: Conv2D, graph: Graph, cores: int, words: int) -> Dense | None:
    """What its code is made from; None when its window does not fit the work area, or too much is not proven."""
    if operator.weights[0].size > WORK_WORDS:
        return None
    stairs = staircase_of(operator, graph)
    forms = prove(stairs)
    rows: NDArray[np.int8] = operator.weights.reshape(len(operator.weights), -1)  # [O, K]
    constants = stairs.value(np.zeros((len(rows), 1), np.int64))[:, 0]  # [O]
    empty = ~rows.any(axis=1)  # needs no proof
    forms = replace(forms, form=np.where(empty, F1, forms.form), b=np.where(empty, constants << forms.shift, forms.b))
    if (forms.form == EXACT).sum() > MAX_EXACT:
        return None
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
    )


def candidate(position: int, operator: Conv2D, graph: Graph, cores: int, words: int) -> Candidate | None:
    """Generated code of a CONV_2D or FULLY_CONNECTED."""
    source = dense_of(position, operator, graph, cores, words)
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
    )


def depthwise_candidate(position: int, operator: DepthwiseConv2D, graph: Graph, cores: int) -> Candidate | None:
    """Generated code of a 3x3 DEPTHWISE_CONV_2D on pairs; None for other windows."""
    window = operator.window
    if kernel_of(operator, graph) != "depthwise_conv_2d" or (window.height, window.width) != (3, 3):
        return None
    height, width, channels = graph.tensors[operator.output].shape
    packed = (width - 1) * window.stride_w + window.width
    if 3 * packed > WORK_WORDS:
        return None
    forms = prove(staircase_of(operator, graph))
    geometry = Geometry(packed, window.stride_h, window.stride_w, width, channels)
    needed = graph.needed(operator.output)
    numbers = [number for number in channels_of(operator.weights.reshape(9, -1), forms) if needed[number.index]]
    if not numbers and needed.all():
        return None
    code: dict[str, Assembly] = {}
    users: dict[str, list[Channel]] = {}
    own = (height + 1) // 2 * width >= OWN_PAIRS
    for number in numbers if own else []:
        name = f"layer_{position}_channel_{number.index}"
        code[name], users[name] = channel_code(name, number, geometry), [number]
    for split, wide, group in [] if own else _groups(numbers, geometry):
        name = f"{geometry.name}_{'_'.join(map(str, split))}" + ("_wide" if wide else "")
        code[name], users[name] = layer_code(name, split, geometry, wide=wide), group
    rows = (height + 1) // 2
    coded = {channel.index for channel in numbers}
    generated = GeneratedDepthwise(forms, users, [int(c) for c in np.flatnonzero(needed) if c not in coded], own)
    instead = 2 * rows * width * PAIR_DEPTHWISE_CYCLES * len(generated.rest)
    cycles = instead + sum(rows * code[name].cycles * len(group) for name, group in users.items())
    size = sum(made.bytes for made in code.values()) + (CHANNEL_BYTES + (0 if own else NUMBERS_BYTES)) * len(numbers)
    return Candidate(generated, tuple(code.values()), cycles / cores, size - 9 * len(numbers))


def _groups(numbers: list[Channel], geometry: Geometry) -> list[tuple[tuple[int, ...], bool, list[Channel]]]:
    """The channels that share a loop: at most MAX_LOOPS splits, those with which all channels cost least."""
    costs = {split: layer_code("cost", split, geometry, wide=False).cycles for split in SPLITS}
    allowed = [splits_of(channel) for channel in numbers]
    chosen: list[tuple[int, ...]] = [SPLITS[-1]]  # which every channel allows

    def cost(splits: list[tuple[int, ...]]) -> int:
        return sum(min(costs[split] for split in found if split in splits) for found in allowed)

    while len(chosen) < MAX_LOOPS:
        best = min((split for split in SPLITS if split not in chosen), key=lambda split: cost([*chosen, split]))
        if cost([*chosen, best]) == cost(chosen):
            break
        chosen.append(best)
    groups: dict[tuple[tuple[int, ...], bool], list[Channel]] = {}
    for channel, found in zip(numbers, allowed, strict=True):
        split = min((split for split in found if split in chosen), key=lambda split: costs[split])
        groups.setdefault((split, channel.k > 0), []).append(channel)
    return [(split, wide, group) for (split, wide), group in groups.items()]


def candidates(graph: Graph, cores: int, words: int) -> dict[int, Candidate]:
    """Generated code of the layers that can have it, by operator position."""
    made = ((i, _candidate(i, operator, graph, cores, words)) for i, operator in enumerate(graph.operators))
    return {position: found for position, found in made if found is not None}


def _candidate(position: int, operator: Operator, graph: Graph, cores: int, words: int) -> Candidate | None:
    if isinstance(operator, Conv2D):
        return candidate(position, operator, graph, cores, words)
    return depthwise_candidate(position, operator, graph, cores) if isinstance(operator, DepthwiseConv2D) else None
