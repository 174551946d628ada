"""Channels of a 3x3 DEPTHWISE_CONV_2D as numbers for generated code, and when their products must be drained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.assembly import Block
from firmware_sim.compiler.prover import F1, F2, F2X, Requantisation

TAPS = 9
SPLITS: tuple[tuple[int, ...], ...] = (
    (9,),
    (3, 6),
    (6, 3),
    (4, 5),
    (5, 4),
    (3, 3, 3),
    (2, 1, 2, 1, 2, 1),
    (2, 2, 2, 2, 1),
)


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel's numbers: weights [9], the products between drains, and the requantisation F2, or F2x when k > 0."""

    index: int
    taps: tuple[int, ...]
    blocks: tuple[int, ...]
    m: int
    k: int
    b: int


def channels_of(weights: NDArray[np.int8], forms: Requantisation) -> list[Channel]:
    """The channels of weights int8 [9, O] that generated code can do."""
    found = (_channel(weights[:, c].astype(int).tolist(), forms, c) for c in range(weights.shape[1]))
    return [channel for channel in found if channel is not None]


def _channel(taps: list[int], forms: Requantisation, c: int) -> Channel | None:
    form, m, k, b = int(forms.form[c]), int(forms.m[c]), int(forms.k[c]), int(forms.b[c])
    if form == F1 and m < 2**16:
        form, m = F2, m << 8  # the same function
    if form not in (F2, F2X):
        return None
    blocks, block, start = [], Block(), 0
    for tap, weight in enumerate(taps):
        if not block.takes(weight):
            blocks.append(tap - start)
            block, start = Block(), tap
        if not block.takes(weight):
            return None  # -128, which no block takes
        block.add(weight)
    return Channel(c, tuple(taps), (*blocks, TAPS - start), m, k if form == F2X else 0, b)


def splits_of(channel: Channel) -> list[tuple[int, ...]]:
    """Those of SPLITS whose blocks the channel's weights allow, the cheapest first."""
    return [split for split in SPLITS if _allowed(channel.taps, split)]


def _allowed(taps: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    """Whether every run of that many products keeps within a block's bound."""
    start = 0
    for size in sizes:
        block = Block()
        for weight in taps[start : start + size]:
            if not block.takes(weight):
                return False
            block.add(weight)
        start += size
    return True
