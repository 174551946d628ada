"""How long images are kept: files of one kind below a folder expire by age and, the oldest first, by size together."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from shared.atomic_file import name_when_whole
from shared.errors import BadInputError

DAY_S = 86_400.0


class Limits(NamedTuple):
    """What is kept at most; None is no limit."""

    max_age_s: float | None = None
    max_bytes: int | None = None


NO_LIMITS = Limits()


def limits(days: float | None, max_bytes: float | None) -> Limits:
    """Limits from options. Raises BadInputError for numbers without an end."""
    if not all(math.isfinite(limit) for limit in (days, max_bytes) if limit is not None):
        raise BadInputError("days and bytes to be kept are finite numbers")
    return Limits(None if days is None else days * DAY_S, None if max_bytes is None else int(max_bytes))


class Purged(NamedTuple):
    """What a purge deleted, and what it left."""

    files: int
    bytes: int
    kept_files: int
    kept_bytes: int


class _File(NamedTuple):
    modified_s: float
    path: str
    size: int


def purge(folder: Path, suffixes: tuple[str, ...], limits: Limits, now_s: float, *, dry_run: bool = False) -> Purged:
    """Delete files with `suffixes`, also half-written ones, below `folder` until the limits hold. No link is followed.

    A file of the future (the clock was wrong) is as new as one of now. With `dry_run` nothing is deleted. Raises
    BadInputError when the folder cannot be read.
    """
    if not folder.is_dir():
        raise BadInputError(f"{folder}: no such folder")
    files = sorted(_files(str(folder), suffixes))
    kept, purged = split_by_limits([(file.modified_s, file.size) for file in files], limits, now_s)
    for file, stays in zip(files, kept, strict=True):
        if stays or dry_run:
            continue
        try:
            os.unlink(file.path)
        except FileNotFoundError:
            pass  # another purge was quicker
        except OSError as error:
            raise BadInputError(f"{file.path}: cannot be deleted: {error.strerror}") from None
    return purged


def split_by_limits(things: Sequence[tuple[float, int]], limits: Limits, now_s: float) -> tuple[list[bool], Purged]:
    """Which of some things (time of origin in seconds, bytes) stay, and how many those are: the newest that fit."""
    stays = [False] * len(things)
    kept_bytes = kept = gone_bytes = gone = 0
    for index in sorted(range(len(things)), key=lambda i: things[i][0], reverse=True):
        made_s, size = things[index]
        too_old = limits.max_age_s is not None and now_s - made_s > limits.max_age_s
        too_many = limits.max_bytes is not None and kept_bytes + size > limits.max_bytes
        if too_old or too_many:
            gone, gone_bytes = gone + 1, gone_bytes + size
        else:
            stays[index] = True
            kept, kept_bytes = kept + 1, kept_bytes + size
    return stays, Purged(gone, gone_bytes, kept, kept_bytes)


def _files(folder: str, suffixes: tuple[str, ...]) -> Iterator[_File]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise BadInputError(f"{folder}: cannot be read: {error.strerror}") from None
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, suffixes)
        elif entry.is_file(follow_symlinks=False) and name_when_whole(entry.name.lower()).endswith(suffixes):
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield _File(found.st_mtime, entry.path, found.st_size)
