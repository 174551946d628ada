"""What `--data` names: a folder, a table, or the package of a task."""

from __future__ import annotations

from pathlib import Path

from edge.datasets.elpv import elpv_entries
from edge.datasets.folder import folder_entries
from edge.datasets.labelled import LabelledFrames, read_entries
from edge.datasets.table import table_entries
from shared.errors import BadInputError
from shared.task import Task


def open_dataset(data: str, task: Task) -> LabelledFrames:
    """Photographs from a folder of labels, a .csv table, or `elpv`. Raises BadInputError and MissingPartError."""
    path = Path(data)
    if data == "elpv":
        entries = elpv_entries(task)
    elif path.is_dir():
        entries = folder_entries(path, task)
    elif path.suffix.lower() == ".csv":
        entries = table_entries(path, task)
    else:
        raise BadInputError(f"{data}: neither a folder with a sub-folder a label, nor a .csv table, nor elpv")
    return read_entries(entries, task, data)
