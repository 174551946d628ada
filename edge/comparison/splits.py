"""Gates compared on photographs: one network, many random splits by group, and what differs between them.

The network stays as it is, and only photographs that it has not learnt from take part. Each split sends half of the
groups to tuning, where ours learns its path, and reads every rule off the other half. So the intervals say how much
depends on which groups calibrate and which are met; they do not say what another training would have given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.comparison.compare import fewer_escalations, less_than_best, rows_of, rule_curves
from edge.comparison.curves import Curve
from edge.gate.gate_file import GateFile
from shared.errors import BadInputError
from shared.task import Task

SPLITS = 20
TRIES = 1000  # random halves looked at, at most
ESCALATIONS = (0.1, 0.2, 0.3)
RISKS = (0.02, 0.05, 0.1)  # of critical items, passed as something else


def compare_splits(
    gate: GateFile,
    task: Task,
    logits: NDArray[np.int8],
    truth: NDArray[np.int64],
    groups: NDArray[np.int64],
    splits: int = SPLITS,
) -> dict[str, Any]:
    """Means over the splits, with the range that holds 95 % of them, of logits int8 [N, labels], truth and groups [N].

    Raises BadInputError when the groups cannot be halved with every label on both sides.
    """
    drawn: list[dict[str, Curve]] = [
        rule_curves(gate, task, (logits[tuning], truth[tuning]), (logits[~tuning], truth[~tuning]))
        for tuning in halves(truth, groups, splits)
    ]
    critical = np.isin(truth, [task.index(name) for name in task.critical])
    return {
        "task": task.name,
        "n": len(truth),
        "critical": int(critical.sum()),
        "groups": len(np.unique(groups)),
        "splits": splits,
        "edge_accuracy": round(float((logits.argmax(axis=1) == truth).mean()), 4),
        "rules": rows_of(drawn, None, ESCALATIONS, RISKS),
        "fewer_escalations_than_best": fewer_escalations(drawn, None, RISKS),
        "less_than_best": less_than_best(drawn, None, ESCALATIONS),
    }


def halves(truth: NDArray[np.int64], groups: NDArray[np.int64], splits: int) -> list[NDArray[np.bool_]]:
    """Random halves of the groups that are for tuning, each as bool [N]; every label is on both sides."""
    names, present = np.unique(groups), set(truth.tolist())
    if len(present) < 2:
        raise BadInputError("all photographs have one label: there is nothing to compare")
    rng, found = np.random.default_rng(0), []
    for _ in range(TRIES):
        tuning = np.isin(groups, rng.permutation(names)[: len(names) // 2])
        if set(truth[tuning].tolist()) == present == set(truth[~tuning].tolist()):
            found.append(tuning)
        if len(found) == splits:
            return found
    raise BadInputError(f"{len(names)} groups cannot be halved with every label on both sides: more are needed")
