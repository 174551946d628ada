"""What the commands of cli.py do: set up, run, and print for people or machines."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.datasets import open_dataset, split_by_group
from edge.gate.gate_file import GateFile
from edge.learning.evaluation import evaluate, integer_logits
from edge.learning.frames import FrameSet, FrameStore
from edge.learning.judged import Judged
from edge.learning.model_folder import sizes
from edge.learning.parts import Parts, frame_set, photograph_parts, rendered_parts
from edge.learning.progress import TerminalReporter
from edge.learning.settings import Settings
from edge.learning.unseen import unseen_photographs
from shared.cache_folder import cache_folder
from shared.errors import BadInputError, MissingPartError
from shared.output_folder import output_file, output_folder
from shared.task import Task, load_task


def shipped_model(task: str) -> Path:
    """Folder of the model that ships with crustwatch. Raises BadInputError for a task without one."""
    folder = Path(str(resources.files("edge") / "models" / task))
    if not folder.is_dir():
        raise BadInputError(
            f"no model ships for task {task!r}: make one with `crustwatch edge train --task {task} --out build/{task}`,"
            f" then name it with --model build/{task}"
        )
    return folder


def run_training(
    settings: Settings,
    task_name: str,
    out: Path,
    *,
    data: str | None,
    resume: bool,
    cache: Path | None,
    processes: int,
    as_json: bool,
) -> None:
    """Train into `out` and print its card. Raises MissingPartError without torch."""
    require_torch()
    from edge.learning.loss_curve import RecordingReporter
    from edge.learning.pipeline import train_model
    from edge.learning.pretrained import check_start

    check_start(settings.start)
    task = load_task(task_name).with_size(settings.size_px)
    output_folder(out)
    with TerminalReporter() as reporter:
        parts = parts_for(task, settings, data, cache, processes, reporter)
        with closing(RecordingReporter(reporter, out, resume=resume)) as recording:
            card = train_model(settings, task, parts, out, resume=resume, reporter=recording)
    _print(card, as_json)


def require_torch() -> None:
    """Set torch up for the same sums on every machine. Raises MissingPartError without it."""
    try:
        import torch

        import edge.learning.pipeline  # noqa: F401
    except ImportError as error:
        raise MissingPartError(f"training needs {error.name}: pip install 'crustwatch[learn]'") from None
    torch.set_num_threads(1)  # the same order on every machine, and the models are too small for more


def parts_for(
    task: Task, settings: Settings, data: str | None, cache: Path | None, processes: int, reporter: TerminalReporter
) -> Parts:
    """The three parts of a run, rendered or from photographs. Raises BadInputError for settings that cannot work."""
    from edge.learning.pipeline import check_trainable

    check_trainable(settings, task)
    source = data_of(task, data)
    if source is None:
        if settings.teacher != "none":
            raise BadInputError(f"--teacher {settings.teacher} teaches photographs, and these are rendered")
        return rendered_parts(FrameStore(cache or cache_folder(), task, processes), settings, reporter.stage)
    photographs = open_dataset(source, task)
    parts = photograph_parts(photographs, settings.split_seed)
    if settings.teacher == "none":
        return parts
    from edge.learning.teacher import lessons_of

    taught = split_by_group(photographs, settings.split_seed).train
    stage = reporter.stage(f"asking {settings.teacher}", len(taught))
    lessons = lessons_of(settings.teacher, taught, cache or cache_folder(), stage)
    return parts._replace(train=replace(parts.train, lessons=lessons))


def data_of(task: Task, data: str | None) -> str | None:
    """The photographs to open; None for rendered bakes. Raises BadInputError when the task needs a folder."""
    source = data or task.data
    if source == "folder":
        raise BadInputError(f"task {task.name} brings no photographs: name a folder or a .csv table with --data")
    return None if source == "rendered" else source


def run_evaluation(
    judged: Judged, *, seed: int, bakes: int, all_frames: bool, as_json: bool, page: Path | None = None
) -> None:
    """Evaluate a model folder and print the report; with `page` also as an HTML file.

    Of the photographs that the model was trained on only the test part counts; of others, with a split seed their test
    part, without one all of them.
    """
    place, folder, task, source = judged.opened()
    if page is not None:
        output_file(page)
    if source is None:
        (frames,) = judged.rendered(task, (seed, bakes))
    else:
        unseen = unseen_photographs(place, source, task, judged.split_seed)
        frames = frame_set(unseen.test, unseen.split_seed or 0)
    logits = integer_logits(folder.graph, frames.key_frames)
    every = all_frames and frames.frames.shape[1] > 1
    report = evaluate(folder.graph, folder.gate, frames, task, all_frames=every, logits=logits)
    card = {**headline(report), **sizes(folder.graph, folder.tflite), "evaluation": report}
    if page is not None:
        _write_page(page, card, folder.gate, logits, frames, task)
    _print(card, as_json)


def _write_page(
    page: Path, card: dict[str, Any], gate: GateFile, logits: NDArray[np.int8], frames: FrameSet, task: Task
) -> None:
    """The report as HTML. Raises MissingPartError without matplotlib."""
    try:
        from edge.learning.report_page import write_report
    except ImportError as error:
        raise MissingPartError(f"a report needs {error.name}: pip install 'crustwatch[learn]'") from None
    write_report(page, card, gate, logits, frames, task)


def headline(report: dict[str, Any]) -> dict[str, Any]:
    """The figures that comparisons quote, on top of the object that --json prints."""
    accuracy = report["key_frame_accuracy"]
    return {
        "accuracy": accuracy["share"],
        "n": accuracy["n"],
        "interval": [accuracy["low"], accuracy["high"]],
        "risk_at_70": report["risk_at_70"],
        "aurc": report["aurc"],
    }


def _print(card: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(card))  # noqa: T201
        return
    print(_text(card))  # noqa: T201


def _text(card: dict[str, Any]) -> str:
    """The lines that people read."""
    report = card["evaluation"]
    what = "rendered bakes of seed" if report["data"] == "rendered" else f"photographs of {report['data']}, split"
    lines = [
        f"model {card['model_bytes']} bytes, arena {card['arena_bytes']} bytes, {card['macs']} multiply-accumulates",
        f"{report['bakes']} {what} {report['seed']}, share [95 % interval]:",
    ]
    for name, value in report.items():
        if isinstance(value, dict) and "share" in value:
            lines.append(_line(name, value))
    lines += [_line(f"  {name}", value) for name, value in report["accuracy_by_label"].items()]
    lines.append(f"error at 70 % coverage {report['risk_at_70']:.3f}, area under risk-coverage {report['aurc']:.4f}")
    return "\n".join(lines)


def _line(name: str, value: dict[str, Any]) -> str:
    shown = "none" if value["share"] is None else f"{value['share']:.3f}"
    return f"{name.replace('_', ' '):28} {shown} [{value['low']:.3f}, {value['high']:.3f}] n={value['n']}"
