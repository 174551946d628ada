"""Wilson's interval against its published properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.intervals import Z95, wilson


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_bounds_solve_the_score_equation(case: tuple[int, int]) -> None:
    successes, n = case
    share = wilson(successes, n)
    assert 0 <= share.low <= share.share <= share.high <= 1
    for bound in (share.low, share.high):
        if 0 < bound < 1 and bound != share.share:
            score = abs(share.share - bound) / math.sqrt(bound * (1 - bound) / n)
            assert score == pytest.approx(Z95, rel=1e-6)


def test_an_empty_sample_says_nothing() -> None:
    assert wilson(0, 0)[1:] == (0.0, 1.0, 0)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="must lie in"):
        wilson(3, 2)
