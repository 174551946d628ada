"""The store: escalated bakes with their pictures, what cloud and people said of them, and a challenger's trial.

```
store.json          what task it belongs to
bakes/ labels/ shadow/   Parquet tables (rows.py, row_log.py)
clips/ab/<id>/0.jpg      the frames of a bake
incoming/<id>/           frames whose row is not written yet
```
A bake is accepted when its row is on the disk. Its frames are written before, and get their place after: whatever
kills the writer, the next one finishes or forgets what stands in `incoming`. Frames are not synced: a power cut may
cost the last pictures, never a row, and the row holds what the classifier saw. Several processes may use a store.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge.loop.row_log import RowLog, reported
from edge.loop.rows import BakeRow, LabelRow, ShadowRow, arrow_schema
from shared.atomic_file import PARTIAL, replace_file
from shared.errors import BadInputError
from shared.json_text import NOT_JSON
from shared.messages import BakeVerdict
from shared.retention import Limits, Purged, split_by_limits
from shared.task import Task

ABOUT = "store.json"
SCHEMA = 1
ROW_BYTES = 512  # about, of a row without what the classifier saw
SHADOW_ROWS = 64  # are written together: a crash costs at most so many


def is_store(folder: Path) -> bool:
    """Whether `folder` holds a store: its pictures go together with their rows."""
    return (folder / ABOUT).is_file()


class About(msgspec.Struct, frozen=True):
    """store.json."""

    schema: int
    task: str
    labels: tuple[str, ...]
    size_px: int


class Store:
    """One store; its methods may be called from several threads. They raise BadInputError when the disk refuses.

    Attributes: `about`, what it belongs to.
    """

    def __init__(self, folder: Path, about: About) -> None:
        """Use `Store.begin` or `Store.open`."""
        self.folder, self.about = folder, about
        self._bakes = RowLog(folder / "bakes", arrow_schema(BakeRow))
        self._labels = RowLog(folder / "labels", arrow_schema(LabelRow))
        self._shadows = RowLog(folder / "shadow", arrow_schema(ShadowRow))
        self._shadow_rows: list[ShadowRow] = []
        self._ids: dict[str, str] = {}  # digest of the clip by id
        self._answered: set[str] = set()  # ids that have a cloud's word
        self._known_to = self._answered_to = 0  # numbers of the logs that these two know
        with reported(folder), self._locked():
            for log in (self._bakes, self._labels, self._shadows):
                log.create()
            self._finish_incoming()

    @classmethod
    def begin(cls, folder: Path, task: Task) -> Store:
        """The store in `folder`, a new one when there is none. Raises BadInputError when it is of another task."""
        about = About(SCHEMA, task.name, task.labels, task.input.size_px)
        with reported(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / ABOUT).exists():
                if any(not entry.name.endswith(PARTIAL) for entry in folder.iterdir()):
                    raise BadInputError(f"{folder}: holds other files: name an empty folder or a store")
                replace_file(folder / ABOUT, msgspec.json.encode(about) + b"\n", racing=True)
        store = cls.open(folder)
        store.check_task(task)
        return store

    @classmethod
    def open(cls, folder: Path) -> Store:
        """The store in `folder`. Raises BadInputError when there is none."""
        try:
            about = msgspec.json.decode((folder / ABOUT).read_bytes(), type=About)
        except FileNotFoundError:
            raise BadInputError(f"{folder}: no store: crustwatch edge run --store {folder} begins one") from None
        except (OSError, *NOT_JSON) as error:
            raise BadInputError(f"{folder / ABOUT}: cannot be read: {error}") from None
        if about.schema != SCHEMA:
            raise BadInputError(f"{folder}: a store of schema {about.schema}; this reads {SCHEMA}")
        return cls(folder, about)

    def check_task(self, task: Task) -> None:
        """Raise BadInputError when the store belongs to another task."""
        mine, theirs = self.about, (task.name, task.labels, task.input.size_px)
        if (mine.task, mine.labels, mine.size_px) != theirs:
            raise BadInputError(
                f"{self.folder}: a store of task {mine.task} ({', '.join(mine.labels)}; {mine.size_px} px),"
                f" not of {task.name} ({', '.join(task.labels)}; {task.input.size_px} px)"
            )

    # What comes in.

    def add_bake(self, row: BakeRow, frames: Sequence[bytes]) -> bool:
        """Keep a bake and its JPEG frames; False when one of its id is there already."""
        if row.task != self.about.task or len(row.seen) != 3 * self.about.size_px**2:
            raise BadInputError(f"{self.folder}: bake {row.id} is of task {row.task}, or of another size")
        with reported(self.folder), self._locked():
            self._refresh()
            if row.id in self._ids:
                return False
            place = self.folder / "incoming" / row.id
            place.mkdir(parents=True)
            for number, jpeg in enumerate(frames):
                (place / f"{number}.jpg").write_bytes(jpeg)
            self._known_to = self._bakes.append([msgspec.structs.asdict(row)])
            self._ids[row.id] = row.clip_sha256
            self._settle(place)
        return True

    def add_cloud(self, bake_id: str, verdict: BakeVerdict, clip_sha256: str, at_us: int) -> bool:
        """Note the cloud's word on a bake; False when it has one, when the bake is unknown, or for another clip."""
        with reported(self.folder), self._locked():
            self._refresh()
            if bake_id not in self._ids or bake_id in self._answered:
                return False
            if clip_sha256 and self._ids[bake_id] and self._ids[bake_id] != clip_sha256:
                return False
            source = verdict.provenance
            label = None if verdict.cannot_tell else verdict.doneness
            who, weights = ("", "") if source is None else (source.worker, source.weights_sha256)
            row = LabelRow(bake_id, "cloud", label, verdict.confidence, who, weights, at_us)
            self._answered_to = self._labels.append([msgspec.structs.asdict(row)])
            self._answered.add(bake_id)
        return True

    def add_review(self, bake_id: str, label: str, who: str, at_us: int) -> str:
        """A person's word; it counts over the cloud's. `bake_id` may be the beginning of one; returns the whole.

        Raises BadInputError for an unknown label and for no bake, or several, of that id.
        """
        if label not in self.about.labels:
            raise BadInputError(f"no label {label!r}: one of {', '.join(self.about.labels)}")
        with reported(self.folder), self._locked():
            self._refresh()
            found = [known for known in self._ids if known.startswith(bake_id)] if bake_id else []
            if len(found) != 1:
                many = "no bake" if not found else f"{len(found)} bakes"
                raise BadInputError(f"{self.folder}: {many} whose id begins with {bake_id!r}")
            row = LabelRow(found[0], "person", label, 1.0, who, "", at_us)
            self._labels.append([msgspec.structs.asdict(row)])
        return found[0]

    def add_shadow(self, record: Any) -> None:
        """Keep what champion and challenger said of one bake, an object with the fields of ShadowRow."""
        self._shadow_rows.append(msgspec.convert(record, ShadowRow, from_attributes=True))
        if len(self._shadow_rows) >= SHADOW_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the records of the trial that are still in memory."""
        rows, self._shadow_rows = self._shadow_rows, []
        if rows:
            with reported(self.folder), self._locked():
                self._shadows.append([msgspec.structs.asdict(row) for row in rows])

    # What goes out.

    def bakes(self, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The rows of all bakes, oldest first; only some `columns` of BakeRow, or all."""
        return self._read(self._bakes, columns)

    def labels(self) -> list[LabelRow]:
        """What was said, in the order of writing."""
        return [LabelRow(**row) for row in self._read(self._labels, None)]

    def shadows(self) -> list[ShadowRow]:
        """The trials of challengers, in the order of writing."""
        return [ShadowRow(**row) for row in self._read(self._shadows, None)]

    def frame_files(self, bake_id: str) -> list[Path]:
        """The JPEG files of a bake, in order; fewer than its row says when some are lost."""
        place = self._place(bake_id)
        return sorted(place.glob("*.jpg"), key=lambda path: path.stem.zfill(4))

    # Retention.

    def purge(self, limits: Limits, now_s: float, *, dry_run: bool = False) -> Purged:
        """Delete bakes, oldest first, until the limits hold: their frames, then their rows, then words on them."""
        with reported(self.folder), self._locked():
            rows = self._bakes.read(["id", "captured_us", "frame_bytes"]).to_pylist()
            seen = 3 * self.about.size_px**2
            sized = [(row["captured_us"] / 1e6, row["frame_bytes"] + seen + ROW_BYTES) for row in rows]
            kept, purged = split_by_limits(sized, limits, now_s)
            gone = {row["id"] for row, stays in zip(rows, kept, strict=True) if not stays}
            if gone and not dry_run:
                for bake_id in gone:
                    shutil.rmtree(self._place(bake_id), ignore_errors=True)
                self._bakes.keep(lambda table: [i not in gone for i in table.column("id").to_pylist()])
                stay = {row["id"] for row in rows} - gone
                self._labels.keep(lambda table: [i in stay for i in table.column("id").to_pylist()])
                self._ids, self._answered = {}, set()
                self._known_to = self._answered_to = 0
            if limits.max_age_s is not None and not dry_run:
                oldest_s = now_s - limits.max_age_s
                self._shadows.keep(lambda table: [at >= oldest_s for at in table.column("at_s").to_pylist()])
        return purged

    def _read(self, log: RowLog, columns: Sequence[str] | None) -> list[dict[str, Any]]:
        with reported(self.folder), self._locked(fcntl.LOCK_SH):
            rows: list[dict[str, Any]] = log.read(columns).to_pylist()
        return rows

    def _refresh(self) -> None:
        """Learn what other writers have added. Under the lock."""
        if (last := self._bakes.last()) > self._known_to:
            for row in self._bakes.read(["id", "clip_sha256"], self._known_to).to_pylist():
                self._ids[row["id"]] = row["clip_sha256"]
            self._known_to = last
        if (last := self._labels.last()) > self._answered_to:
            rows = self._labels.read(["id", "by"], self._answered_to).to_pylist()
            self._answered.update(row["id"] for row in rows if row["by"] == "cloud")
            self._answered_to = last

    def _finish_incoming(self) -> None:
        """Give the frames of accepted bakes their place, delete the others'. Under the lock."""
        waiting = self.folder / "incoming"
        waiting.mkdir(exist_ok=True)
        left = list(waiting.iterdir())
        if left:
            self._refresh()
        for place in left:
            if place.name in self._ids:
                self._settle(place)
            else:
                shutil.rmtree(place)

    def _settle(self, place: Path) -> None:
        target = self._place(place.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(place, target)

    def _place(self, bake_id: str) -> Path:
        return self.folder / "clips" / bake_id[:2] / bake_id

    @contextlib.contextmanager
    def _locked(self, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
        """One writer at a time, be it a thread or a process; a crash frees the lock."""
        handle = os.open(self.folder / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, kind)
            yield
        finally:
            os.close(handle)
