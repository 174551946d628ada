"""What a quantised model does on items it has never seen: integers only, Wilson intervals at 95 %."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.gate.fitting import softmax
from edge.gate.gate_file import GateFile
from edge.learning.frames import FrameSet
from edge.learning.selective import area_under, risk_at, risk_coverage
from firmware_sim.compiler.graph import Graph
from firmware_sim.compiler.reference import run_batch
from shared.intervals import Share, wilson
from shared.task import Task

BATCH = 64


def integer_logits(graph: Graph, frames: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Logits int8 [N, labels] of frames uint8 [N, S, S, 3] by the integer reference."""
    quantised = (frames.astype(np.int16) - 128).astype(np.int8)  # [N, S, S, 3]
    return np.concatenate([run_batch(graph, quantised[i : i + BATCH]) for i in range(0, len(quantised), BATCH)])


def _share(successes: NDArray[np.bool_]) -> dict[str, Any]:
    return share_json(wilson(int(successes.sum()), len(successes)))


def share_json(share: Share) -> dict[str, Any]:
    """A share for machines: rounded to four digits, with its interval and size; null of an empty sample."""
    point = round(share.share, 4) if share.n else None
    return {"share": point, "low": round(share.low, 4), "high": round(share.high, 4), "n": share.n}


def evaluate(
    graph: Graph,
    gate: GateFile,
    bakes: FrameSet,
    task: Task,
    *,
    all_frames: bool,
    logits: NDArray[np.int8] | None = None,
) -> dict[str, Any]:
    """The report on `bakes`: key-frame accuracy, the gate's escalation rate and selective error, and by label.

    With `all_frames` also the control: the mean of the probabilities over all frames of a bake. `logits` of the key
    frames int8 [N, labels], where they are known already.
    """
    logits = integer_logits(graph, bakes.key_frames) if logits is None else logits  # [N, labels]
    table, truth = gate.table(), bakes.labels
    predicted = logits.argmax(axis=1)  # [N]
    correct, sure = predicted == truth, table.sure(logits)  # [N], [N]
    confidence = table.probabilities_q15(logits)  # [N]
    curve = risk_coverage(confidence, correct)  # [N]
    report: dict[str, Any] = {
        "data": bakes.source,
        "seed": bakes.seed,
        "bakes": len(truth),
        "key_frame_accuracy": _share(correct),
        "escalation_rate": _share(~sure),
        "selective_error": _share(~correct[sure]),
        "accuracy_of_escalated": _share(correct[~sure]),
        "aurc": round(area_under(curve), 4),
        "risk_at_70": round(risk_at(curve, 0.7), 4),
        "risk_at_50": round(risk_at(curve, 0.5), 4),
        "expected_calibration_error": round(calibration_error(confidence / 32768, correct), 4),
        "critical_missed_alone": _share(
            (sure & ~correct)[np.isin(truth, [task.index(name) for name in task.critical])]
        ),
        "accuracy_by_label": {name: _share(correct[truth == position]) for position, name in enumerate(task.labels)},
        "confusion": np.stack(
            [
                np.bincount(predicted[truth == position], minlength=len(task.labels))
                for position in range(len(task.labels))
            ]
        ).tolist(),
    }
    if all_frames:
        count, frames = bakes.frames.shape[:2]
        every = integer_logits(graph, bakes.frames.reshape(-1, *bakes.frames.shape[2:]))  # [N * F, labels]
        probabilities = softmax(every, gate.logit_scale, gate.temperature).reshape(count, frames, -1)  # [N, F, labels]
        report["mean_of_frames_accuracy"] = _share(probabilities.mean(axis=1).argmax(axis=1) == truth)
        by_frame = probabilities.argmax(axis=2) == truth[:, None]  # [N, F]
        report["accuracy_by_frame"] = [round(float(share), 4) for share in by_frame.mean(axis=0)]
        report["key_frame"] = frames // 2
    return report


class Bin(NamedTuple):
    """Items whose winning label has about the same probability."""

    probability: float  # their mean
    correct: int
    n: int


def calibration_bins(probability: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = 10) -> list[Bin]:
    """`bins` equal bins of the winning label's probability (float64 [N], bool [N]), those that are empty left out."""
    which = np.minimum((probability * bins).astype(int), bins - 1)  # [N]
    return [
        Bin(float(probability[which == b].mean()), int(correct[which == b].sum()), int((which == b).sum()))
        for b in range(bins)
        if (which == b).any()
    ]


def calibration_error(probability: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error over `calibration_bins`: the mean gap between probability and accuracy."""
    found = calibration_bins(probability, correct, bins)
    return sum(abs(b.probability - b.correct / b.n) * b.n for b in found) / len(correct)
