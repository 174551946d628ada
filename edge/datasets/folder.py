"""A folder with one sub-folder a label: `burnt/tray-3/0001.jpg`. A sub-folder of a label is a group."""

from __future__ import annotations

from pathlib import Path

from edge.datasets.labelled import Entry
from shared.errors import BadInputError
from shared.task import Task

PHOTOGRAPHS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})


def folder_entries(folder: Path, task: Task) -> list[Entry]:
    """The photographs below the folders named like the task's labels. Raises BadInputError.

    A photograph that lies directly in its label's folder is a group of its own.
    """
    try:
        places = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise BadInputError(f"{folder}: cannot be read: {error.strerror}") from None
    unknown = [place.name for place in places if place.name not in task.labels]
    if unknown or not places:
        found = f"found {', '.join(unknown)}" if unknown else "it has no sub-folder"
        raise BadInputError(f"{folder}: sub-folders are named by label ({', '.join(task.labels)}); {found}")
    entries = []
    for place in places:
        label = task.index(place.name)
        for path in sorted(place.rglob("*")):
            if path.suffix.lower() in PHOTOGRAPHS and path.is_file():
                inside = path.relative_to(folder)
                group = "/".join(inside.parts[:2]) if len(inside.parts) > 2 else str(inside)
                entries.append(Entry(path, label, group, str(inside)))
    return entries
