"""Which convolutions become generated code, with their proofs and their assembly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.dense_code import Assembly, dense_code
from firmware_sim.compiler.depthwise_code import SPLITS, Channel, Geometry, channels_of, layer_code, splits_of
from firmware_sim.compiler.emit_layers import WORK_WORDS, Generated, GeneratedDepthwise, kernel_of
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph, Operator
from firmware_sim.compiler.prover import EXACT, prove, staircase_of
from firmware_sim.compiler.split import PACK_CYCLES, balanced

MAX_EXACT = 64  # pair.h, PAIR_SUMS: two sums a channel
PAIR_CYCLES, PAIR_OUTPUT_CYCLES = 3.6, 55.0  # of the kernels on pairs, a MAC and an output (decision 0091)
PAIR_DEPTHWISE_CYCLES = 100.0  # of the kernels on pairs, an output, packing left out
CHANNEL_BYTES = 16  # nn.h, struct nn_depthwise_channel
MAX_LOOPS = 3  # of a depthwise layer
ODD_PAIRS = 64  # with fewer pairs of pixels than these, an odd one that one core has alone counts
PLAIN_CYCLES = 15.0  # a MAC of the plain kernels
ROW_CYCLES, ROW_OUTPUT_CYCLES = 3.5, 40.0  # of generated code, a weight and an output of a pair of pixels


@dataclass(frozen=True, slots=True)
class Candidate:
    """One layer as generated code: what it costs and what it saves."""

    generated: Generated | GeneratedDepthwise
    assembly: tuple[Assembly, ...]
    saved_cycles: float
    bytes: int  # of SRAM, less the tables of bias and factors that it replaces


def candidate(position: int, operator: Conv2D, graph: Graph, cores: int) -> Candidate | None:
    """Generated code of a CONV_2D or FULLY_CONNECTED; None when its window does not fit the work area."""
    taps = operator.weights[0].size
    if taps > WORK_WORDS:
        return None
    stairs = staircase_of(operator, graph)
    forms = prove(stairs)
    exact = np.flatnonzero(forms.form == EXACT)
    if len(exact) > MAX_EXACT:
        return None
    name = f"layer_{position}_code"
    rows: NDArray[np.int8] = operator.weights.reshape(len(operator.weights), -1)  # [O, K]
    constants = stairs.value(np.zeros((len(rows), 1), np.int64))[:, 0]  # [O]
    whole = dense_code(name, rows, forms, constants)
    assembly: tuple[Assembly, ...] = (whole,)
    pixels = graph.tensors[operator.output].elements // len(rows)
    pairs, begin = (pixels + 1) // 2, 0
    cycles = float(pairs * whole.cycles)
    if cores == 2:
        packing = PACK_CYCLES * taps
        cycles = -(-pairs // 2) * (packing + whole.cycles)
        if pairs % 2 and pairs < ODD_PAIRS and len(rows) > 1:
            begin = balanced((np.count_nonzero(rows, axis=1) * ROW_CYCLES + ROW_OUTPUT_CYCLES).tolist())
            ranges = ((0, begin), (begin, len(rows)))
            parts = [dense_code(f"{name}_{i}", rows, forms, constants, part) for i, part in enumerate(ranges)]
            shared = pairs * (packing + max(code.cycles for code in parts))
            assembly = tuple(parts) if shared < cycles else assembly
            begin = begin if shared < cycles else 0
            cycles = min(cycles, shared)
    instead = (
        PLAIN_CYCLES * rows.size if operator.rescale.once else PAIR_CYCLES * rows.size + PAIR_OUTPUT_CYCLES * len(rows)
    )
    saved = pixels * instead / cores - cycles
    names = tuple(f"{name}_{i}" for i in range(2)) if begin else (name,)
    size = sum(code.bytes for code in assembly) - 9 * len(rows)
    return Candidate(Generated(names, forms, exact, begin), assembly, saved, size)


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
    numbers = channels_of(operator.weights.reshape(9, -1), forms)
    if not numbers:
        return None
    code: dict[str, Assembly] = {}
    users: dict[str, list[Channel]] = {}
    for split, wide, group in _groups(numbers, geometry):
        name = f"layer_{position}_{'_'.join(map(str, split))}" + ("_wide" if wide else "")
        code[name], users[name] = layer_code(name, split, geometry, wide=wide), group
    rows = (height + 1) // 2
    coded = {channel.index for channel in numbers}
    generated = GeneratedDepthwise(forms, users, [c for c in range(channels) if c not in coded])
    saved = (
        sum(
            2 * rows * width * PAIR_DEPTHWISE_CYCLES - rows * code[name].cycles
            for name, group in users.items()
            for _ in group
        )
        / cores
    )
    size = sum(made.bytes for made in code.values()) + CHANNEL_BYTES * len(numbers)
    return Candidate(generated, tuple(code.values()), saved, size - 9 * len(numbers))


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


def _candidate(position: int, operator: Operator, graph: Graph, cores: int) -> Candidate | None:
    if isinstance(operator, Conv2D):
        return candidate(position, operator, graph, cores)
    return depthwise_candidate(position, operator, graph, cores) if isinstance(operator, DepthwiseConv2D) else None


def candidates(graph: Graph, cores: int) -> dict[int, Candidate]:
    """The layers that are faster as generated code, by operator position."""
    made = ((i, _candidate(i, operator, graph, cores)) for i, operator in enumerate(graph.operators))
    return {position: found for position, found in made if found is not None and found.saved_cycles > 0}
