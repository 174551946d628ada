"""What `crustwatch edge compare` does."""

from __future__ import annotations

import json
from pathlib import Path

from edge.comparison.compare import compare, text_of
from edge.learning.commands import shipped_model
from edge.learning.evaluation import integer_logits
from edge.learning.frames import FrameStore
from edge.learning.model_folder import read_model
from edge.learning.progress import TerminalReporter
from shared.cache_folder import cache_folder
from shared.task import load_task

TUNING_SEED, TEST_SEED = 2000, 3000


def run_comparison(
    model: Path | None, task_name: str, bakes: int, cache: Path | None, processes: int, as_json: bool
) -> None:
    """Compare on rendered bakes: the path is learnt on seed 2000, every rule is read off on seed 3000."""
    task = load_task(task_name)
    folder = read_model(model or shipped_model(task.name))
    with TerminalReporter() as reporter:
        store = FrameStore(cache or cache_folder(), task, processes)
        parts = [
            store.load(seed, bakes, reporter.stage(f"frames of seed {seed}", bakes))
            for seed in (TUNING_SEED, TEST_SEED)
        ]
    tuning, test = ((integer_logits(folder.graph, part.key_frames), part.labels) for part in parts)
    report = compare(folder.gate, task, tuning, test)
    print(json.dumps(report) if as_json else text_of(report))  # noqa: T201
