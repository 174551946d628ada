"""The table of `crustwatch edge compare`: every rule at equal escalation and equal risk, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
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

OURS, ERRORS = "crustwatch", "crustwatch, errors"
"""The certificate's path of thresholds, which spares critical misses, and gate.json's one threshold, for all errors."""
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
    rng = np.random.default_rng(0)
    samples = [rng.integers(0, len(truth), len(truth)) for _ in range(RESAMPLES)]
    exact, *drawn = _curves(gate, task, tuning, test, [np.arange(len(truth)), *samples])
    return {
        "task": task.name,
        "n": len(truth),
        "critical": int(np.isin(truth, [task.index(name) for name in task.critical]).sum()),
        "edge_accuracy": round(float((logits.argmax(axis=1) == truth).mean()), 4),
        "rules": rows_of(drawn, exact, ESCALATIONS, RISKS),
        "fewer_escalations_than_best": fewer_escalations(drawn, exact, RISKS),
        "less_than_best": less_than_best(drawn, exact, ESCALATIONS),
    }


def rule_curves(
    gate: GateFile,
    task: Task,
    tuning: tuple[NDArray[np.int8], NDArray[np.int64]],
    test: tuple[NDArray[np.int8], NDArray[np.int64]],
) -> dict[str, Curve]:
    """The curve of each rule on the test part; ours learn their thresholds on the tuning part."""
    return _curves(gate, task, tuning, test, [np.arange(len(test[1]))])[0]


def _curves(
    gate: GateFile,
    task: Task,
    tuning: tuple[NDArray[np.int8], NDArray[np.int64]],
    test: tuple[NDArray[np.int8], NDArray[np.int64]],
    samples: list[NDArray[np.int64]],
) -> list[dict[str, Curve]]:
    """The curve of each rule on each sample (positions) of the test part."""
    logits, truth = test
    critical = np.isin(truth, [task.index(name) for name in task.critical])  # [N]
    wrong = logits.argmax(axis=1) != truth  # [N]
    alphas = {task.index(name): 0.01 for name in task.critical}
    path = threshold_path(gate.table(), *tuning, alphas)[::-1]  # from the most that passes
    probabilities = softmax(logits, gate.logit_scale, gate.temperature)  # [N, labels]
    passed = {
        OURS: passes(gate.table(), path, logits),
        ERRORS: passed_by_score(gate.table().probabilities_q15(logits).astype(np.float64)),
    }
    passed |= {name: passed_by_score(rule(probabilities)) for name, rule in RULES.items()}

    def curves(items: NDArray[np.int64]) -> dict[str, Curve]:
        outcomes = Outcomes(wrong[items], (wrong & critical)[items], critical[items])
        return {name: curve_of(rows[:, items], outcomes) for name, rows in passed.items()}

    return [curves(items) for items in samples]


def rows_of(
    drawn: list[dict[str, Curve]],
    exact: dict[str, Curve] | None,
    escalations: tuple[float, ...],
    risks: tuple[float, ...],
) -> dict[str, Any]:
    """What each rule reaches, by rule and kind: the value of `exact`, or the mean without it, and 95 % of `drawn`."""

    def row(read: Callable[[Curve, float], float], at: tuple[float, ...], name: str) -> dict[str, list[float]]:
        return {
            f"{point:g}": _read(partial(lambda value, curves: read(curves[name], value), point), drawn, exact)
            for point in at
        }

    return {
        name: {
            "miss_at_escalation": row(miss_at_escalation, escalations, name),
            "error_at_escalation": row(error_at_escalation, escalations, name),
            "escalation_at_miss": row(escalation_at_miss, risks, name),
        }
        for name in drawn[0]
    }


def fewer_escalations(
    drawn: list[dict[str, Curve]], exact: dict[str, Curve] | None, risks: tuple[float, ...]
) -> dict[str, list[float]]:
    """How many times fewer escalations ours needs than the best usual rule at the same miss rate."""

    def ratio(risk: float, curves: dict[str, Curve]) -> float:
        best = min(escalation_at_miss(curves[name], risk) for name in RULES)
        return best / max(1e-9, escalation_at_miss(curves[OURS], risk))

    return {f"{risk:g}": _read(partial(ratio, risk), drawn, exact) for risk in risks}


def less_than_best(
    drawn: list[dict[str, Curve]], exact: dict[str, Curve] | None, escalations: tuple[float, ...]
) -> dict[str, dict[str, list[float]]]:
    """By how much ours is below the best usual rule on the same items: misses of its path for those, errors of its own.

    The best rule is chosen anew for each sample, by hindsight.
    """

    def gain(read: Callable[[Curve, float], float], ours: str, share: float, curves: dict[str, Curve]) -> float:
        return min(read(curves[name], share) for name in RULES) - read(curves[ours], share)

    return {
        kind: {f"{share:g}": _read(partial(gain, read, ours, share), drawn, exact) for share in escalations}
        for kind, read, ours in (("misses", miss_at_escalation, OURS), ("errors", error_at_escalation, ERRORS))
    }


def _read(
    value: Callable[[dict[str, Curve]], float], drawn: list[dict[str, Curve]], exact: dict[str, Curve] | None
) -> list[float]:
    samples = [value(curves) for curves in drawn]
    return _interval(float(np.mean(samples)) if exact is None else value(exact), samples)


def _interval(value: float, samples: list[float]) -> list[float]:
    low, high = np.quantile(samples, (0.025, 0.975))
    return [round(value, 4), round(float(low), 4), round(float(high), 4)]


def text_of(report: dict[str, Any]) -> str:
    """The table that people read."""
    first = next(iter(report["rules"].values()))
    escalations, risks = first["miss_at_escalation"], first["escalation_at_miss"]
    over = f", mean of {report['splits']} splits of {report['groups']} groups" if "splits" in report else ""
    lines = [
        f"task {report['task']}: {report['n']} items, {report['critical']} critical, "
        f"edge accuracy {report['edge_accuracy']}{over}",
        "critical items passed as something else, where at most this share is escalated:",
        _head(escalations),
        *(_line(name, rule["miss_at_escalation"]) for name, rule in report["rules"].items()),
        "items passed with a wrong label, where at most this share is escalated:",
        _head(escalations),
        *(_line(name, rule["error_at_escalation"]) for name, rule in report["rules"].items()),
        "share escalated, where at most this share of the critical items passes as something else:",
        _head(risks),
        *(_line(name, rule["escalation_at_miss"]) for name, rule in report["rules"].items()),
        "times fewer escalations than the best usual rule [95 %]: "
        + ", ".join(
            f"{value:.2f} [{low:.2f}, {high:.2f}] at {risk}"
            for risk, (value, low, high) in report["fewer_escalations_than_best"].items()
        ),
        "below the best usual rule of each sample, at the share escalated [95 %]:",
        *(
            f"  {kind:8} "
            + ", ".join(
                f"{value:+.4f} [{low:+.4f}, {high:+.4f}] at {share}" for share, (value, low, high) in row.items()
            )
            for kind, row in report["less_than_best"].items()
        ),
    ]
    return "\n".join(lines)


def _head(points: Iterable[str]) -> str:
    return f"{'':20}" + "".join(f"{point:>27}" for point in points)


def _line(name: str, row: dict[str, list[float]]) -> str:
    return f"  {name:18}" + "".join(f"   {value:.4f} [{low:.4f}, {high:.4f}]" for value, low, high in row.values())
