"""Champion against challenger on the same items: exact paired test and interval of the difference, for the traffic.

Items were stored with different probabilities (all of the unsure, a share of the sure), so each counts 1/share. With
one share for all, the test is McNemar's exact one and the interval Newcombe's score interval (1998, Statistics in
Medicine 17:2635, method 10). With several, the test flips the signs of the weighted discordant items, and the intervals
of the shares are combined by MOVER (Zou and Donner 2008).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from shared.intervals import wilson

MAX_STATES = 2_000_000  # of the exact distribution; beyond, signs are drawn
DRAWS = 100_000


class Paired(NamedTuple):
    """Share of the traffic, challenger minus champion, that is right (or escalated, or whatever was compared)."""

    difference: float
    low: float  # 95 %
    high: float
    p: float  # two-sided, of no difference
    only_challenger: int  # items
    only_champion: int
    n: int


def compare(champion: NDArray[np.bool_], challenger: NDArray[np.bool_], shares: NDArray[np.float64]) -> Paired:
    """Compare bool [N] with bool [N]; `shares` float64 [N] are the probabilities with which the items were stored."""
    if not len(shares):
        return Paired(0.0, -1.0, 1.0, 1.0, 0, 0, 0)
    total = float((1 / shares).sum())
    difference = low = high = 0.0
    for share in np.unique(shares):
        here = shares == share
        part = float((1 / shares[here]).sum()) / total  # of the traffic, as estimated
        d, lower, upper = score_interval(*_table(champion[here], challenger[here]))
        difference += part * d
        low += (part * (d - lower)) ** 2
        high += (part * (upper - d)) ** 2
    signs = challenger.astype(np.int64) - champion.astype(np.int64)  # [N]: 1 only the challenger, -1 only the champion
    return Paired(
        difference,
        max(-1.0, difference - math.sqrt(low)),
        min(1.0, difference + math.sqrt(high)),
        sign_test(signs, shares),
        int((signs > 0).sum()),
        int((signs < 0).sum()),
        len(shares),
    )


def _table(champion: NDArray[np.bool_], challenger: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Both, only the challenger, only the champion, neither."""
    return (
        int((champion & challenger).sum()),
        int((~champion & challenger).sum()),
        int((champion & ~challenger).sum()),
        int((~champion & ~challenger).sum()),
    )


def score_interval(both: int, first: int, second: int, neither: int) -> tuple[float, float, float]:
    """Difference of the paired shares (both + first)/n - (both + second)/n with its 95 % interval; n over 0."""
    n = both + first + second + neither
    p1, l1, u1, _ = wilson(both + first, n)
    p2, l2, u2, _ = wilson(both + second, n)
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    product = float(both * neither - first * second)
    if product > 0:
        product = max(product - n / 2, 0.0)  # Newcombe's correction of phi
    phi = product / math.sqrt(margins) if margins else 0.0
    down = (p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2
    up = (u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2
    d = p1 - p2
    return d, d - math.sqrt(max(down, 0.0)), d + math.sqrt(max(up, 0.0))


def sign_test(signs: NDArray[np.int64], shares: NDArray[np.float64]) -> float:
    """Two-sided p-value of "either is as likely to be the better one on a discordant item": int64, float64 [N].

    The sum of sign/share is compared with what coin flips would give: exactly, or by DRAWS seeded draws when there are
    too many shares. With one share this is McNemar's exact test.
    """
    discordant = signs != 0
    signs, weights = signs[discordant], 1 / shares[discordant]
    if not len(signs):
        return 1.0
    observed = abs(float((signs * weights).sum()))
    slack = 1e-9 * float(weights.sum())
    values, counts = np.unique(weights, return_counts=True)
    if np.prod(counts + 1.0) <= MAX_STATES:
        sums, chances = np.zeros(1), np.ones(1)
        for value, count in zip(values, counts, strict=True):
            wins = np.arange(count + 1)
            step, chance = value * (2 * wins - count), binom.pmf(wins, count, 0.5)
            sums = (sums[:, None] + step[None, :]).ravel()
            chances = (chances[:, None] * chance[None, :]).ravel()
        return min(1.0, float(chances[np.abs(sums) >= observed - slack].sum()))
    rng = np.random.default_rng(0)
    drawn = np.zeros(DRAWS)
    for value, count in zip(values, counts, strict=True):
        drawn += value * (2 * rng.binomial(count, 0.5, DRAWS) - count)
    return float((1 + (np.abs(drawn) >= observed - slack).sum()) / (1 + DRAWS))
