"""Confidence intervals for the shares that reports quote."""

from __future__ import annotations

import math
from typing import NamedTuple

Z95 = 1.959963984540054  # two-sided 95 % quantile of the standard normal


class Share(NamedTuple):
    """A share with its size and 95 % interval."""

    share: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.share:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.n}"


def wilson(successes: int, n: int, z: float = Z95) -> Share:
    """Wilson score interval (Wilson 1927, JASA 22:209) of `successes` out of `n` trials.

    Raises ValueError unless 0 <= successes <= n; an empty sample gives the whole range.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes={successes} must lie in 0..n={n}")
    if n == 0:
        return Share(math.nan, 0.0, 1.0, 0)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Share(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)), n)
