"""Does the promise still hold? A sequential test over audited decisions that may be looked at after every bake.

A random share p of confident bakes is escalated all the same. For a critical label with promise alpha each bake gives

    Z = w * (miss - alpha) if it is of that label, else 0;  w = 1 if it was unsure, 1/p if audited, 0 if not looked at

whose mean is at most 0 while the promise holds. The wealth of a bettor, the product of 1 + lambda Z, is then a
supermartingale, and it ever reaches 1/delta with probability at most delta (Ville 1939; betting: Waudby-Smith and
Ramdas 2024, arXiv:2010.09686). Several lambdas share the stake.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

BETS = (0.003, 0.01, 0.03, 0.1, 0.3)  # lambda, as shares of the largest that cannot go bankrupt


class LabelState(msgspec.Struct, forbid_unknown_fields=True):
    """What the test remembers of one label."""

    wealth: list[float] = msgspec.field(default_factory=lambda: [1.0] * len(BETS))
    items: float = 0.0  # of this label, each counted for those like it that were not looked at
    missed: float = 0.0
    looked_at: int = 0
    peak: float = 1.0  # highest mean wealth so far


@dataclass(frozen=True, slots=True)
class Finding:
    """The promise for a label is refuted."""

    label: str
    alpha: float
    rate: float  # estimated miss rate
    looked_at: int

    def __str__(self) -> str:
        return (
            f"{self.label}: about {self.rate:.3f} of its items pass as something else, {self.alpha:g} was promised"
            f" ({self.looked_at} looked at)"
        )


class RiskAudit:
    """The running test of all promises; `state` survives restarts."""

    def __init__(
        self, promises: dict[str, float], delta: float, share: float, state: dict[str, LabelState] | None = None
    ) -> None:
        """`promises`: alpha by label; `delta` is split evenly among them; `share`: of confident bakes audited."""
        if not 0 < share <= 1:
            raise ValueError(f"the audited share must be over 0 and at most 1, not {share}")
        self._promises, self._share = promises, share
        self._limit = len(promises) / delta
        self.state = state if state is not None and set(state) == set(promises) else self._fresh()

    def _fresh(self) -> dict[str, LabelState]:
        return {label: LabelState() for label in self._promises}

    def observe(self, truth: str, passed_as: str | None) -> Finding | None:
        """One bake whose label is known now: `passed_as` is the edge's label if it was sure (and was audited).

        Returns the finding when this bake's label is refuted for the first time.
        """
        alpha = self._promises.get(truth)
        if alpha is None:
            return None
        label, before = self.state[truth], self.refuted(truth)
        weight = 1.0 if passed_as is None else 1.0 / self._share
        miss = passed_as is not None and passed_as != truth
        most = self._share / alpha  # 1 + lambda Z stays over 0
        step = weight * (miss - alpha)
        label.wealth = [wealth * (1 + bet * most * step) for wealth, bet in zip(label.wealth, BETS, strict=True)]
        label.peak = max(label.peak, sum(label.wealth) / len(BETS))
        label.items += weight
        label.missed += weight * miss
        label.looked_at += 1
        if before or not self.refuted(truth):
            return None
        return Finding(truth, alpha, label.missed / label.items, label.looked_at)

    def refuted(self, label: str) -> bool:
        """Whether the promise for `label` was ever refuted."""
        return self.state[label].peak >= self._limit

    def holds(self) -> bool:
        """Whether no promise was refuted."""
        return not any(self.refuted(label) for label in self._promises)
