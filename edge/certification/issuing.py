"""The certificate of thresholds that were found to keep a promise, ready to be signed."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from edge.certification.assumptions import assumptions
from edge.certification.certificate import SCHEMA, Certificate, EscalationRate, Promise, Sample, table_digest
from edge.certification.procedure import Certified
from edge.learning.model_folder import ModelFolder
from shared.intervals import Share
from shared.task import Task

ENDS_WHEN = (
    "the model or its gate table changes",
    "the expiry date has passed",
    "the audit of confident frames finds the promise broken",
    "drift of the input or of the logits is found",
)


def certificate_of(
    found: Certified,
    folder: ModelFolder,
    task: Task,
    delta: float,
    *,
    escalated: Share,
    sample: Sample,
    today: date,
    days: int,
    groups: NDArray[np.int64] | None = None,
) -> Certificate:
    """What was found for the model, on `sample`, with the share of the traffic that is escalated.

    `groups` int64 [n] are those of the items that certify, where items come in groups.
    """
    return Certificate(
        schema=SCHEMA,
        task=task.name,
        labels=task.labels,
        model_sha256=hashlib.sha256(folder.tflite).hexdigest(),
        gate_table_sha256=table_digest(folder.gate),
        tau_q15=found.tau_q15,
        delta=delta,
        promises=tuple(
            Promise(task.labels[label], part.alpha, part.n, part.misses, part.bound)
            for label, part in sorted(found.evidence.items())
        ),
        escalation=EscalationRate(*escalated),
        sample=sample,
        issued=today,
        expires=today + timedelta(days=days),
        ends_when=ENDS_WHEN,
        assumes=assumptions(groups, delta),
    )


def sample_digest(frames: NDArray[np.uint8], truth: NDArray[np.int64]) -> str:
    """SHA-256 of frames uint8 [N, S, S, 3] and their labels int64 [N], in order."""
    return hashlib.sha256(frames.tobytes() + truth.astype("<i8").tobytes()).hexdigest()
