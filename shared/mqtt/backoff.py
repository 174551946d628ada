"""How long to wait before the next attempt: exponential, capped, with full jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Full-jitter back-off (Brooker, "Exponential Backoff And Jitter", AWS 2015): spreads a fleet's returns.

    `floor_s` keeps a refused connection from being hammered when the jitter draws near zero.
    """

    first_s: float = 0.25
    cap_s: float = 30.0
    floor_s: float = 0.1

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after `failures` (>= 1) failed attempts in a row."""
        ceiling = min(self.cap_s, self.first_s * 2.0 ** min(failures - 1, 32))
        return max(self.floor_s, rng.uniform(0.0, ceiling))
