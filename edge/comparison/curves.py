"""Escalation against risk: one curve a rule, and what is read off it at equal escalation and at equal risk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POINTS = 400  # of a curve


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What passing each item of the test part would mean."""

    wrong: NDArray[np.bool_]  # [N]: the edge's label is not the truth
    missed: NDArray[np.bool_]  # [N]: the truth is critical and the edge says something else
    critical: NDArray[np.bool_]  # [N]: the truth is critical


@dataclass(frozen=True, slots=True)
class Curve:
    """Settings of one rule, from everything passed to nothing, each value float64 [points]."""

    escalated: NDArray[np.float64]  # share of the items
    miss_rate: NDArray[np.float64]  # of the critical items, passed as something else
    error_rate: NDArray[np.float64]  # of all items, passed wrongly


def curve_of(passed: NDArray[np.bool_], outcomes: Outcomes) -> Curve:
    """From bool [points, N], in the order of rising escalation."""
    critical = max(1, int(outcomes.critical.sum()))
    return Curve(
        1 - passed.mean(axis=1),
        (passed & outcomes.missed).sum(axis=1) / critical,
        (passed & outcomes.wrong).mean(axis=1),
    )


def passed_by_score(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which items of scores float64 [N] pass at POINTS thresholds: bool [POINTS, N], fewer and fewer."""
    levels = np.quantile(scores, np.linspace(0, 1, POINTS), method="lower")  # [POINTS]
    levels[-1] = np.inf
    return scores[None, :] >= levels[:, None]


def miss_at_escalation(curve: Curve, share: float) -> float:
    """Least miss rate among settings that escalate at most `share`."""
    allowed = curve.escalated <= share + 1e-12
    return float(curve.miss_rate[allowed].min()) if allowed.any() else 1.0


def error_at_escalation(curve: Curve, share: float) -> float:
    """Least rate of wrong passes among settings that escalate at most `share`."""
    allowed = curve.escalated <= share + 1e-12
    return float(curve.error_rate[allowed].min()) if allowed.any() else 1.0


def escalation_at_miss(curve: Curve, risk: float) -> float:
    """Least escalation among settings whose miss rate is at most `risk`."""
    allowed = curve.miss_rate <= risk + 1e-12
    return float(curve.escalated[allowed].min()) if allowed.any() else 1.0
