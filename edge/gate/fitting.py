"""Fits temperature and threshold of the gate on held-out bakes. First form: one threshold for all labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.gate.gate_file import FittedOn, GateFile
from edge.gate.integer import NEVER_ALONE, GateTable, exponential_table
from shared.errors import BadInputError

TEMPERATURES = (0.05, 20.0)  # search range
GOLDEN = (5**0.5 - 1) / 2
STEPS = 60  # of the golden-section search: GOLDEN^60 of the range's logarithm is below 1e-11


def softmax(logits: NDArray[np.int8], logit_scale: float, temperature: float) -> NDArray[np.float64]:
    """Probabilities float64 [N, labels] of int8 logits [N, labels] at `temperature`."""
    scaled = logits.astype(np.float64) * (logit_scale / temperature)  # [N, labels]
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result


def fit_temperature(logits: NDArray[np.int8], truth: NDArray[np.int64], logit_scale: float) -> float:
    """Temperature of least negative log likelihood (Guo et al. 2017, arXiv:1706.04599), golden-section search.

    `logits` int8 [N, labels], `truth` int64 [N]. The loss is convex in 1/T, so the search finds its one optimum.
    """

    def loss(log_temperature: float) -> float:
        probabilities = softmax(logits, logit_scale, float(np.exp(log_temperature)))  # [N, labels]
        return float(-np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-300)).mean())

    low, high = (float(np.log(t)) for t in TEMPERATURES)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    loss_left, loss_right = loss(left), loss(right)
    for _ in range(STEPS):
        if loss_left <= loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - GOLDEN * (high - low)
            loss_left = loss(left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + GOLDEN * (high - low)
            loss_right = loss(right)
    return float(np.exp((low + high) / 2))


def fit_threshold(probability_q15: NDArray[np.int64], correct: NDArray[np.bool_], target_error: float) -> int:
    """Lowest threshold (Q15) at which at most `target_error` of the bakes answered alone are wrong.

    Least escalation for the target; NEVER_ALONE when no threshold reaches it.
    `probability_q15` int64 [N], `correct` bool [N].
    """
    order = np.argsort(-probability_q15, kind="stable")
    ranked = probability_q15[order]  # [N], falling
    error = np.cumsum(~correct[order]) / np.arange(1, len(ranked) + 1)  # [N]: when the first i+1 are answered alone
    last_of_equals = np.append(ranked[1:] != ranked[:-1], True)  # a threshold takes all equals or none
    allowed = np.flatnonzero(last_of_equals & (error <= target_error))
    return int(ranked[allowed[-1]]) if allowed.size else NEVER_ALONE


def fit_gate(
    logits: NDArray[np.int8],
    truth: NDArray[np.int64],
    *,
    logit_scale: float,
    target_error: float,
    data: str,
    seed: int,
) -> GateFile:
    """The gate for int8 logits [N, labels] with labels `truth` int64 [N] of held-out bakes, one row a bake.

    Raises BadInputError for an empty sample.
    """
    if len(logits) == 0 or len(logits) != len(truth):
        raise BadInputError(f"a gate is fitted on at least one bake, and one label a bake: {len(logits)}, {len(truth)}")
    temperature = fit_temperature(logits, truth, logit_scale)
    lut = exponential_table(logit_scale, temperature)
    labels = logits.shape[1]
    probability = GateTable(lut, (0,) * labels).probabilities_q15(logits)  # [N]
    correct = logits.argmax(axis=1) == truth  # [N]
    tau = fit_threshold(probability, correct, target_error)
    table = GateTable(lut, (tau,) * labels)
    sure = table.sure(logits)  # [N]
    fitted_on = FittedOn(
        data=data,
        seed=seed,
        bakes=len(truth),
        target_selective_error=target_error,
        selective_error=float((~correct[sure]).mean()) if sure.any() else 0.0,
        escalation_rate=float((~sure).mean()),
    )
    return GateFile(temperature, logit_scale, lut, table.tau_q15, fitted_on)
