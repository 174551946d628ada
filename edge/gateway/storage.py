"""The outbox's SQLite file: opening, fsync, transactions, and what a full or failing disk means.

A commit puts its pages into the write-ahead log, which survives kill -9; `sync` puts the log on the disk, and that
survives power loss. What is told to others waits for it (`edge.gateway.durability`), so one fsync serves many commits
and none stops the event loop. With NORMAL, fsync is left to checkpoints. Checkpoints run in another thread too, on a
connection of their own. A lock file keeps a second gateway out. Clips lie in a file of their own
(`edge.gateway.clip_file`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from edge.gateway.clip_file import ClipFile, sync_folder
from edge.gateway.clip_store import ClipStore
from edge.gateway.schema import CLIPS_APART, MIGRATIONS
from shared.clock import TimeMark
from shared.errors import BadInputError, CrustwatchError
from shared.output_folder import output_folder

Synchronous = Literal["NORMAL", "FULL"]

BUSY_S = 0.2  # how long another program may hold the file (a backup, a shell) before a write is put off
LOG_BYTES = 16 * 1024 * 1024  # that the write-ahead log may grow by before a checkpoint
LONGEST_LOG_BYTES = 4 * LOG_BYTES  # a log that never comes to rest is begun anew from here on, and cut back to this
CACHE_KB = 512  # pages kept in memory; with 64 a bake takes 20 us more (decision 0112)
COMMIT_BYTES = 48 * 1024  # what a commit adds to the log: a bake's has about eleven pages
FRAME_HEAD_BYTES = 24  # before each page in the log (SQLite's file format, 4.2)
MAY_PASS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM}  # fmt: skip


class StorageError(CrustwatchError):
    """The outbox cannot be written now (disk full or failing). Nothing was changed; the same may succeed later."""


class Storage:
    """One outbox file, open for one thread. Raises BadInputError or CrustwatchError when it cannot be used."""

    def __init__(self, path: Path, synchronous: Synchronous, max_file_bytes: int, cache_kb: int = CACHE_KB) -> None:
        self.path = path
        output_folder(path.parent)
        try:
            self._lock = _lock(path)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # it holds pictures
        except OSError as error:
            raise BadInputError(f"{path}: cannot be written: {error.strerror}") from None
        self._full = synchronous == "FULL"
        self._log_use = threading.Lock()  # held while a thread uses `_log` ...
        self._side_use = threading.Lock()  # ... and `_side`; taken in this order
        self._log: int | None = None  # the log's file, for fsync
        self._side: sqlite3.Connection | None = None  # for checkpoints
        self._unsure = False  # an fsync failed: the kernel may have forgotten what was to be written
        self._logged = 0  # bytes, about, since the last checkpoint
        self._restless = False  # the log is at its longest, as commits came during each checkpoint
        self.synced = 0  # `version` of what is on the disk
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._prepare(max_file_bytes, cache_kb)
            self._open_log()
        except (sqlite3.Error, OSError, CrustwatchError) as error:
            os.close(self._lock)
            if isinstance(error, CrustwatchError):
                raise
            foreign = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB
            kind = BadInputError if foreign else CrustwatchError
            raise kind(f"{path}: cannot be used as outbox: {error}") from None

    def _prepare(self, max_file_bytes: int, cache_kb: int) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA wal_autocheckpoint = 0")
        self._db.execute(f"PRAGMA cache_size = -{cache_kb}")
        self._db.execute(f"PRAGMA journal_size_limit = {LONGEST_LOG_BYTES}")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise BadInputError(f"{self.path}: outbox of version {version}, this reads up to {len(MIGRATIONS)}")
        for number, script in enumerate(MIGRATIONS[version : CLIPS_APART - 1], version + 1):
            self._db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
        where = self.path.with_name(f"{self.path.name}-clips")
        if version < CLIPS_APART:
            self._move_clips(ClipFile(where, max_file_bytes, ()))
        places = (bytes(place) for (place,) in self._db.execute("SELECT place FROM pending"))
        self.clips = ClipStore(ClipFile(where, max_file_bytes, places), lazily=self._full)
        self._page_bytes = int(self._db.execute("PRAGMA page_size").fetchone()[0])
        self._db.execute(f"PRAGMA max_page_count = {max_file_bytes // self._page_bytes}")  # migrations need more

    def _move_clips(self, file: ClipFile) -> None:
        """Out of the table of earlier versions."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for statement in MIGRATIONS[CLIPS_APART - 1].split(";"):
                self._db.execute(statement)
            bakes = self._db.execute("SELECT id FROM clip").fetchall()
            for (bake_id,) in bakes:
                (clip,) = self._db.execute("SELECT data FROM clip WHERE id = ?", (bake_id,)).fetchone()
                place = file.take(len(clip))
                file.write(place, clip)
                values = (place, hashlib.sha256(clip).digest(), bake_id)
                self._db.execute("UPDATE pending SET place = ?, sha256 = ? WHERE id = ?", values)
            if bakes:
                file.sync()
            self._db.execute("DROP TABLE clip")
            self._db.execute(f"PRAGMA user_version = {CLIPS_APART}")
            self._db.execute("COMMIT")
        finally:
            file.close()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def forget_deleted(self) -> None:
        """Write the file anew without what was deleted: until then old clips lie in its free pages."""
        self.execute("VACUUM")
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        try:
            self.clips.file.forget_free()
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written: {error}") from None

    def _open_log(self) -> None:
        """Open what `sync_log` needs, and put on the disk what a killed gateway had committed: it may be told now."""
        self._log = os.open(f"{self.path}-wal", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        sync_folder(self.path.parent)
        if self.clips.file.path.exists():
            self.clips.file.sync()
        self.sync_log()
        self.clips.file.cut()  # not before: a power cut would bring rows back whose clips are gone

    def close(self) -> None:
        """Put everything on the disk, close the file and let another gateway have it."""
        with contextlib.suppress(StorageError):
            self.sync()
        with self._log_use, self._side_use:
            if self._side is not None:
                self._side.close()
            if self._log is not None:
                os.close(self._log)
            self._log = self._side = None
            self.clips.file.close()
        self._db.close()
        os.close(self._lock)

    # What has reached the disk.

    def version(self) -> int:
        """Grows with each change; what was read before a call of `sync_log` is `synced` after it. 0 with NORMAL."""
        return self._db.total_changes if self._full else 0

    def sync(self) -> None:
        """Put all that is committed on the disk, now. Raises StorageError."""
        version = self.version()
        if version > self.synced:
            self.sync_log()
            self.synced = version
        if self.log_is_long():
            self.shorten_log()

    def sync_log(self) -> None:
        """Put on the disk what was committed, clips first, from any thread. Raises StorageError."""
        with self._log_use:
            if self._log is None:
                return
            try:
                self.clips.save()
            except OSError as error:
                raise StorageError(f"{self.path}: a clip does not reach the disk: {error}") from None
            try:
                if self._unsure:  # copied to the database and synced there, it is safe whatever became of the log
                    with self._side_use:
                        self._checkpoint("FULL")
                else:
                    os.fdatasync(self._log)
            except (OSError, sqlite3.Error) as error:
                self._unsure = True
                raise StorageError(f"{self.path}: does not reach the disk: {error}") from None
            self._unsure = False

    def log_is_long(self) -> bool:
        """Whether it is time for `shorten_log`."""
        return self._logged > LOG_BYTES

    def shorten_log(self) -> None:
        """Copy what the log holds into the database, from any thread; a reader or a full disk only puts it off.

        The next commit then begins the log anew, at its first page, unless another one came meanwhile.
        """
        with self._side_use:
            if self._log is not None:
                self._logged = 0
                with contextlib.suppress(sqlite3.Error):
                    self._restless = self._checkpoint("PASSIVE") > LONGEST_LOG_BYTES

    def _checkpoint(self, kind: Literal["PASSIVE", "FULL"]) -> int:
        """Returns how many bytes the log has, from its first page on."""
        if self._side is None:
            self._side = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            self._side.execute("PRAGMA synchronous = NORMAL")
        (busy, frames, _) = self._side.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
        if busy and kind == "FULL":
            raise sqlite3.OperationalError("the checkpoint is held up")
        return int(frames) * (self._page_bytes + FRAME_HEAD_BYTES)

    def keep_clip(self, bake_id: bytes, clip: bytes) -> bytes:
        """Within a transaction: a clip's place. Raises StorageError."""
        try:
            return self.clips.put(bake_id, clip, self.synced)
        except OSError as error:
            raise StorageError(f"{self.path}: no room for a clip: {error}") from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing. Raises StorageError when the disk refuses."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                self.clips.rolled_back()
                if self._db.in_transaction:  # some failures end it by themselves
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._refused(error) from None
        self.clips.committed(self.version())
        self._logged += COMMIT_BYTES
        if self._restless:  # the other thread has just copied nearly all; no commit can come during this
            self._restless = False
            with contextlib.suppress(sqlite3.Error):  # what is committed must not be reported as refused
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """One statement: its own transaction outside of one. Raises StorageError when the disk refuses."""
        try:
            return self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise self._refused(error) from None

    def _refused(self, error: sqlite3.Error) -> CrustwatchError:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in MAY_PASS:
            return StorageError(f"{self.path}: cannot be written: {error}")
        return CrustwatchError(f"{self.path}: cannot be used as outbox: {error}")

    def time_mark(self) -> TimeMark | None:
        """The mark kept last."""
        row = self.execute("SELECT steady_us, wall_us, boot_us, boot FROM clock").fetchone()
        return None if row is None else TimeMark(*row)

    def keep_time(self, mark: TimeMark) -> None:
        """Keep a mark for the next start."""
        self.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?, ?)", tuple(mark))


def _lock(path: Path) -> int:
    handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise BadInputError(f"{path}: another gateway uses this outbox; give each gateway its own --outbox") from None
    return handle
