"""Clips in blocks of one file beside the outbox's database: written once, in place, where SQLite writes them twice.

A clip lies in one or more runs of blocks; its row in the database says where. What is free is known from those rows
alone, so nothing but clips is ever written here, and a crash leaves nothing to be repaired. Freed blocks may be used
again once the deletion of their row is on the disk: before that a power cut would bring the row back (decision 0111).
"""

from __future__ import annotations

import errno
import os
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

BLOCK = 4096  # bytes; a page of the kernel's cache
_RUN = struct.Struct("<II")  # first block, number of blocks
_FREE, _USED = b"\0", b"\1"


def taken_bytes(size: int) -> int:
    """What a clip of `size` bytes takes in the file: whole blocks."""
    return -(-size // BLOCK) * BLOCK


class ClipFile:
    """One file. `take`, `free` and `reclaim` are called by one thread; reading, writing and `sync` by any."""

    def __init__(self, path: Path, max_bytes: int, places: Iterable[bytes]) -> None:
        """`places` are in use. Raises OSError."""
        self.path = path
        self._max_blocks = max_bytes // BLOCK
        self._map = bytearray()  # a byte a block
        self._freed: deque[tuple[int, bytes]] = deque()  # since which version of the database, and the place
        self._file: int | None = None  # opened when it is needed
        self._named = path.exists()  # its name in the folder is on the disk
        for place in places:
            for first, count in _runs(place):
                self._grow(first + count)
                self._map[first : first + count] = _USED * count

    def _grow(self, blocks: int) -> None:
        self._map.extend(_FREE * (blocks - len(self._map)))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def open(self) -> int:
        """The file's descriptor. Raises OSError."""
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._file

    # Which blocks are whose.

    def take(self, size: int) -> bytes:
        """A place for `size` bytes, the lowest that is free. Raises OSError when the file would grow too long."""
        missing, at = taken_bytes(size) // BLOCK, 0
        runs: list[tuple[int, int]] = []
        while missing:
            first = self._map.find(_FREE, at)
            if first < 0:
                first = len(self._map)
                if first + missing > self._max_blocks:
                    for taken, count in runs:
                        self._mark(taken, count, _FREE)
                    raise OSError(errno.ENOSPC, "the clips have no more room")
                self._grow(first + missing)
            end = self._map.find(_USED, first, first + missing)
            count = (min(len(self._map), first + missing) if end < 0 else end) - first
            self._mark(first, count, _USED)
            runs.append((first, count))
            missing -= count
            at = first + count
        return b"".join(_RUN.pack(*run) for run in runs)

    def _mark(self, first: int, count: int, what: bytes) -> None:
        self._map[first : first + count] = what * count

    def give_back(self, place: bytes) -> None:
        """A place that nobody was told of is free."""
        for first, count in _runs(place):
            self._mark(first, count, _FREE)

    def free(self, place: bytes, version: int) -> None:
        """A place is free once `version` of the database, in which its row is gone, is on the disk."""
        self._freed.append((version, place))

    def reclaim(self, synced: int) -> None:
        """`synced` is the version on the disk."""
        while self._freed and self._freed[0][0] <= synced:
            self.give_back(self._freed.popleft()[1])

    # What lies there. All raise OSError.

    def write(self, place: bytes, clip: bytes) -> None:
        """Put a clip into its place."""
        file = self.open()
        for offset, part in _parts(place, memoryview(clip)):
            done = 0
            while done < len(part):
                done += os.pwrite(file, part[done:], offset + done)

    def read(self, place: bytes, size: int) -> bytes:
        """`size` bytes of a place; fewer when the file ends before."""
        file = self.open()
        parts = [os.pread(file, count * BLOCK, first * BLOCK) for first, count in _runs(place)]
        clip = parts[0] if len(parts) == 1 else b"".join(parts)
        return clip[:size]

    def sync(self) -> None:
        """Put what was written on the disk."""
        os.fdatasync(self.open())
        if not self._named:
            sync_folder(self.path.parent)
            self._named = True

    def cut(self) -> int:
        """Cut off what is free at the end, once the disk knows that it is free; returns how many blocks stay."""
        used = self._map.rfind(_USED) + 1
        if self.path.exists():
            os.truncate(self.path, min(self.path.stat().st_size, used * BLOCK))
        return used

    def forget_free(self) -> None:
        """Overwrite what is free: clips that were deleted lie there until then."""
        if not self.path.exists():
            return
        self.reclaim(2**63)
        used = self.cut()
        file, at = self.open(), 0
        while (first := self._map.find(_FREE, at, used)) >= 0:
            end = self._map.find(_USED, first, used)
            for block in range(first, end):
                os.pwrite(file, bytes(BLOCK), block * BLOCK)
            at = end
        self.sync()


def sync_folder(path: Path) -> None:
    """Put the names in a folder on the disk. Raises OSError."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _runs(place: bytes) -> Iterator[tuple[int, int]]:
    yield from _RUN.iter_unpack(place)


def _parts(place: bytes, clip: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Offset and bytes of each run."""
    at = 0
    for first, count in _runs(place):
        yield first * BLOCK, clip[at : at + count * BLOCK]
        at += count * BLOCK
