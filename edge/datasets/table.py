"""A CSV table with the columns `path` (relative to the table) and `label`, and optionally `group`."""

from __future__ import annotations

import csv
from pathlib import Path

from edge.datasets.labelled import Entry
from shared.errors import BadInputError
from shared.task import Task

MAX_BYTES = 64 << 20


def table_entries(path: Path, task: Task) -> list[Entry]:
    """The table's rows. Raises BadInputError that names the line of a missing column, label or path outside."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInputError(f"{path}: over {MAX_BYTES >> 20} MB")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: cannot be read: {error}") from None
    entries = []
    try:
        rows = csv.DictReader(text.splitlines(), strict=True)
        if not {"path", "label"} <= set(rows.fieldnames or ()):
            raise BadInputError(f"{path}: the first line must name the columns path and label (and group, if there is)")
        for row in rows:
            entries.append(_entry(path, rows.line_num, row, task))
    except csv.Error as error:
        raise BadInputError(f"{path}: not a CSV table: {error}") from None
    return entries


def _entry(table: Path, line: int, row: dict[str, str | None], task: Task) -> Entry:
    name, label = (row["path"] or "").strip(), (row["label"] or "").strip()
    if not name or label not in task.labels:
        raise BadInputError(
            f"{table}, line {line}: label {label!r} for {name!r} is not one of {', '.join(task.labels)}"
        )
    place = table.parent / name
    if "\0" in name or not place.resolve().is_relative_to(table.parent.resolve()):
        raise BadInputError(f"{table}, line {line}: {name!r} lies outside of the table's folder")
    return Entry(place, task.index(label), (row.get("group") or name).strip(), name)
