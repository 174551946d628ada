"""Edge and cloud together: what is right in the end when a given share of rendered bakes may be escalated.

The cloud's verdict is final where a bake is escalated, the edge's elsewhere and where the cloud cannot tell. Settings
are chosen by the share that they escalate, without a look at the truth. Beside them stand the controls: what needs no
cloud, no edge, or no gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.certification.path import threshold_path
from edge.certification.procedure import passes
from edge.comparison.cloud_answers import CANNOT_TELL, CloudAnswers
from edge.comparison.curves import passed_by_score
from edge.comparison.rules import RULES
from edge.gate.fitting import softmax
from edge.gate.gate_file import GateFile
from edge.learning.evaluation import share_json
from shared.intervals import wilson
from shared.task import Task

RESAMPLES = 1000
CRITICAL, ALL = "crustwatch, critical labels", "crustwatch, all labels"

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EdgeAnswers:
    """Logits int8 of the key frames [N, labels] and of all frames [N, F, labels] of the bakes that the cloud judged."""

    key: NDArray[np.int8]
    every: NDArray[np.int8]


def cascade(
    gate: GateFile,
    task: Task,
    tuning: tuple[NDArray[np.int8], NDArray[np.int64]],
    edge: EdgeAnswers,
    cloud: CloudAnswers,
    at_most: float,
) -> dict[str, Any]:
    """Accuracy of each gate that escalates at most the share `at_most`; ours learns its paths on the tuning part."""
    truth = cloud.truth
    said = edge.key.argmax(axis=1)  # [N]
    alone = said == truth  # [N]
    probabilities = softmax(edge.key, gate.logit_scale, gate.temperature)  # [N, labels]
    table = gate.table()

    paths = {  # thresholds [K, labels], from the most that passes
        name: threshold_path(table, *tuning, {task.index(label): 0.01 for label in labels})[::-1]
        for name, labels in ((ALL, task.labels), (CRITICAL, task.critical))
    }
    settings = {name: passes(table, path, edge.key) for name, path in paths.items()}  # [K, N]
    settings |= {name: passed_by_score(rule(probabilities)) for name, rule in RULES.items()}
    critical = np.isin(truth, [task.index(name) for name in task.critical])  # [N]
    gates: dict[str, Any] = {}
    for name, passed in {"gate.json": table.sure(edge.key)[None, :], **settings}.items():
        escalated = (~passed).mean(axis=1)  # [K]
        allowed = np.flatnonzero(escalated <= at_most + 1e-12) if name != "gate.json" else np.array([0])
        setting = allowed[np.argmax(escalated[allowed])]  # the most that may be escalated
        chosen = passed[setting]  # [N]
        final = np.where(chosen | (cloud.clip == CANNOT_TELL), said, cloud.clip)  # [N]
        gates[name] = {
            "escalated": share_json(wilson(int((~chosen).sum()), len(truth))),
            "accuracy": _share(final == truth),
            "above_edge": _paired(final == truth, alone),
            "critical_missed": _share((final == truth)[critical], invert=True),
        }
        if name in paths:  # thresholds that a gate.json may hold
            gates[name]["tau_q15"] = paths[name][setting].tolist()
    frames = edge.every.shape[1]
    every = softmax(edge.every.reshape(-1, edge.every.shape[2]), gate.logit_scale, gate.temperature)
    mean = every.reshape(len(truth), frames, -1).mean(axis=1).argmax(axis=1)  # [N]
    return {
        "task": task.name,
        "data": "rendered",
        "seed": cloud.seed,
        "n": len(truth),
        "at_most": at_most,
        "edge": _share(alone),
        "gates": gates,
        "controls": {
            "edge, mean over all frames": _share(mean == truth),
            "cloud on the key frame alone": _share(cloud.one_frame == truth),
            "cloud on every bake": _share(cloud.clip == truth),
        },
    }


def _share(right: Bools, *, invert: bool = False) -> dict[str, Any]:
    count = int((~right).sum()) if invert else int(right.sum())
    return share_json(wilson(count, len(right)))


def _paired(one: Bools, other: Bools) -> list[float]:
    """Difference of two shares on the same items, with its 95 % bootstrap interval."""
    gain = one.astype(int) - other.astype(int)  # [N]
    rng = np.random.default_rng(0)
    drawn = [gain[rng.integers(0, len(gain), len(gain))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return [round(float(gain.mean()), 4), round(float(low), 4), round(float(high), 4)]


def text_of(report: dict[str, Any]) -> str:
    """The table that people read."""
    lines = [
        f"{report['n']} rendered bakes of seed {report['seed']}, at most {report['at_most']:g} escalated "
        "(gate.json: as it is):",
        f"{'':30}{'escalated':>10}{'accuracy':>26}{'above the edge alone':>28}{'critical missed':>18}",
        f"  {'edge alone':28}{0:>10.3f}{_text(report['edge']):>26}",
    ]
    for name, row in report["gates"].items():
        gain, low, high = row["above_edge"]
        missed = "none" if (share := row["critical_missed"]["share"]) is None else f"{share:.4f}"
        lines.append(
            f"  {name:28}{row['escalated']['share']:>10.3f}{_text(row['accuracy']):>26}"
            f"{f'{gain:+.3f} [{low:+.3f}, {high:+.3f}]':>28}{missed:>18}"
        )
    lines.append("controls:")
    lines += [f"  {name:38}{_text(row):>26}" for name, row in report["controls"].items()]
    return "\n".join(lines)


def _text(share: dict[str, Any]) -> str:
    return f"{share['share']:.3f} [{share['low']:.3f}, {share['high']:.3f}]"
