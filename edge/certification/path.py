"""A path of thresholds from "never alone" downwards, learnt on the tuning part of the data.

The gate has one integer threshold a predicted label. Of all such threshold vectors the path holds those that spend the
promise best: an item that is passed as label q costs, for each critical label c other than q, its probability of being
c, divided by what the promise allows for c. Lowering the thresholds where the cost is least escalates least.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from edge.gate.integer import NEVER_ALONE, GateTable

MAX_STEPS = 256


def costs(
    probabilities: NDArray[np.float64],
    predicted: NDArray[np.int64],
    truth: NDArray[np.int64],
    alphas: Mapping[int, float],
) -> NDArray[np.float64]:
    """Expected share of the promise that passing each item spends, float64 [N].

    `probabilities` float64 [N, labels], `predicted` and `truth` int64 [N]; `alphas` by label index.
    """
    cost = np.zeros(len(truth))
    for label, alpha in alphas.items():
        allowed = alpha * max(1, int((truth == label).sum()))  # items of this label that may be passed as another
        cost += np.where(predicted == label, 0.0, probabilities[:, label] / allowed)
    return cost


def threshold_path(
    table: GateTable, logits: NDArray[np.int8], truth: NDArray[np.int64], alphas: Mapping[int, float]
) -> NDArray[np.int64]:
    """Thresholds Q15 int64 [K, labels], each row at most the one before; the first is "never alone".

    `logits` int8 [N, labels] and `truth` int64 [N] of the tuning part; the table's own thresholds are not used.
    """
    labels = logits.shape[1]
    lut = np.array(table.lut, np.float64)
    wide = logits.astype(np.int64)
    predicted = wide.argmax(axis=1)  # [N]
    powers = lut[wide.max(axis=1, keepdims=True) - wide]  # [N, labels]
    probabilities = powers / powers.sum(axis=1, keepdims=True)  # [N, labels]
    score = table.probabilities_q15(logits)  # [N]
    cost = costs(probabilities, predicted, truth, alphas)  # [N]

    fitted = np.empty_like(cost)  # [N]: cost as a falling function of the score, label by label
    for label in range(labels):
        chosen = np.flatnonzero(predicted == label)
        ranked = chosen[np.argsort(score[chosen], kind="stable")]
        if len(ranked):
            fitted[ranked] = isotonic_regression(cost[ranked], increasing=False).x
    levels = np.unique(fitted)
    if len(levels) > MAX_STEPS:
        levels = np.unique(np.quantile(fitted, np.linspace(0, 1, MAX_STEPS), method="nearest"))
    path = np.full((len(levels) + 1, labels), NEVER_ALONE, np.int64)  # [K, labels]
    for step, level in enumerate(levels, start=1):
        for label in range(labels):
            passed = score[(predicted == label) & (fitted <= level)]
            if len(passed):
                path[step, label] = passed.min()
    return np.unique(path, axis=0)[::-1]
