"""What a power cut leaves of an SQLite file in WAL mode whose process was killed: what was not synced may be gone.

The shared-memory file says how many frames of the log are committed; with `synchronous = FULL` SQLite writes that
number after the fsync (https://sqlite.org/walformat.html). Bytes of the log behind them, and pages of the database that
an unfinished checkpoint was writing, are in the hands of fate: kept, cut off, zero, or garbage, by sectors.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

WAL_HEADER, FRAME_HEADER, SECTOR = 32, 24, 512


def cut_power(path: Path, rng: random.Random, synced_frames: int | None = None) -> None:
    """Damage the files of `path` as a power cut may; `synced_frames` of the log are on the disk, all committed ones
    without it. The shared-memory file was never on the disk.
    """
    log, shared = path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")
    if not log.exists() or not shared.exists() or log.stat().st_size < WAL_HEADER:
        return
    index = shared.read_bytes()
    committed, backfilled = struct.unpack_from("=I", index, 16)[0], struct.unpack_from("=I", index, 96)[0]
    shared.unlink()
    durable = committed if synced_frames is None else synced_frames
    data = bytearray(log.read_bytes())
    (page_bytes,) = struct.unpack_from(">I", data, 8)
    frame_bytes = FRAME_HEADER + page_bytes
    end = WAL_HEADER + durable * frame_bytes
    if synced_frames is None:
        _tear_checkpoint(path, data, backfilled, committed, page_bytes, rng)
    fate = rng.choice(("kept", "cut", "garbage"))
    if fate == "cut":
        del data[rng.randint(min(end, len(data)), len(data)) :]
    elif fate == "garbage":
        for sector in range(end, len(data), SECTOR):
            if rng.random() < 0.5:
                size = min(SECTOR, len(data) - sector)
                data[sector : sector + size] = rng.choice((bytes(size), rng.randbytes(size)))
    if synced_frames is not None:
        del data[end:]
    log.write_bytes(data)


def _tear_checkpoint(
    path: Path, log: bytearray, backfilled: int, committed: int, page_bytes: int, rng: random.Random
) -> None:
    """Pages that the log still holds may be half written in the database."""
    with path.open("r+b") as database:
        size = path.stat().st_size
        for frame in range(backfilled, committed):
            (page,) = struct.unpack_from(">I", log, WAL_HEADER + frame * (FRAME_HEADER + page_bytes))
            where = (page - 1) * page_bytes + SECTOR * rng.randrange(page_bytes // SECTOR)
            if page > 1 and where + SECTOR <= size and rng.random() < 0.2:
                database.seek(where)
                database.write(rng.randbytes(SECTOR))
