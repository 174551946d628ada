"""Rendered clips on disk: shards of records, written once, read by memory map.

A shard is one `.npy` file of `SHARD_CLIPS` records, written under another name and renamed when complete. A run that
was killed goes on with the shards that are there; a shard is the same bytes whenever and wherever it is rendered.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from shutil import disk_usage

import numpy as np

from cloud.spatial_mllm.config import VisionConfig
from cloud.spatial_mllm.processor import PixelRange, smart_size
from cloud.training.plan import TRAINING_SEEDS, VALIDATION_SEED
from cloud.training.records import Record, record_type, render_record
from shared.atomic_file import PARTIAL, replacing
from shared.bakery import FRAME_HEIGHT, FRAME_WIDTH
from shared.bakery.fingerprint import renderer_fingerprint
from shared.cache_folder import cache_folder
from shared.children import follow_parent
from shared.errors import BadInputError, CrustwatchError
from shared.output_folder import output_folder
from shared.task import Task

SHARD_CLIPS = 64
SHARDS_PER_SEED = 4
VALIDATION_SHARDS = 4
SPARE_BYTES = 2 * 1024**3  # disk that rendering leaves free


@dataclass(frozen=True)
class Shard:
    """Shard `number` of a store: clips of one seed with consecutive indices."""

    number: int
    seed: int
    first: int  # index of its first bake

    @property
    def name(self) -> str:
        """File name."""
        return f"seed-{self.seed}-{self.first:05d}.npy"


def shards(first_seed: int, last_seed: int, count: int) -> tuple[Shard, ...]:
    """The first `count` shards of the seeds `first_seed` to `last_seed`, SHARDS_PER_SEED of each seed."""
    most = (last_seed - first_seed + 1) * SHARDS_PER_SEED
    if not 0 <= count <= most:
        raise BadInputError(f"seeds {first_seed} to {last_seed} give at most {most * SHARD_CLIPS} clips")
    return tuple(
        Shard(number, first_seed + number // SHARDS_PER_SEED, number % SHARDS_PER_SEED * SHARD_CLIPS)
        for number in range(count)
    )


def training_shards(clips: int) -> tuple[Shard, ...]:
    """The shards of the first `clips` training clips. Raises BadInputError when these are not whole shards."""
    if clips < SHARD_CLIPS or clips % SHARD_CLIPS:
        raise BadInputError(f"--clips must be a multiple of {SHARD_CLIPS}, not {clips}")
    return shards(*TRAINING_SEEDS, clips // SHARD_CLIPS)


def validation_shards(count: int = VALIDATION_SHARDS) -> tuple[Shard, ...]:
    """The first `count` shards that no training learns from."""
    return shards(VALIDATION_SEED, VALIDATION_SEED, count)


class ClipStore:
    """The folder of shards for one frame size and one behaviour of the renderer."""

    def __init__(self, folder: Path | None, pixels: PixelRange, task: Task) -> None:
        """`folder`: of all stores; None: in this user's cache. Raises BadInputError when it cannot be written."""
        folder = cache_folder() / "clips" if folder is None else folder
        self.pixels = pixels
        self.task = task
        vision = VisionConfig()
        factor = vision.patch_size * vision.spatial_merge_size
        height, width = smart_size(FRAME_HEIGHT, FRAME_WIDTH, factor, pixels)
        self.dtype = record_type(height, width)
        self.folder = folder / f"{renderer_fingerprint()}-{width}x{height}"
        output_folder(self.folder)

    def ready(self, wanted: Sequence[Shard]) -> list[Shard]:
        """Those of `wanted` that are on disk, in their order."""
        there = {entry.name for entry in os.scandir(self.folder)}
        return [shard for shard in wanted if shard.name in there]

    def open(self, shard: Shard) -> Record:
        """Memory map of a shard: records [SHARD_CLIPS].

        Raises CrustwatchError for a file of another form: this program changed and the cache did not.
        """
        path = self.folder / shard.name
        records = np.load(path, mmap_mode="r", allow_pickle=False)
        if records.dtype != self.dtype or records.shape != (SHARD_CLIPS,):
            raise CrustwatchError(f"{path}: written by another version: delete the folder {self.folder}")
        return records  # type: ignore[no-any-return]  # numpy types load() as Any

    def write(self, shard: Shard) -> Path:
        """Render `shard` and put it in place in one step."""
        records = np.stack(
            [render_record(shard.seed, shard.first + k, self.pixels, self.task) for k in range(SHARD_CLIPS)]
        )  # [SHARD_CLIPS]
        path = self.folder / shard.name
        with replacing(path, racing=True) as file:
            np.save(file, records, allow_pickle=False)
        return path

    def sweep(self) -> None:
        """Delete what killed renderers left half written; those of living ones stay."""
        for part in self.folder.glob(f"*{PARTIAL}"):
            pid = part.suffixes[-2].removeprefix(".")
            if not (pid.isdecimal() and Path(f"/proc/{pid}").exists()):
                part.unlink(missing_ok=True)

    def room_for(self, missing: int) -> None:
        """Raise BadInputError when `missing` more shards do not fit on the disk."""
        need = missing * SHARD_CLIPS * self.dtype.itemsize
        free = disk_usage(self.folder).free
        if need + SPARE_BYTES > free:
            raise BadInputError(
                f"{self.folder}: {need / 1e9:.1f} GB of clips do not fit, {free / 1e9:.1f} GB are free: "
                "name another folder with --cache or fewer clips with --clips"
            )


class Renderer:
    """Renders the missing shards of a store in processes of its own, in order, beside the training."""

    def __init__(self, store: ClipStore, wanted: Sequence[Shard], processes: int) -> None:
        done = set(store.ready(wanted))
        missing = [shard for shard in wanted if shard not in done]
        store.room_for(len(missing))
        store.sweep()
        self.total = len(wanted)
        self._pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=follow_parent)
        arguments = (store.folder.parent, store.pixels, store.task)
        self._jobs: list[Future[None]] = [self._pool.submit(_render_shard, *arguments, shard) for shard in missing]

    @property
    def running(self) -> bool:
        """Whether shards are still to come."""
        return not all(job.done() for job in self._jobs)

    def check(self) -> None:
        """Raise what a rendering process raised, CrustwatchError when one was killed."""
        for job in self._jobs:
            if job.done() and not job.cancelled():
                _result(job)

    def wait(self) -> Iterator[None]:
        """Yield once for every shard as it gets done, those on disk at the start not counted. Raises as `check`."""
        for job in self._jobs:
            _result(job)
            yield

    def close(self) -> None:
        """Drop what has not begun and wait for the shards under way."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _result(job: Future[None]) -> None:
    try:
        job.result()
    except BrokenProcessPool:
        raise CrustwatchError(
            "a rendering process was killed (out of memory?): the same command goes on with the clips that are there, "
            "an unfinished run with --resume"
        ) from None


def _render_shard(folder: Path, pixels: PixelRange, task: Task, shard: Shard) -> None:
    """Job of a rendering process."""
    ClipStore(folder, pixels, task).write(shard)
