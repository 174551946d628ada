"""A cross-check by somebody else's library: split conformal sets of mapie, where both promise the same kind of thing.

With two labels of which one is critical both choose one threshold: below which probability of "critical" an item may
pass as the other. mapie, calibrated on critical items alone, promises that a share alpha of them is missed on average
over calibration samples; ours, with delta = 0.5, that at least half of all samples keep to alpha. Both allow the same
misses in the sample, but for one or two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.certification.procedure import certify
from edge.gate.integer import NEVER_ALONE, GateTable, exponential_table

pytest.importorskip("mapie", reason="the extra bench is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

TABLE = GateTable(exponential_table(0.05, 1.0), (0, 0))
ALPHA, ITEMS, DRAWS = 0.05, 400, 100


def critical_items(rng: np.random.Generator, count: int) -> NDArray[np.int8]:
    """Logits int8 [N, 2] of items that are all of label 1, some of which look like label 0."""
    lead = rng.normal(35, 40, count)
    return np.clip(np.rint(np.stack([-lead / 2, lead / 2], axis=1)), -128, 127).astype(np.int8)


def probability_of_critical(logits: NDArray[np.int8]) -> NDArray[np.float64]:
    """As the gate's table has it, float64 [N]."""
    powers = np.array(TABLE.lut, np.float64)[logits.max(axis=1, keepdims=True).astype(int) - logits]
    return np.asarray(powers[:, 1] / powers.sum(axis=1))


def misses_by_mapie(sample: NDArray[np.int8], asked: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Which of `asked` get a set without label 1, after calibration on `sample`: bool [N]."""
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Gate(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, x: Any, y: Any) -> Gate:
            self.classes_ = np.array([0, 1])
            return self

        def predict_proba(self, x: Any) -> NDArray[np.float64]:
            critical = probability_of_critical(np.asarray(x, np.int8))
            return np.stack([1 - critical, critical], axis=1)

        def predict(self, x: Any) -> NDArray[np.int64]:
            return np.asarray(self.predict_proba(x).argmax(axis=1))

    conformal = SplitConformalClassifier(Gate().fit(None, None), confidence_level=1 - ALPHA, prefit=True)
    conformal.conformalize(sample, np.ones(len(sample), int))
    return ~conformal.predict_set(asked)[1][:, 1, 0]


def misses_by_us(sample: NDArray[np.int8], asked: NDArray[np.int8], delta: float) -> NDArray[np.bool_]:
    """Which of `asked` pass as label 0 under the certified thresholds: bool [N]."""
    levels = np.concatenate([[NEVER_ALONE], np.arange(32768, -1, -16)])
    path = np.stack([levels, np.zeros_like(levels)], axis=1)  # [K, 2]: label 1 may always be said
    found = certify(TABLE, path, sample, np.ones(len(sample), np.int64), {1: ALPHA}, delta)
    sure = TABLE.probabilities_q15(asked) >= np.array(found.tau_q15)[asked.argmax(axis=1)]
    return sure & (asked.argmax(axis=1) == 0)


def test_mapie_agrees_on_marginal_coverage() -> None:
    rng = np.random.default_rng(1)
    population = critical_items(rng, 8000)
    theirs, ours, strict = [], [], []
    for _ in range(DRAWS):
        sample = critical_items(rng, ITEMS)
        allowed_by_mapie = int(misses_by_mapie(sample, sample).sum())
        allowed_by_us = int(misses_by_us(sample, sample, 0.5).sum())
        assert abs(allowed_by_mapie - allowed_by_us) <= 2
        theirs.append(misses_by_mapie(sample, population).mean())
        ours.append(misses_by_us(sample, population, 0.5).mean())
        strict.append(misses_by_us(sample, population, 0.05).mean())
    error = 4 * float(np.std(theirs)) / DRAWS**0.5
    assert ALPHA - 2 / (ITEMS + 1) - error <= float(np.mean(theirs)) <= ALPHA + error  # what conformal sets promise
    assert float(np.mean(ours)) == pytest.approx(float(np.mean(theirs)), abs=2 / ITEMS + error)
    assert float(np.mean(np.array(strict) > ALPHA)) <= 0.14  # and what they do not: ours holds in nearly every sample
    assert float(np.mean(np.array(theirs) > ALPHA)) >= 0.25
