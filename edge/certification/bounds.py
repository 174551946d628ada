"""Exact binomial tests and bounds (Clopper and Pearson 1934), and the sample that a promise needs at least."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom


def miss_p_values(misses: NDArray[np.int64], n: int, alpha: float) -> NDArray[np.float64]:
    """P(at most `misses` misses among n items) if the true rate were `alpha`: int64 [K] to float64 [K].

    A valid p-value of "the rate is over alpha": a rate over alpha makes it at most x with probability at most x.
    """
    return np.asarray(binom.cdf(misses, n, alpha), np.float64)


def upper_bound(misses: int, n: int, delta: float) -> float:
    """The rate that is not exceeded with confidence 1 - delta, after `misses` of n."""
    return 1.0 if misses >= n else float(beta.ppf(1 - delta, misses + 1, n - misses))


def smallest_sample(alpha: float, delta: float, misses: int = 0) -> int:
    """The least n for which `misses` misses prove a rate of at most alpha with confidence 1 - delta."""
    n = math.ceil(math.log(delta) / math.log1p(-alpha))
    if misses:
        high = n
        while binom.cdf(misses, high, alpha) > delta:
            n, high = high, 2 * high
        while n < high:  # binom.cdf falls with n
            middle = (n + high) // 2
            n, high = (n, middle) if binom.cdf(misses, middle, alpha) <= delta else (middle + 1, high)
    return n
