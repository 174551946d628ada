"""Learn then test: the last thresholds of the path that an exact test certifies for every critical label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.certification.bounds import miss_p_values, smallest_sample, upper_bound
from edge.gate.integer import NEVER_ALONE, GateTable
from shared.errors import BadInputError


@dataclass(frozen=True, slots=True)
class LabelEvidence:
    """What the certification sample says of one critical label."""

    alpha: float  # promised: the share of its items that the edge passes as something else
    n: int  # its items in the sample
    misses: int  # of them passed as something else without escalation
    bound: float  # not exceeded with confidence 1 - delta


@dataclass(frozen=True, slots=True)
class Certified:
    """Thresholds that hold the promise, and the evidence."""

    tau_q15: tuple[int, ...]
    evidence: dict[int, LabelEvidence]  # by label index
    escalated: int
    n: int
    steps_tested: int


def passes(table: GateTable, path: NDArray[np.int64], logits: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Whether each row of thresholds [K, labels] lets each item of int8 logits [N, labels] pass: bool [K, N].

    The same integers as on the device: probability_q15 >= tau of the predicted label.
    """
    predicted = logits.argmax(axis=1)  # [N]
    probability = table.probabilities_q15(logits)  # [N]
    sure: NDArray[np.bool_] = probability[None, :] >= path[:, predicted]  # [K, N]
    return sure


def check_sample(truth: NDArray[np.int64], alphas: Mapping[int, float], delta: float, names: tuple[str, ...]) -> None:
    """Raise BadInputError when even a sample without a miss could not prove the promise; it says how many would."""
    for label, alpha in alphas.items():
        have, need = int((truth == label).sum()), smallest_sample(alpha, delta)
        if have < need:
            raise BadInputError(
                f"{names[label]}: {have} items cannot prove a miss rate of at most {alpha:g} with confidence"
                f" {1 - delta:g}: at least {need} are needed, without any miss among them"
            )


def certify(
    table: GateTable,
    path: NDArray[np.int64],
    logits: NDArray[np.int8],
    truth: NDArray[np.int64],
    alphas: Mapping[int, float],
    delta: float,
) -> Certified:
    """Walk down the path while the exact test rejects "the promise is broken"; the last thresholds that passed.

    Fixed-sequence testing: each step at level delta, stopping at the first that fails, keeps the probability that any
    certified step breaks the promise at most delta. A step must prove every label's alpha, so its p-value is the
    largest of theirs, and the promises hold together without splitting delta. `path` int64 [K, labels] must not
    depend on the sample: logits int8 [N, labels], truth int64 [N].
    """
    predicted = logits.argmax(axis=1)  # [N]
    sure = passes(table, path, logits)  # [K, N]
    counts = {label: int((truth == label).sum()) for label in alphas}
    misses = {
        label: (sure & ((truth == label) & (predicted != label))[None, :]).sum(axis=1)  # [K]
        for label in alphas
    }
    worst = np.max(
        [miss_p_values(misses[label], counts[label], alpha) for label, alpha in alphas.items()], axis=0
    )  # [K]
    failed = np.flatnonzero(worst > delta)
    last = int(failed[0]) - 1 if len(failed) else len(path) - 1
    if last < 0:  # a sample that check_sample would have refused
        raise BadInputError("the sample cannot prove the promise even if everything is escalated")
    evidence = {
        label: LabelEvidence(
            alpha, counts[label], int(misses[label][last]), upper_bound(int(misses[label][last]), counts[label], delta)
        )
        for label, alpha in alphas.items()
    }
    tau = tuple(min(int(value), NEVER_ALONE) for value in path[last])
    tested = min(last + 2, len(path))
    return Certified(tau, evidence, int((~sure[last]).sum()), len(truth), tested)
