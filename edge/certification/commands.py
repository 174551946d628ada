"""What `crustwatch edge certify` and `crustwatch edge certificate` do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.certification.certificate import Sample, save_certificate, sign
from edge.certification.issuing import certificate_of, sample_digest
from edge.certification.keys import default_key_file
from edge.certification.path import threshold_path
from edge.certification.procedure import Certified, certify, check_sample
from edge.certification.promises import default_promises, parse_promises
from edge.certification.show import print_certificate
from edge.learning.evaluation import integer_logits
from edge.learning.judged import Judged
from edge.learning.model_folder import ModelFolder
from edge.learning.unseen import for_tuning, unseen_photographs
from shared.errors import BadInputError
from shared.intervals import wilson
from shared.output_folder import output_file
from shared.pki.keys import load_or_create_key
from shared.task import Task

TUNING_SHARE = 0.25  # of the sample: learns the path of thresholds; the rest certifies


def run_certification(
    judged: Judged,
    *,
    alpha: str | None,
    delta: float,
    seed: int,
    bakes: int,
    days: int,
    out: Path | None,
    key: Path | None,
    as_json: bool,
) -> None:
    """Certify a model on rendered bakes or photographs, write the certificate and print it."""
    place, folder, task, source = judged.opened()
    alphas = parse_promises(alpha if alpha is not None else default_promises(task), task)
    if not 0 < delta < 1:
        raise BadInputError(f"--delta must be over 0 and below 1, not {delta:g}")
    path = output_file(out or Path("certificate.json"))
    signer = load_or_create_key(key or default_key_file())
    if source is None:
        (rendered,) = judged.rendered(task, (seed, bakes))
        frames, truth, origin = rendered.key_frames, rendered.labels, f"rendered seed {seed}"
        groups = None
        tuning = int(len(truth) * TUNING_SHARE)
    else:
        unseen = unseen_photographs(place, source, task, judged.split_seed)
        photographs, tuning = for_tuning(unseen, TUNING_SHARE)
        frames, truth, origin = photographs.frames, photographs.labels, unseen.source
        groups = photographs.groups[tuning:]
    found = _certified(folder, task, frames, truth, tuning, alphas, delta)
    certificate = certificate_of(
        found,
        folder,
        task,
        delta,
        escalated=wilson(found.escalated, found.n),
        sample=Sample(origin, tuning, found.n, sample_digest(frames, truth)),
        today=datetime.now(UTC).date(),
        days=days,
        groups=groups,
    )
    signed = sign(certificate, signer)
    save_certificate(signed, path)
    print_certificate(signed, path, as_json)


def _certified(
    folder: ModelFolder,
    task: Task,
    frames: NDArray[np.uint8],
    truth: NDArray[np.int64],
    tuning: int,
    alphas: dict[int, float],
    delta: float,
) -> Certified:
    """Learn the path on the first `tuning` of frames uint8 [N, S, S, 3] with labels int64 [N], test on the rest.

    Raises BadInputError when the rest cannot prove the promise.
    """
    logits, table = integer_logits(folder.graph, frames), folder.gate.table()
    check_sample(truth[tuning:], alphas, delta, task.labels)
    path = threshold_path(table, logits[:tuning], truth[:tuning], alphas)
    return certify(table, path, logits[tuning:], truth[tuning:], alphas, delta)
