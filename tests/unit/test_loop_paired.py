"""Paired comparisons: known values, coverage, and weights for items that were stored with different probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.loop.paired import compare, score_interval, sign_test


# Newcombe 1998, Statistics in Medicine 17:2635, table II, method 10.
@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [((36, 12, 2, 0), 0.0569, 0.3404), ((43, 0, 0, 7), -0.0638, 0.0638)],
)
def test_the_interval_of_a_published_table(cells: tuple[int, int, int, int], low: float, high: float) -> None:
    _, lower, upper = score_interval(*cells)
    assert (round(lower, 4), round(upper, 4)) == (low, high)


def test_with_one_share_the_test_is_mcnemars_exact_one() -> None:
    signs = np.array([1] * 10 + [-1] * 2 + [0] * 30)
    exact = 2 * sum(math.comb(12, k) for k in range(3)) / 2**12
    assert sign_test(signs, np.full(42, 0.3)) == pytest.approx(exact)
    assert sign_test(np.zeros(5, np.int64), np.ones(5)) == 1.0


def test_with_many_shares_draws_agree_with_the_exact_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    signs, shares = rng.choice([-1, 1, 1], 60), rng.choice([1.0, 0.1], 60)
    exact = sign_test(signs, shares)
    monkeypatch.setattr("edge.loop.paired.MAX_STATES", 1)
    assert sign_test(signs, shares) == pytest.approx(exact, abs=0.01)


def test_the_interval_covers_the_difference_on_the_traffic() -> None:
    """Bakes of two kinds, the sure ones stored with 0.2: unweighted, the difference would be another one."""
    rng, covered, unweighted, draws = np.random.default_rng(2), 0, 0, 400
    truth = 0.7 * 0.02 + 0.3 * 0.2  # challenger better by 2 points where the champion is sure, by 20 elsewhere
    for _ in range(draws):
        sure = rng.random(1500) < 0.7
        champion = rng.random(1500) < np.where(sure, 0.95, 0.5)
        better = rng.random(1500) < np.where(sure, 0.02 / 0.05, 0.2 / 0.5)
        challenger = champion | better
        stored = ~sure | (rng.random(1500) < 0.2)
        shares = np.where(sure, 0.2, 1.0)[stored]
        found = compare(champion[stored], challenger[stored], shares)
        covered += found.low <= truth <= found.high
        plain = compare(champion[stored], challenger[stored], np.ones(int(stored.sum())))
        unweighted += plain.low <= truth <= plain.high
    assert covered / draws >= 0.93
    assert unweighted / draws < 0.2


def test_equal_models_are_seldom_told_apart() -> None:
    rng, found = np.random.default_rng(3), 0
    for _ in range(300):
        shares = rng.choice([1.0, 0.05], 200)
        found += compare(rng.random(200) < 0.8, rng.random(200) < 0.8, shares).p < 0.05
    assert found / 300 <= 0.08


def test_nothing_to_compare_says_nothing() -> None:
    assert compare(np.zeros(0, bool), np.zeros(0, bool), np.zeros(0)) == (0.0, -1.0, 1.0, 1.0, 0, 0, 0)
