"""Rendered bakes as the classifier sees them: 48x48 frames by seed, rendered once and kept in the user's cache.

A cache entry belongs to one behaviour of the renderer: its folder carries the renderer's fingerprint. Splits are by
bake: a seed is a split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.learning.lessons import Lessons
from shared.atomic_file import replacing
from shared.bakery import FRAME_COUNT, Bake, iter_bakes
from shared.bakery.fingerprint import renderer_fingerprint
from shared.resize import square_resize
from shared.task import Task

SHARD_BAKES = 50

Progress = Callable[[int], None]  # called with the number of bakes that became ready


@dataclass(frozen=True, slots=True)
class FrameSet:
    """The frames of some bakes of one seed, or photographs: items of one frame."""

    seed: int  # of the renderer, or of the split
    frames: NDArray[np.uint8]  # [N, F, S, S, 3]
    labels: NDArray[np.int64]  # [N]
    source: str = "rendered"
    shares: NDArray[np.float32] | None = None  # [N, labels]: how much labellers were for each label
    lessons: Lessons | None = None  # of a teacher, for items of one frame
    names: tuple[str, ...] = ()  # [N], of photographs

    @property
    def key_frames(self) -> NDArray[np.uint8]:
        """The one frame an item that the edge classifies, the middle one: uint8 [N, S, S, 3]."""
        return self.frames[:, self.frames.shape[1] // 2]


class FrameStore:
    """Renders and keeps frames below `cache`. Rendering resumes at the first shard that is not there."""

    def __init__(self, cache: Path, task: Task, processes: int = 1) -> None:
        self._task, self._processes = task, processes
        self._folder = cache / "edge-frames" / f"{renderer_fingerprint()}-{task.input.size_px}px"

    def load(self, seed: int, bakes: int, progress: Progress = lambda ready: None) -> FrameSet:
        """The first `bakes` bakes of `seed`, rendered as far as the cache lacks them."""
        frames, labels = [], []
        for first in range(0, bakes, SHARD_BAKES):
            count = min(SHARD_BAKES, bakes - first)
            shard_frames, shard_labels = self._shard(seed, first, count)
            frames.append(shard_frames)
            labels.append(shard_labels)
            progress(count)
        return FrameSet(seed, np.concatenate(frames), np.concatenate(labels))

    def _shard(self, seed: int, first: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Frames uint8 [count, 8, S, S, 3] and labels int64 [count] from bake `first` on, from file if it is there."""
        path = self._folder / f"seed-{seed}" / f"{first:06d}.npz"
        if path.exists():
            with np.load(path) as stored:
                if len(stored["labels"]) >= count:
                    return stored["frames"][:count], stored["labels"][:count]
        frames, labels = frames_of(iter_bakes(seed, count, self._processes, start=first), self._task)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, durable=False, racing=True) as file:
            np.savez(file, frames=frames, labels=labels)
        return frames, labels


def frames_of(bakes: Iterator[Bake], task: Task) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Classifier frames uint8 [N, 8, S, S, 3] and label indices int64 [N] of rendered bakes."""
    size = task.input.size_px
    frames, labels = [], []
    for bake in bakes:
        frames.append(np.stack([square_resize(frame, size) for frame in bake.frames]))  # [8, S, S, 3]
        labels.append(task.index(bake.truth.doneness))
    if not frames:
        return np.zeros((0, FRAME_COUNT, size, size, 3), np.uint8), np.zeros(0, np.int64)
    return np.stack(frames), np.array(labels, np.int64)
