"""What a power cut leaves of an SQLite file in WAL mode whose process was killed: what was not synced may be gone.

The shared-memory file names the log's committed frames (https://sqlite.org/walformat.html). Frames that no fsync has
put on the disk, and pages of the database that an unfinished checkpoint was writing, are in the hands of fate: kept,
cut off, zero, or garbage, by sectors.
"""

from __future__ import annotations

import contextlib
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from edge.gateway.clip_file import BLOCK
from edge.gateway.clip_store import ClipStore
from edge.gateway.storage import Storage

WAL_HEADER, FRAME_HEADER, SECTOR = 32, 24, 512
INDEX_HEADER = 48  # bytes of each of its two copies
Fate = Literal["kept", "cut", "garbage"]


class Position(NamedTuple):
    """How far a log is committed."""

    salt: bytes  # another one each time that the log begins anew
    frames: int


def committed(path: Path) -> Position:
    """How far the log of the database at `path` is committed, from its shared memory. Any process, any thread."""
    while True:
        index = path.with_name(f"{path.name}-shm").read_bytes()
        if index[:INDEX_HEADER] == index[INDEX_HEADER : 2 * INDEX_HEADER]:  # else it is being written
            (frames,) = struct.unpack_from("=I", index, 16)
            return Position(index[32:40], frames)


def note_syncs() -> None:
    """From here on this process keeps beside each outbox how far it has synced its log: in `<name>-synced`.

    While a checkpoint runs, `<name>-checkpoint` is there; while clips are written,
    `<name>-clips-unsynced` names their blocks.
    """
    sync, checkpoint, save = Storage.sync_log, Storage._checkpoint, ClipStore.save

    def noted_sync(self: Storage) -> None:
        before = committed(self.path)
        sync(self)
        fresh = self.path.with_name(f"{self.path.name}-synced.new")
        fresh.write_bytes(before.salt + struct.pack("=I", before.frames))
        os.replace(fresh, self.path.with_name(f"{self.path.name}-synced"))

    def noted_checkpoint(self: Storage, kind: Literal["PASSIVE", "FULL"]) -> None:
        with _flag(self.path.with_name(f"{self.path.name}-checkpoint")):
            checkpoint(self, kind)

    def noted_save(self: ClipStore) -> None:
        note = self.file.path.with_name(f"{self.file.path.name}-unsynced")
        note.write_bytes(b"".join(held.place for held in list(self._held.values()) if not held.saved))
        save(self)
        note.unlink()

    ClipStore.save = noted_save  # type: ignore[method-assign]
    Storage.sync_log = noted_sync  # type: ignore[method-assign]
    Storage._checkpoint = noted_checkpoint  # type: ignore[method-assign]


@contextlib.contextmanager
def _flag(path: Path) -> Iterator[None]:
    path.touch()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def synced_frames(path: Path) -> int | None:
    """Frames of the present log that `note_syncs` saw synced; None: all that are committed, as nobody noted."""
    note, flag = path.with_name(f"{path.name}-synced"), path.with_name(f"{path.name}-checkpoint")
    if flag.exists() or not note.exists():  # a checkpoint syncs the log by itself
        flag.unlink(missing_ok=True)
        return None
    data = note.read_bytes()
    return int(struct.unpack_from("=I", data, 8)[0]) if data[:8] == committed(path).salt else 0


def cut_power(path: Path, rng: random.Random, synced: int | None = None, fate: Fate | None = None) -> None:
    """Damage the files of `path` as a power cut may, after `synced` frames of its log; all committed ones without it.

    The shared-memory file was never on the disk.
    """
    _tear_clips(path.with_name(f"{path.name}-clips"), rng)
    log, shared = path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")
    if not log.exists() or not shared.exists() or log.stat().st_size < WAL_HEADER:
        return
    (backfilled,) = struct.unpack_from("=I", shared.read_bytes(), 2 * INDEX_HEADER)
    durable = committed(path).frames if synced is None else max(synced, backfilled)
    shared.unlink()
    data = bytearray(log.read_bytes())
    (page_bytes,) = struct.unpack_from(">I", data, 8)
    end = WAL_HEADER + durable * (FRAME_HEADER + page_bytes)
    _tear_checkpoint(path, data, backfilled, durable, page_bytes, rng)
    fate = fate or rng.choice(("kept", "cut", "garbage"))
    if fate == "cut":
        del data[rng.randint(min(end, len(data)), len(data)) :]
    elif fate == "garbage":
        for sector in range(end, len(data), SECTOR):
            if rng.random() < 0.5:
                size = min(SECTOR, len(data) - sector)
                data[sector : sector + size] = rng.choice((bytes(size), rng.randbytes(size)))
    log.write_bytes(data)


def _tear_clips(clips: Path, rng: random.Random) -> None:
    """Clips that were being written may be there, partly, or not at all."""
    note = clips.with_name(f"{clips.name}-unsynced")
    if not note.exists() or not clips.exists():
        return
    with clips.open("r+b") as file:
        for first, count in struct.iter_unpack("<II", note.read_bytes()):
            for sector in range(first * BLOCK // SECTOR, (first + count) * BLOCK // SECTOR):
                if rng.random() < 0.5:
                    file.seek(sector * SECTOR)
                    file.write(rng.choice((bytes(SECTOR), rng.randbytes(SECTOR))))
    note.unlink()


def _tear_checkpoint(
    path: Path, log: bytearray, backfilled: int, durable: int, page_bytes: int, rng: random.Random
) -> None:
    """Pages that the log still holds may be half written in the database."""
    with path.open("r+b") as database:
        size = path.stat().st_size
        for frame in range(backfilled, durable):
            (page,) = struct.unpack_from(">I", log, WAL_HEADER + frame * (FRAME_HEADER + page_bytes))
            where = (page - 1) * page_bytes + SECTOR * rng.randrange(page_bytes // SECTOR)
            if page > 1 and where + SECTOR <= size and rng.random() < 0.2:
                database.seek(where)
                database.write(rng.randbytes(SECTOR))
