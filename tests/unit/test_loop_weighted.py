"""Certificates from stored bakes: the promise is about the traffic, of which the sure bakes are a random share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.certification.path import threshold_path
from edge.certification.procedure import Certified, certify, passes
from edge.gate.integer import GateTable, exponential_table
from edge.loop.evidence import of_traffic
from edge.loop.weighted import boldness, bound, certify_weighted, p_values
from shared.errors import BadInputError
from shared.intervals import wilson

NAMES = ("raw", "golden", "burnt")
TABLE = GateTable(exponential_table(0.1, 1.0), (0, 0, 0))
ALPHAS = {0: 0.05, 2: 0.05}
DELTA, AUDIT, BAKES, STORES = 0.1, 0.2, 3000, 1000


class Traffic(NamedTuple):
    logits: NDArray[np.int8]  # [N, 3] of the challenger
    truth: NDArray[np.int64]  # [N]
    sure: NDArray[np.bool_]  # [N]: what the champion's gate says
    path: NDArray[np.int64]  # [K, 3] of thresholds
    missed: NDArray[np.float64]  # [K], the largest miss rate of the traffic over its alpha


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    rng, n = np.random.default_rng(1), 100_000
    truth = rng.integers(0, 3, n)
    signal = np.where(np.arange(3) == truth[:, None], 2.0, -2.0) + 2.0 * rng.standard_normal((n, 3))
    logits = np.clip(np.rint(12 * signal), -128, 127).astype(np.int8)
    wrong = logits.argmax(axis=1) != truth
    sure = wrong | (rng.random(n) < 0.4)  # a blind spot that both models share: the worst case
    path = threshold_path(TABLE, logits[:2000], truth[:2000], ALPHAS)
    passed = passes(TABLE, path, logits)  # [K, N]
    rates = [(passed & wrong)[:, truth == label].mean(axis=1) / alpha for label, alpha in ALPHAS.items()]
    return Traffic(logits, truth, sure, path, np.max(rates, axis=0))


def step(traffic: Traffic, found: Certified) -> int:
    return int(np.flatnonzero((traffic.path == np.array(found.tau_q15)).all(axis=1))[0])


def test_over_a_thousand_stores_the_promise_is_broken_in_no_more_than_delta(traffic: Traffic) -> None:
    """A certificate on what is stored, as if it were the traffic, breaks its promise nearly always."""
    rng, broken, naive, steps = np.random.default_rng(5), 0, 0, []
    expected = dict.fromkeys(ALPHAS, 400.0)
    for _ in range(STORES):
        drawn = rng.integers(0, len(traffic.truth), BAKES)
        kept = drawn[~traffic.sure[drawn] | (rng.random(BAKES) < AUDIT)]
        shares, sure_shares = np.where(traffic.sure[kept], AUDIT, 1.0), np.full(len(kept), AUDIT)
        sample = traffic.logits[kept], traffic.truth[kept]
        found = certify_weighted(TABLE, traffic.path, *sample, shares, sure_shares, ALPHAS, DELTA, NAMES, expected)
        steps.append(step(traffic, found))
        broken += traffic.missed[steps[-1]] > 1
        naive += traffic.missed[step(traffic, certify(TABLE, traffic.path, *sample, ALPHAS, DELTA))] > 1
    assert wilson(broken, STORES).low <= DELTA
    assert naive > 0.9 * STORES
    assert np.median(traffic.missed[steps]) > 0.1  # and it is worth something


def test_a_sample_that_stores_everything_is_tested_exactly(traffic: Traffic) -> None:
    sample, ones = (traffic.logits[:2000], traffic.truth[:2000]), np.ones(2000)
    found = certify_weighted(TABLE, traffic.path, *sample, ones, ones, ALPHAS, DELTA, NAMES, {})
    assert found == certify(TABLE, traffic.path, *sample, ALPHAS, DELTA)


def test_bakes_that_were_never_looked_at_prove_nothing(traffic: Traffic) -> None:
    """However many unsure bakes there are: what the edge passes is not among them."""
    unsure = np.flatnonzero(~traffic.sure)[:20_000]
    sample, ones = (traffic.logits[unsure], traffic.truth[unsure]), np.ones(len(unsure))
    for audit, words in ((0.0, "without --audit"), (0.002, "audit a larger share")):
        with pytest.raises(BadInputError, match=words):
            certify_weighted(
                TABLE, traffic.path, *sample, ones, ones * audit, ALPHAS, DELTA, NAMES, dict.fromkeys(ALPHAS, 10.0)
            )


def test_the_bound_is_where_the_test_turns() -> None:
    missed, factors = np.array([True] * 2 + [False] * 598), np.ones(600)
    bet = boldness(600, 0.02, 0.05)
    limit = bound(missed, factors, 0.05, bet)
    assert 2 / 600 < limit < 0.02
    assert (
        p_values(missed[None], factors, limit + 1e-6, bet)[0]
        <= 0.05
        < p_values(missed[None], factors, limit - 1e-3, bet)[0]
    )
    assert bound(missed, factors * 0.1, 0.05, bet) > limit  # unsure bakes prove less


def test_more_bakes_are_bet_on_less_boldly() -> None:
    bets = [boldness(n, 0.01, 0.05) for n in (100, 600, 1200, 5000)]
    assert bets == sorted(bets, reverse=True)
    assert bets[0] == 0.95


@pytest.mark.parametrize("share", [1.0, 0.2, 0.07])
def test_a_share_of_equally_likely_bakes_has_wilson_s_interval_of_their_number(share: float) -> None:
    for n in range(1, 60):
        for hits in (0, n // 3, n - 1, n):
            found = of_traffic(np.arange(n) < hits, np.full(n, share))
            assert found == pytest.approx(wilson(hits, n)), (hits, n)
