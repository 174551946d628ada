"""The usual rules: a score for each item, escalated when it is below a threshold.

`fixed top score`, `cross-entropy` and `IBT` are the hard-example rules of KubeEdge Sedna, from their published
formulas; `margin` and `entropy` are those of the active-learning literature (Settles 2009). None knows which labels are
critical.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float64]  # [N, labels]
Scores = NDArray[np.float64]  # [N], escalated from the lowest on

SMALLEST = 1e-12  # of a probability, in logarithms


def top_score(p: Probabilities) -> Scores:
    """The largest probability (Sedna's Threshold on one score)."""
    scores: Scores = p.max(axis=1)
    return scores


def cross_entropy(p: Probabilities) -> Scores:
    """Sedna's CrossEntropy: 1 + sum(p ln p) / ln K."""
    scores: Scores = 1 + (p * np.log(np.maximum(p, SMALLEST))).sum(axis=1) / np.log(p.shape[1])
    return scores


def ibt(p: Probabilities) -> Scores:
    """Sedna's IBT: hard when at least 1 - t_img = half of the scores are at most t_box.

    Sweeping t_box, an item becomes hard at the score below which half of its scores lie.
    """
    return np.sort(p, axis=1)[:, (p.shape[1] + 1) // 2 - 1]


def margin(p: Probabilities) -> Scores:
    """Largest minus second largest probability."""
    ranked = np.sort(p, axis=1)
    return ranked[:, -1] - ranked[:, -2]


def entropy(p: Probabilities) -> Scores:
    """Negative Shannon entropy: the order of cross_entropy."""
    scores: Scores = (p * np.log(np.maximum(p, SMALLEST))).sum(axis=1)
    return scores


def at_random(p: Probabilities) -> Scores:
    """No rule at all: the same order in every run."""
    return np.random.default_rng(0).random(len(p))


RULES: dict[str, Callable[[Probabilities], Scores]] = {
    "fixed top score": top_score,
    "cross-entropy": cross_entropy,
    "IBT": ibt,
    "margin": margin,
    "entropy": entropy,
    "random": at_random,
}
