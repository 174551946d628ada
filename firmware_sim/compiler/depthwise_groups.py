"""Which channels of a depthwise layer share a function, and how the cores share its channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from firmware_sim.compiler.depthwise_channels import Channel, Kind, channels_of, choose_splits
from firmware_sim.compiler.depthwise_code import Geometry
from firmware_sim.compiler.generated_layer import DepthwiseRun
from firmware_sim.compiler.graph import DepthwiseConv2D, Graph
from firmware_sim.compiler.kernels import WORK_WORDS, kernel_of
from firmware_sim.compiler.proofs import proven
from firmware_sim.compiler.prover import Requantisation

MAX_LOOPS = 4  # of a depthwise layer, for each kind of requantisation
OWN_PAIRS, OWN_PAIRS_A_CHANNEL = 250, 30  # of pixels: with so many, code for each depthwise channel is worth its bytes


@dataclass(frozen=True, slots=True)
class Grouped:
    """The channels of a depthwise layer that generated code can do, by function."""

    forms: Requantisation
    groups: list[tuple[str, tuple[int, ...], Kind, list[Channel]]]  # of `own` one channel each
    rest: list[int]  # channels for the other kernels
    own: bool
    split: int  # first channel of the second core

    def runs(self) -> list[DepthwiseRun]:
        """Channels that one call does: of one core, one function, one behind the other."""
        placed = [(c.index >= self.split > 0, name, c) for name, _, _, group in self.groups for c in group]
        by_channel = self.own or len(self.groups) == 1
        placed.sort(key=lambda row: (row[0], "" if by_channel else row[1], row[2].index))
        runs: list[DepthwiseRun] = []
        for side, name, channel in placed:
            last = runs[-1] if runs else None
            if last is not None and not self.own and (last.name, last.side) == (name, side):
                last.channels.append(channel)
            else:
                runs.append(DepthwiseRun(name, side, [channel]))
        return runs


def grouped(position: int, operator: DepthwiseConv2D, graph: Graph, cores: int) -> Grouped | None:
    """The functions of a 3x3 DEPTHWISE_CONV_2D on pairs; None for other windows, and where nothing is proven."""
    window = operator.window
    if kernel_of(operator, graph) != "depthwise_conv_2d" or (window.height, window.width) != (3, 3):
        return None
    height, width, channels = graph.tensors[operator.output].shape
    packed = (width - 1) * window.stride_w + window.width
    if 3 * packed > WORK_WORDS:
        return None
    forms = proven(operator, graph)
    geometry = Geometry(packed, window.stride_h, window.stride_w, width, channels)
    needed = graph.needed(operator.output)
    numbers = [number for number in channels_of(operator.weights.reshape(9, -1), forms) if needed[number.index]]
    if not numbers and needed.all():
        return None
    own = (height + 1) // 2 * width >= max(OWN_PAIRS, OWN_PAIRS_A_CHANNEL * len(numbers))
    groups = [(f"layer_{position}_channel_{c.index}", c.blocks, c.kind, [c]) for c in numbers]
    if not own:
        groups = []
        for split, kind, group in _groups(numbers):
            label = "_".join(map(str, split)) + ("_plain" if kind.plain else "") + ("_ties" if kind.ties else "")
            groups.append((f"{geometry.name}_{label}", split, kind, group))
    coded = {channel.index for channel in numbers}
    rest = [int(c) for c in np.flatnonzero(needed) if c not in coded]
    live = sorted({*coded, *rest})
    middle = live[(len(live) + 1) // 2] if cores == 2 and len(live) > 1 else 0
    return Grouped(forms, groups, rest, own, middle)


def _groups(numbers: list[Channel]) -> list[tuple[tuple[int, ...], Kind, list[Channel]]]:
    """The channels that share a loop."""
    groups: dict[tuple[tuple[int, ...], Kind], list[Channel]] = {}
    for channel, split in zip(numbers, choose_splits(numbers, MAX_LOOPS), strict=True):
        groups.setdefault((split, channel.kind), []).append(channel)
    return [(split, kind, group) for (split, kind), group in groups.items()]
