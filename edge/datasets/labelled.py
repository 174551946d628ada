"""Labelled photographs as the classifier sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.errors import BadInputError
from shared.images import read_image_file
from shared.resize import square_resize
from shared.task import Task

MAX_SIDE_PX = 640  # of a photograph before it is resized: larger ones are made smaller while they are decoded


@dataclass(frozen=True, slots=True)
class LabelledFrames:
    """One frame an item. Items of one group (a module, a tray, a day) belong together in a split."""

    source: str  # for reports: where they come from
    frames: NDArray[np.uint8]  # [N, S, S, 3]
    labels: NDArray[np.int64]  # [N], indices of the task's labels
    groups: NDArray[np.int64]  # [N]
    names: tuple[str, ...]  # [N]
    skipped: tuple[str, ...] = ()  # files that could not be read, with the reason
    paths: tuple[Path, ...] = ()  # [N]
    shares: NDArray[np.float32] | None = None  # [N, labels]: how much labellers were for each label

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, items: NDArray[np.int64]) -> LabelledFrames:
        """The chosen items, in that order."""
        return LabelledFrames(
            self.source,
            self.frames[items],
            self.labels[items],
            self.groups[items],
            tuple(self.names[i] for i in items),
            paths=tuple(self.paths[i] for i in items) if self.paths else (),
            shares=None if self.shares is None else self.shares[items],
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A photograph that is to be read."""

    path: Path
    label: int
    group: str
    name: str
    shares: tuple[float, ...] | None = None  # how much labellers were for each label, where that is known


def read_entries(entries: Iterable[Entry], task: Task, source: str) -> LabelledFrames:
    """Read and resize photographs; unreadable ones are named in `skipped`. Raises BadInputError when none is left."""
    frames, kept, skipped = [], [], []
    for entry in entries:
        try:
            frames.append(square_resize(read_image_file(entry.path, MAX_SIDE_PX), task.input.size_px))
            kept.append(entry)
        except BadInputError as error:
            skipped.append(str(error))
    if not kept:
        reason = f"; the first: {skipped[0]}" if skipped else ""
        raise BadInputError(f"{source}: no photograph that can be read{reason}")
    numbers = {group: number for number, group in enumerate(dict.fromkeys(entry.group for entry in kept))}
    return LabelledFrames(
        source,
        np.stack(frames),
        np.array([entry.label for entry in kept], np.int64),
        np.array([numbers[entry.group] for entry in kept], np.int64),
        tuple(entry.name for entry in kept),
        tuple(skipped),
        tuple(entry.path for entry in kept),
        np.array([_shares(entry, task) for entry in kept], np.float32),
    )


def _shares(entry: Entry, task: Task) -> tuple[float, ...]:
    """What the labellers said, or the label alone."""
    if entry.shares is not None:
        return entry.shares
    return tuple(float(label == entry.label) for label in range(len(task.labels)))
