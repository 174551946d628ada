"""Is the challenger better? Both models on the same held-out bakes, and on bakes that no verdict has touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.certification.procedure import Certified
from edge.gate.integer import GateTable
from edge.learning.evaluation import integer_logits, share_json
from edge.learning.model_folder import ModelFolder
from edge.loop.evidence import of_traffic
from edge.loop.paired import Paired, compare
from edge.watch.features import frame_features
from edge.watch.reference import REFERENCE, load_reference
from shared.task import Task

MOST_FORGOTTEN = 0.1  # of accuracy on trusted bakes: the interval's lower end must not lie below its negative

MOST_WRONG = 0.1  # of the cloud's words, where people looked too: the interval's lower end
SMALLEST_GAIN = 0.02  # of the escalated share, which by the luck of its thresholds differs between equal models


@dataclass(frozen=True, slots=True)
class Held:
    """What a model makes of some bakes."""

    predicted: NDArray[np.int64]  # [N]
    passed: NDArray[np.bool_]  # [N]: decided alone: sure under the certified thresholds, and familiar


def held(folder: ModelFolder, place: Path, seen: NDArray[np.uint8], certified: Certified | None) -> Held:
    """Labels and decisions of the model in folder `place` on frames uint8 [N, S, S, 3].

    Unfamiliar frames are escalated, as in the gateway; without certified thresholds all are.
    """
    logits = integer_logits(folder.graph, seen)  # [N, labels]
    if certified is None:
        return Held(logits.argmax(axis=1), np.zeros(len(seen), bool))
    passed = GateTable(folder.gate.lut, certified.tau_q15).sure(logits)  # [N]
    if (place / REFERENCE).exists():
        familiarity = load_reference(place / REFERENCE).familiarity
        passed &= familiarity.distances(frame_features(seen)) <= familiarity.limit
    return Held(logits.argmax(axis=1), passed)


def compare_models(
    champion: Held,
    challenger: Held,
    truth: NDArray[np.int64],
    shares: NDArray[np.float64],
    alphas: Mapping[int, float],
    task: Task,
) -> dict[str, Any]:
    """The figures of both on the same items, as shares of the traffic, for machines."""
    figures: dict[str, Any] = {
        "accuracy": _pair(champion.predicted == truth, challenger.predicted == truth, shares),
        "escalated": _pair(~champion.passed, ~challenger.passed, shares),
        "missed": {},
    }
    for label in alphas:
        here = truth == label
        before, after = ((one.passed & (one.predicted != truth))[here] for one in (champion, challenger))
        figures["missed"][task.labels[label]] = _pair(before, after, shares[here])
    return figures


def _pair(champion: NDArray[np.bool_], challenger: NDArray[np.bool_], shares: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "champion": share_json(of_traffic(champion, shares)),
        "challenger": share_json(of_traffic(challenger, shares)),
        "difference": paired_json(compare(champion, challenger, shares)),
    }


def paired_json(paired: Paired) -> dict[str, Any]:
    """A comparison for machines, rounded."""
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in paired._asdict().items()
    }


def reasons_against(
    figures: dict[str, Any],
    trusted: dict[str, Any] | None,
    cloud_wrong: dict[str, Any] | None,
    uncertified: str | None,
    most_forgotten: float,
) -> list[str]:
    """Why the challenger is dropped, one line each; empty when it is worth a trial.

    That it misses more of a critical label is none: both hold the same promise, and who escalates less may use it up.
    """
    reasons = [] if uncertified is None else [f"it cannot be certified: {uncertified}"]
    if cloud_wrong is not None and cloud_wrong["low"] > MOST_WRONG:
        reasons.append(
            f"its teacher errs: of {cloud_wrong['n']} bakes that people looked at the cloud called"
            f" {cloud_wrong['share']:.0%} wrongly"
        )
    accuracy, escalated = figures["accuracy"]["difference"], figures["escalated"]["difference"]
    if trusted is not None and (lost := trusted["difference"])["low"] < -most_forgotten:
        reasons.append(
            f"it forgets, or was taught wrongly: on {lost['n']} trusted bakes its accuracy differs by"
            f" {lost['difference']:+.3f} [{lost['low']:+.3f}, {lost['high']:+.3f}], lower than -{most_forgotten:g}"
        )
    if accuracy["high"] < 0:
        reasons.append(f"it is less often right than the champion: p = {accuracy['p']:.2g} on held-out bakes")
    if not reasons and not (accuracy["low"] > 0 or escalated["high"] < -SMALLEST_GAIN):
        reasons.append("it is neither more often right nor does it escalate less than the champion, beyond chance")
    return reasons
