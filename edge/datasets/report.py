"""`crustwatch edge data`: what a set of photographs holds, in figures and as a contact sheet."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from edge.datasets.labelled import LabelledFrames
from edge.datasets.opening import open_dataset
from edge.datasets.split import Split, duplicates, split_by_group
from shared.errors import BadInputError
from shared.task import Task, load_task

SHOWN_SKIPPED, SHEET_COLUMNS = 5, 12


def run_report(source: str, task_name: str, sheet: Path | None, seed: int, as_json: bool) -> None:
    """Open, count, draw, print."""
    task = load_task(task_name)
    data = open_dataset(source, task)
    try:
        split = split_by_group(data, seed)
    except BadInputError as error:
        split, problem = None, str(error)
    else:
        problem = ""
    if sheet is not None:
        draw_sheet(data, task, sheet)
    report = report_of(data, task, split)
    if problem:
        report["split_problem"] = problem
    print(json.dumps(report) if as_json else text_of(report))  # noqa: T201


def report_of(data: LabelledFrames, task: Task, split: Split | None) -> dict[str, Any]:
    """Counts by label, groups, copies, skipped files, and the parts of a split."""
    copies = duplicates(data)
    report: dict[str, Any] = {
        "source": data.source,
        "items": len(data),
        "groups": len(np.unique(data.groups)),
        "labels": counts(data, task),
        "copies": sum(len(same) - 1 for same in copies),
        "copies_with_other_label": sum(len(np.unique(data.labels[same])) > 1 for same in copies),
        "skipped": list(data.skipped),
    }
    if split is not None:
        report["split"] = {
            name: counts(part, task) for name, part in zip(("train", "held_out", "test"), split, strict=True)
        }
    return report


def counts(data: LabelledFrames, task: Task) -> dict[str, int]:
    """Items by label."""
    return {name: int((data.labels == index).sum()) for index, name in enumerate(task.labels)}


def text_of(report: dict[str, Any]) -> str:
    """The lines that people read."""

    def listed(by_label: dict[str, int]) -> str:
        return ", ".join(f"{name} {count}" for name, count in by_label.items())

    lines = [
        f"{report['source']}: {report['items']} photographs in {report['groups']} groups",
        f"labels      {listed(report['labels'])}",
        f"copies      {report['copies']} (sets with different labels: {report['copies_with_other_label']})",
        f"skipped     {len(report['skipped'])}",
        *(f"  {reason}" for reason in report["skipped"][:SHOWN_SKIPPED]),
        *(f"{part:11} {listed(by_label)}" for part, by_label in report.get("split", {}).items()),
    ]
    if "split_problem" in report:
        lines.append(f"no split: {report['split_problem']}")
    return "\n".join(lines)


def draw_sheet(data: LabelledFrames, task: Task, path: Path) -> None:
    """A row of evenly chosen items a label, at the classifier's size. Raises BadInputError."""
    size, caption = data.frames.shape[1], 14
    sheet = Image.new("RGB", (SHEET_COLUMNS * size, len(task.labels) * (size + caption)))
    pen = ImageDraw.Draw(sheet)
    for row, name in enumerate(task.labels):
        items = np.flatnonzero(data.labels == row)
        top = row * (size + caption)
        pen.text((2, top + 1), f"{name}: {len(items)}", fill=(255, 255, 255))
        step = max(1, math.ceil(len(items) / SHEET_COLUMNS))
        for column, item in enumerate(items[::step]):
            sheet.paste(Image.fromarray(data.frames[item]), (column * size, top + caption))
    try:
        sheet.save(path)
    except (OSError, ValueError) as error:
        raise BadInputError(f"cannot write the contact sheet {path}: {error}") from error
