"""Selective prediction: error against the share of items that are answered, most confident first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def risk_coverage(confidence: NDArray[np.int64], correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Error among the i + 1 most confident items, float64 [N]; `confidence` int64 [N], `correct` bool [N].

    Items of equal confidence have no order: each stands for their mean error, so the curve does not depend on one.
    """
    _, block, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    error = np.bincount(block, weights=~correct) / sizes  # [blocks]: mean error of equals
    return np.cumsum(error[np.sort(block)]) / np.arange(1, len(correct) + 1)


def area_under(curve: NDArray[np.float64]) -> float:
    """AURC (Geifman, Uziel, El-Yaniv 2019, arXiv:1805.08206): the mean of the curve over all coverages."""
    return float(curve.mean())


def risk_at(curve: NDArray[np.float64], coverage: float) -> float:
    """Error when the share `coverage` of the items is answered (rounded up to whole items)."""
    return float(curve[max(0, int(np.ceil(coverage * len(curve))) - 1)])
