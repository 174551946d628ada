"""What stored bakes prove of a model: the thresholds that they certify, and the sample that the certificate names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.certification.bounds import smallest_sample
from edge.certification.certificate import Sample
from edge.certification.issuing import sample_digest
from edge.certification.path import threshold_path
from edge.certification.procedure import Certified
from edge.learning.evaluation import integer_logits
from edge.learning.model_folder import ModelFolder
from edge.loop.parts import Lessons, newest_audited, newest_complete
from edge.loop.weighted import NOT_LOOKED_AT, certify_weighted
from shared.errors import BadInputError
from shared.intervals import Share, wilson
from shared.task import Task

ROUNDING = 1e-6  # of float64 sums: whole numbers stay whole
MOST_COPIES = 50  # of a tuning item, for those like it that were not stored


@dataclass(frozen=True, slots=True)
class Proof:
    """The bakes that tune and those that certify, and how likely each was to be stored."""

    tuning: NDArray[np.int64]  # indices of lessons
    certifying: NDArray[np.int64]
    shares: NDArray[np.float64]  # of all lessons
    sure_shares: NDArray[np.float64]
    complete: bool  # from a time in which every bake was escalated


def proof_of(lessons: Lessons, alphas: Mapping[int, float], delta: float) -> Proof:
    """The newest bakes of a time when all were escalated, when they are enough; else of one with audits, weighted.

    The choice looks at numbers of labels only, never at what a model makes of them.
    """
    run = newest_complete(lessons)
    held_out = np.intersect1d(run, lessons.of("held_out"))
    enough = all(
        (lessons.labels[held_out] == label).sum() >= smallest_sample(alpha, delta) for label, alpha in alphas.items()
    )
    if len(run) and enough:
        fair = np.ones(len(lessons))
        return Proof(np.intersect1d(run, lessons.of("fit")), held_out, fair, fair, True)
    run = newest_audited(lessons)
    tuning, certifying = np.intersect1d(run, lessons.of("fit")), np.intersect1d(run, lessons.of("held_out"))
    return Proof(tuning, certifying, lessons.shares, lessons.sure_shares, False)


def certify_stored(
    folder: ModelFolder, lessons: Lessons, proof: Proof, alphas: Mapping[int, float], delta: float, task: Task
) -> Certified:
    """The thresholds that the stored bakes certify for a model. Raises BadInputError when they prove too little."""
    table = folder.gate.table()
    tuning, sample = proof.tuning, proof.certifying
    if not (len(tuning) and len(sample)):
        raise BadInputError(NOT_LOOKED_AT)
    copies = np.clip(np.rint(1 / np.maximum(proof.shares[tuning], 1e-6)), 1, MOST_COPIES).astype(np.int64)
    as_traffic = np.repeat(tuning, copies)
    path = threshold_path(
        table, integer_logits(folder.graph, lessons.seen[as_traffic]), lessons.labels[as_traffic], alphas
    )
    factors = np.minimum(proof.sure_shares / proof.shares, 1.0)
    expected = {
        label: float(factors[tuning][lessons.labels[tuning] == label].sum()) * len(sample) / max(1, len(tuning))
        for label in alphas
    }
    return certify_weighted(
        table,
        path,
        integer_logits(folder.graph, lessons.seen[sample]),
        lessons.labels[sample],
        proof.shares[sample],
        proof.sure_shares[sample],
        alphas,
        delta,
        task.labels,
        expected,
    )


def sample_of(lessons: Lessons, proof: Proof) -> Sample:
    """The stored bakes behind a certificate."""
    sample = proof.certifying
    digest = sample_digest(lessons.seen[sample], lessons.labels[sample])
    return Sample(_words(lessons, proof), len(proof.tuning), len(sample), digest)


def _words(lessons: Lessons, proof: Proof) -> str:
    known = [lessons.known[item] for item in proof.certifying]
    audited = sum(one.row["decision"] == "audit" for one in known)
    people = sum(one.person is not None for one in known)
    kind = "all bakes of a time" if proof.complete else f"{len(known) - audited} unsure and {audited} audited bakes"
    return f"store: {kind}, held out; labels by the cloud, {people} by people"


def of_traffic(flags: NDArray[np.bool_], shares: NDArray[np.float64]) -> Share:
    """The share of the traffic with a flag bool [N], from items stored with probabilities float64 [N].

    The interval is Wilson's for the effective number of items (Kish 1965), which is `n`.
    """
    weights = 1 / shares
    n = int(weights.sum() ** 2 / (weights**2).sum() + ROUNDING) if len(weights) else 0
    if not n:
        return wilson(0, 0)
    share = float((weights * flags).sum() / weights.sum())
    return wilson_of(share, n)


def wilson_of(share: float, n: int) -> Share:
    """Wilson's interval of a share that need not be a whole number of n items."""
    low = wilson(int(np.floor(share * n + ROUNDING)), n)
    high = wilson(min(n, int(np.ceil(share * n - ROUNDING))), n)
    return Share(share, low.low, high.high, n)
