"""Channels of a 3x3 DEPTHWISE_CONV_2D as numbers for generated code, and when their products must be drained."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.assembly import Block
from firmware_sim.compiler.prover import BASE, EXACT, F1, PLAIN_SHIFT, Requantisation

TAPS = 9
MOST_BLOCKS = 4
ANY = (2, 2, 2, 2, 1)  # blocks of any weights but -128


@dataclass(frozen=True, slots=True)
class Kind:
    """What a loop's requantisation does."""

    plain: bool  # F1: without k
    ties: bool


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel's numbers: weights [9], the products between drains, and its requantisation."""

    index: int
    taps: tuple[int, ...]
    blocks: tuple[int, ...]
    kind: Kind
    m: int
    k: int
    b: int
    d: int
    after: int

    @property
    def numbers(self) -> tuple[int, ...]:
        """As nn.h has them; a channel without ties subtracts nothing and adds nothing."""
        ties = (self.d, self.after) if self.kind.ties else (0, 0)
        return (*self.taps, self.m, self.k, self.b, self.index, int(self.kind.ties), *ties)


def channels_of(weights: NDArray[np.int8], forms: Requantisation) -> list[Channel]:
    """The channels of weights int8 [9, O] that generated code can do."""
    found = (_channel(weights[:, c].astype(int).tolist(), forms, c) for c in range(weights.shape[1]))
    return [channel for channel in found if channel is not None]


def _channel(taps: list[int], forms: Requantisation, c: int) -> Channel | None:
    form, m, k, b, d = (int(values[c]) for values in (forms.form, forms.m, forms.k, forms.b, forms.d))
    if form == EXACT or (forms.a[c], forms.s[c]) not in ((0, PLAIN_SHIFT), (0, 0)):
        return None
    kind = Kind(BASE.get(form, form) == F1, form in BASE)
    blocks, block, start = [], Block(), 0
    for tap, weight in enumerate(taps):
        if not block.takes(weight):
            blocks.append(tap - start)
            block, start = Block(), tap
        if not block.takes(weight):
            return None  # -128, which no block takes
        block.add(weight)
    return Channel(c, tuple(taps), (*blocks, TAPS - start), kind, m, k, b, d, forms.after)


def _splits() -> list[tuple[int, ...]]:
    """All ways to divide nine products between drains, the cheapest first."""
    found: list[tuple[int, ...]] = [ANY]
    for blocks in range(MOST_BLOCKS, 0, -1):
        for ends in combinations(range(1, TAPS), blocks - 1):
            found.append(tuple(np.diff((0, *ends, TAPS)).tolist()))
    return found[::-1]


SPLITS = tuple(_splits())


def choose_splits(channels: list[Channel], most: int) -> list[tuple[int, ...]]:
    """The split of each channel: at most so many different ones, those with the fewest drains in all."""
    if not channels:
        return []
    allowed = np.array([[_allowed(channel.taps, split) for split in SPLITS] for channel in channels])  # [n, splits]
    drains = np.array([len(split) for split in SPLITS])
    cost = np.where(allowed, drains, 2 * TAPS)  # [n, splits]
    chosen, best = [SPLITS.index(ANY)], cost[:, SPLITS.index(ANY)]
    while len(chosen) < most:
        with_each = np.minimum(best[:, None], cost)  # [n, splits]
        found = int(with_each.sum(axis=0).argmin())
        if with_each[:, found].sum() == best.sum():
            break
        chosen.append(found)
        best = with_each[:, found]
    cheapest = np.array(chosen)[cost[:, chosen].argmin(axis=1)]  # [n]
    return [SPLITS[i] for i in cheapest.tolist()]


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
