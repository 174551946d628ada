"""The table of `crustwatch edge compare`: every rule at equal escalation and equal risk, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.certification.path import threshold_path
from edge.certification.procedure import passes
from edge.comparison.curves import (
    Curve,
    Outcomes,
    curve_of,
    error_at_escalation,
    escalation_at_miss,
    miss_at_escalation,
    passed_by_score,
)
from edge.comparison.rules import RULES
from edge.gate.fitting import softmax
from edge.gate.gate_file import GateFile
from shared.task import Task

OURS = "crustwatch"
ESCALATIONS = (0.1, 0.2, 0.3)
RISKS = (0.005, 0.01, 0.02)  # of critical items, passed as something else
RESAMPLES = 200


def compare(
    gate: GateFile,
    task: Task,
    tuning: tuple[NDArray[np.int8], NDArray[np.int64]],
    test: tuple[NDArray[np.int8], NDArray[np.int64]],
) -> dict[str, Any]:
    """Logits int8 [N, labels] and truth int64 [N] of two disjoint parts; ours learns its path on the tuning part."""
    logits, truth = test
    predicted = logits.argmax(axis=1)  # [N]
    critical = np.isin(truth, [task.index(name) for name in task.critical])  # [N]
    wrong = predicted != truth  # [N]
    alphas = {task.index(name): 0.01 for name in task.critical}
    path = threshold_path(gate.table(), *tuning, alphas)[::-1]  # from the most that passes
    probabilities = softmax(logits, gate.logit_scale, gate.temperature)  # [N, labels]
    passed = {OURS: passes(gate.table(), path, logits)}
    passed |= {name: passed_by_score(rule(probabilities)) for name, rule in RULES.items()}
    whole = np.arange(len(truth))
    rng = np.random.default_rng(0)
    samples = [rng.integers(0, len(truth), len(truth)) for _ in range(RESAMPLES)]

    def curves(items: NDArray[np.int64]) -> dict[str, Curve]:
        outcomes = Outcomes(wrong[items], (wrong & critical)[items], critical[items])
        return {name: curve_of(rows[:, items], outcomes) for name, rows in passed.items()}

    exact, drawn = curves(whole), [curves(items) for items in samples]
    rules: dict[str, Any] = {}
    for name in passed:
        rules[name] = {
            "miss_at_escalation": _rows(miss_at_escalation, ESCALATIONS, name, exact, drawn),
            "error_at_escalation": _rows(error_at_escalation, ESCALATIONS, name, exact, drawn),
            "escalation_at_miss": _rows(escalation_at_miss, RISKS, name, exact, drawn),
        }
    return {
        "task": task.name,
        "n": len(truth),
        "critical": int(critical.sum()),
        "edge_accuracy": round(float(1 - wrong.mean()), 4),
        "rules": rules,
        "fewer_escalations_than_best": {f"{risk:g}": _fewer(risk, exact, drawn) for risk in RISKS},
    }


def _rows(
    read: Callable[[Curve, float], float],
    at: tuple[float, ...],
    name: str,
    exact: dict[str, Curve],
    drawn: list[dict[str, Curve]],
) -> dict[str, list[float]]:
    """Value and 95 % bootstrap interval at each point."""
    return {
        f"{point:g}": _interval(read(exact[name], point), [read(curves[name], point) for curves in drawn])
        for point in at
    }


def _fewer(risk: float, exact: dict[str, Curve], drawn: list[dict[str, Curve]]) -> list[float]:
    """How many times fewer escalations ours needs than the best usual rule at the same miss rate."""

    def ratio(curves: dict[str, Curve]) -> float:
        best = min(escalation_at_miss(curve, risk) for name, curve in curves.items() if name != OURS)
        return best / max(1e-9, escalation_at_miss(curves[OURS], risk))

    return _interval(ratio(exact), [ratio(curves) for curves in drawn])


def _interval(value: float, samples: list[float]) -> list[float]:
    low, high = np.quantile(samples, (0.025, 0.975))
    return [round(value, 4), round(float(low), 4), round(float(high), 4)]


def text_of(report: dict[str, Any]) -> str:
    """The table that people read."""
    lines = [
        f"task {report['task']}: {report['n']} items, {report['critical']} critical, "
        f"edge accuracy {report['edge_accuracy']}",
        "critical items passed as something else, where at most this share is escalated:",
        _head(ESCALATIONS),
        *(_line(name, rule["miss_at_escalation"]) for name, rule in report["rules"].items()),
        "share escalated, where at most this share of the critical items passes as something else:",
        _head(RISKS),
        *(_line(name, rule["escalation_at_miss"]) for name, rule in report["rules"].items()),
        "times fewer escalations than the best usual rule [95 %]: "
        + ", ".join(
            f"{value:.2f} [{low:.2f}, {high:.2f}] at {risk}"
            for risk, (value, low, high) in report["fewer_escalations_than_best"].items()
        ),
    ]
    return "\n".join(lines)


def _head(points: tuple[float, ...]) -> str:
    return f"{'':18}" + "".join(f"{point:>24g}" for point in points)


def _line(name: str, row: dict[str, list[float]]) -> str:
    return f"  {name:16}" + "".join(f"   {value:.4f} [{low:.4f}, {high:.4f}]" for value, low, high in row.values())
