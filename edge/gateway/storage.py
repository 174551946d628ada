"""The outbox's SQLite file: opening, fsync, transactions, and what a full or failing disk means.

Write-ahead log with `synchronous = FULL`: a commit returns when its pages are on the disk (one fsync of the log), so
that what was accepted survives power loss. NORMAL leaves that fsync to the next checkpoint: it survives kill -9 only.
A lock file keeps a second gateway out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from shared.clock import TimeMark
from shared.errors import BadInputError, CrustwatchError

Synchronous = Literal["NORMAL", "FULL"]

BUSY_S = 0.2  # how long another program may hold the file (a backup, a shell) before a write is put off
LOG_BYTES = 16 * 1024 * 1024  # the write-ahead log is cut back to this after a checkpoint
MAY_PASS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM}  # fmt: skip

MIGRATIONS = (
    """
CREATE TABLE pending (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    camera      TEXT NOT NULL,
    priority    INTEGER NOT NULL,   -- index into PRIORITIES, 0 is the most urgent
    deadline_us INTEGER NOT NULL,   -- the edge's verdict is final from here on
    attempt     INTEGER NOT NULL DEFAULT 0,
    next_us     INTEGER NOT NULL,   -- not sent (again) before
    verdict     BLOB NOT NULL,      -- provisional LineVerdict, JSON
    clip_bytes  INTEGER NOT NULL,
    clip        BLOB NOT NULL
);
CREATE INDEX pending_order ON pending (priority, deadline_us, next_us);
CREATE INDEX pending_times ON pending (next_us, deadline_us, attempt);
CREATE INDEX pending_deadline ON pending (deadline_us);
CREATE INDEX pending_size ON pending (clip_bytes);
CREATE TABLE decided (
    id          BLOB PRIMARY KEY,
    camera      TEXT NOT NULL,
    decided_us  INTEGER NOT NULL,
    open        INTEGER NOT NULL,   -- 1: decided without the cloud, so that its late verdict may still correct it
    verdict     BLOB NOT NULL       -- final LineVerdict, JSON
) WITHOUT ROWID;
CREATE INDEX decided_age ON decided (decided_us);
CREATE TABLE announcement (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    camera      TEXT NOT NULL,
    verdict     BLOB NOT NULL
);
""",
    """
CREATE TABLE clip (                 -- apart: an attempt is noted without writing the clip again
    id          BLOB PRIMARY KEY,
    data        BLOB NOT NULL
);
INSERT INTO clip SELECT id, clip FROM pending;
ALTER TABLE pending DROP COLUMN clip;
ALTER TABLE pending ADD COLUMN confidence REAL NOT NULL DEFAULT 0.0;  -- the edge's: the surer, the less is gained
DROP INDEX pending_size;
CREATE INDEX pending_value ON pending (priority, confidence);
CREATE TABLE clock (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    steady_us   INTEGER NOT NULL,
    wall_us     INTEGER NOT NULL,
    boot_us     INTEGER NOT NULL,
    boot        TEXT NOT NULL
);
""",
)
"""What makes an empty file one of version 1, that one of version 2, and so on. All times are steady microseconds."""


class StorageError(CrustwatchError):
    """The outbox cannot be written now (disk full or failing). Nothing was changed; the same may succeed later."""


class Storage:
    """One outbox file, open for one thread. Raises BadInputError or CrustwatchError when it cannot be used."""

    def __init__(self, path: Path, synchronous: Synchronous, max_file_bytes: int) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # it holds pictures
        except OSError as error:
            raise BadInputError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._prepare(synchronous, max_file_bytes)
        except (sqlite3.Error, CrustwatchError) as error:
            os.close(self._lock)
            if isinstance(error, CrustwatchError):
                raise
            raise CrustwatchError(f"{path}: cannot be used as outbox: {error}") from None

    def _prepare(self, synchronous: Synchronous, max_file_bytes: int) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(f"PRAGMA synchronous = {synchronous}")
        self._db.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        (page_bytes,) = self._db.execute("PRAGMA page_size").fetchone()
        self._db.execute(f"PRAGMA max_page_count = {max_file_bytes // page_bytes}")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise CrustwatchError(f"{self.path}: outbox of version {version}, this reads up to {len(MIGRATIONS)}")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            self._db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")

    def forget_deleted(self) -> None:
        """Write the file anew without what was deleted: until then old clips lie in its free pages."""
        self.execute("VACUUM")
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file and let another gateway have it."""
        self._db.close()
        os.close(self._lock)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing. Raises StorageError when the disk refuses."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # some failures end it by themselves
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._refused(error) from None

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
