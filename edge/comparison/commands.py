"""What `crustwatch edge compare` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge.comparison.cascade import EdgeAnswers, cascade
from edge.comparison.cascade import text_of as cascade_text
from edge.comparison.cloud_answers import read_cloud_answers
from edge.comparison.compare import compare, text_of
from edge.comparison.splits import compare_splits
from edge.learning.evaluation import integer_logits
from edge.learning.judged import Judged
from edge.learning.unseen import unseen_photographs
from shared.errors import BadInputError

TUNING_SEED, TEST_SEED = 2000, 3000


def run_comparison(judged: Judged, bakes: int, as_json: bool) -> None:
    """Compare on rendered bakes, or on photographs that the model has not learnt from.

    Of rendered bakes the path is learnt on seed 2000 and every rule is read off on seed 3000; photographs are split
    by group many times.
    """
    place, folder, task, source = judged.opened()
    if source is not None:
        photographs = unseen_photographs(place, source, task, judged.split_seed).all()
        logits = integer_logits(folder.graph, photographs.frames)
        _print(compare_splits(folder.gate, task, logits, photographs.labels, photographs.groups), as_json)
        return
    parts = judged.rendered(task, (TUNING_SEED, bakes), (TEST_SEED, bakes))
    tuning, test = ((integer_logits(folder.graph, part.key_frames), part.labels) for part in parts)
    _print(compare(folder.gate, task, tuning, test), as_json)


def run_cascade(judged: Judged, answers: Path, at_most: float, bakes: int, as_json: bool) -> None:
    """Put the edge before the cloud's answers on the same rendered bakes; ours learns its paths on seed 2000."""
    if not 0 < at_most <= 1:
        raise BadInputError(f"--at-most must be over 0 and at most 1, not {at_most:g}")
    _, folder, task, _ = judged.opened()
    cloud = read_cloud_answers(answers, task)
    if cloud.seed == TUNING_SEED:
        raise BadInputError(f"{answers}: seed {TUNING_SEED} chooses the thresholds: ask the cloud about another")
    count = len(cloud.truth)
    tuning, test = judged.rendered(task, (TUNING_SEED, bakes), (cloud.seed, count))
    if (test.labels != cloud.truth).any():
        raise BadInputError(f"{answers}: its bakes are not those that are rendered now: ask the cloud again")
    frames = test.frames.shape[1]
    every = integer_logits(folder.graph, test.frames.reshape(-1, *test.frames.shape[2:]))  # [N * F, labels]
    every = every.reshape(count, frames, -1)  # [N, F, labels]
    edge = EdgeAnswers(every[:, frames // 2], every)
    known = (integer_logits(folder.graph, tuning.key_frames), tuning.labels)
    report = cascade(folder.gate, task, known, edge, cloud, at_most)
    print(json.dumps(report) if as_json else cascade_text(report))  # noqa: T201


def _print(report: dict[str, Any], as_json: bool) -> None:
    print(json.dumps(report) if as_json else text_of(report))  # noqa: T201
