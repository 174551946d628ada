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
from edge.learning.commands import data_of, shipped_model
from edge.learning.evaluation import integer_logits
from edge.learning.frames import FrameStore
from edge.learning.model_folder import read_model_of
from edge.learning.progress import TerminalReporter
from edge.learning.unseen import unseen_photographs
from shared.cache_folder import cache_folder
from shared.errors import BadInputError
from shared.task import load_task

TUNING_SEED, TEST_SEED = 2000, 3000


def run_comparison(
    model: Path | None,
    task_name: str,
    data: str | None,
    split_seed: int | None,
    bakes: int,
    cache: Path | None,
    processes: int,
    as_json: bool,
) -> None:
    """Compare on rendered bakes, or on photographs that the model has not learnt from.

    Of rendered bakes the path is learnt on seed 2000 and every rule is read off on seed 3000; photographs are split
    by group many times.
    """
    task = load_task(task_name)
    place = model or shipped_model(task.name)
    folder, task = read_model_of(place, task)
    source = data_of(task, data)
    if source is not None:
        photographs = unseen_photographs(place, source, task, split_seed).all()
        logits = integer_logits(folder.graph, photographs.frames)
        _print(compare_splits(folder.gate, task, logits, photographs.labels, photographs.groups), as_json)
        return
    with TerminalReporter() as reporter:
        store = FrameStore(cache or cache_folder(), task, processes)
        parts = [
            store.load(seed, bakes, reporter.stage(f"frames of seed {seed}", bakes))
            for seed in (TUNING_SEED, TEST_SEED)
        ]
    tuning, test = ((integer_logits(folder.graph, part.key_frames), part.labels) for part in parts)
    _print(compare(folder.gate, task, tuning, test), as_json)


def run_cascade(
    model: Path | None, task_name: str, answers: Path, at_most: float, bakes: int, cache: Path | None, as_json: bool
) -> None:
    """Put the edge before the cloud's answers on the same rendered bakes; ours learns its paths on seed 2000."""
    if not 0 < at_most <= 1:
        raise BadInputError(f"--at-most must be over 0 and at most 1, not {at_most:g}")
    task = load_task(task_name)
    cloud = read_cloud_answers(answers, task)
    if cloud.seed == TUNING_SEED:
        raise BadInputError(f"{answers}: seed {TUNING_SEED} chooses the thresholds: ask the cloud about another")
    folder, task = read_model_of(model or shipped_model(task.name), task)
    with TerminalReporter() as reporter:
        store = FrameStore(cache or cache_folder(), task)
        tuning = store.load(TUNING_SEED, bakes, reporter.stage(f"frames of seed {TUNING_SEED}", bakes))
        count = len(cloud.truth)
        test = store.load(cloud.seed, count, reporter.stage(f"frames of seed {cloud.seed}", count))
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
