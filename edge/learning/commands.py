"""What the commands of cli.py do: set up, run, and print for people or machines."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from edge.learning.evaluation import evaluate
from edge.learning.frames import FrameStore
from edge.learning.model_folder import read_model, sizes
from edge.learning.progress import TerminalReporter
from edge.learning.settings import Settings
from shared.cache_folder import cache_folder
from shared.errors import BadInputError, MissingPartError
from shared.task import load_task


def shipped_model(task: str) -> Path:
    """Folder of the model that ships with crustwatch. Raises BadInputError for a task without one."""
    folder = Path(str(resources.files("edge") / "models" / task))
    if not folder.is_dir():
        raise BadInputError(f"no model ships for task {task!r}: name a folder with --model")
    return folder


def run_training(
    settings: Settings, task_name: str, out: Path, *, resume: bool, cache: Path | None, processes: int, as_json: bool
) -> None:
    """Train into `out` and print its card. Raises MissingPartError without torch."""
    try:
        import torch

        from edge.learning.pipeline import train_model
    except ImportError as error:
        raise MissingPartError(f"training needs {error.name}: pip install 'crustwatch[learn]'") from None
    torch.set_num_threads(1)  # the same sums in the same order on every machine, and the model is too small for more
    task = load_task(task_name)
    with TerminalReporter() as reporter:
        store = FrameStore(cache or cache_folder(), task, processes)
        card = train_model(settings, task, store, out, resume=resume, reporter=reporter)
    _print(card, as_json)


def run_evaluation(
    model: Path | None,
    task_name: str,
    *,
    seed: int,
    bakes: int,
    all_frames: bool,
    cache: Path | None,
    processes: int,
    as_json: bool,
) -> None:
    """Evaluate a model folder and print the report."""
    task = load_task(task_name)
    folder = read_model(model or shipped_model(task.name))
    if folder.graph.labels != len(task.labels):
        raise BadInputError(f"the model has {folder.graph.labels} labels, task {task.name} has {len(task.labels)}")
    with TerminalReporter() as reporter:
        store = FrameStore(cache or cache_folder(), task, processes)
        frames = store.load(seed, bakes, reporter.stage(f"frames of seed {seed}", bakes))
    report = evaluate(folder.graph, folder.gate, frames, task, all_frames=all_frames)
    _print({**sizes(folder.graph, folder.tflite), "evaluation": report}, as_json)


def _print(card: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(card))  # noqa: T201
        return
    print(_text(card))  # noqa: T201


def _text(card: dict[str, Any]) -> str:
    """The lines that people read."""
    report = card["evaluation"]
    lines = [
        f"model {card['model_bytes']} bytes, arena {card['arena_bytes']} bytes, {card['macs']} multiply-accumulates",
        f"{report['bakes']} rendered bakes of seed {report['seed']}, share [95 % interval]:",
    ]
    for name, value in report.items():
        if isinstance(value, dict) and "share" in value:
            lines.append(_line(name, value))
    lines += [_line(f"  {name}", value) for name, value in report["accuracy_by_label"].items()]
    return "\n".join(lines)


def _line(name: str, value: dict[str, Any]) -> str:
    shown = "none" if value["share"] is None else f"{value['share']:.3f}"
    return f"{name.replace('_', ' '):28} {shown} [{value['low']:.3f}, {value['high']:.3f}] n={value['n']}"
