"""The outbox: every accepted bake and what became of it, in SQLite, so that kill -9 loses nothing.

```
pending        unsure bakes with their clip, until a VERDICT (not a PUBACK) or their deadline deletes the row
decided        one row an id once its final verdict is known: the primary key makes a second final impossible
announcement   verdicts to be published, in order; deleted when the broker has acknowledged them
```
A verdict, the deletion of the clip and the announcement are one transaction. After a crash an announcement may go
out again, byte for byte the same; a different final for the same id cannot exist. Time is always an argument. The
connection belongs to one thread; a lock file keeps a second gateway out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from edge.gateway import verdicts
from shared.errors import BadInputError, CrustwatchError
from shared.messages import BakeVerdict, LineVerdict, encode
from shared.task import PRIORITIES, Priority, Task

SCHEMA_VERSION = 1

_TABLES = """
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
    open        INTEGER NOT NULL,   -- 1: decided by deadline, so that a late cloud verdict may still correct it
    verdict     BLOB NOT NULL       -- final LineVerdict, JSON
) WITHOUT ROWID;
CREATE INDEX decided_age ON decided (decided_us);
CREATE TABLE announcement (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    camera      TEXT NOT NULL,
    verdict     BLOB NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class OutboxConfig:
    """Limits of the outbox, units in the field names."""

    in_flight: int = 4  # few, so that an urgent bake overtakes what waits here and not in the broker
    retry_s: float = 10.0  # a request without a verdict is sent again after this, doubled each time ...
    retry_cap_s: float = 60.0  # ... up to this
    max_bytes: int = 1_000_000_000  # of clips; a full outbox makes the edge's verdict final at once
    keep_decided_s: float = 7 * 86_400.0  # how long repeated and late answers are recognised
    synchronous: Literal["NORMAL", "FULL"] = "FULL"  # FULL survives power loss, NORMAL only kill -9


class Due(NamedTuple):
    """One request to be sent now."""

    id: bytes
    camera: str
    priority: Priority
    attempt: int  # 1 the first time
    deadline_us: int
    clip: bytes


class Applied(NamedTuple):
    """What a cloud verdict did."""

    outcome: Literal["final", "correction", "duplicate", "unknown"]
    earlier: LineVerdict | None = None  # what it replaced, for the first two


class Announcement(NamedTuple):
    """One verdict to be published on its camera's topics."""

    number: int
    camera: str
    verdict: bytes  # LineVerdict, JSON


class Outbox:
    """The durable state of one gateway. Raises CrustwatchError when the file cannot be used."""

    def __init__(self, path: Path, task: Task, config: OutboxConfig | None = None) -> None:
        self.config = config or OutboxConfig()
        self._task = task
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path)
        except OSError as error:
            raise BadInputError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._prepare()
        except sqlite3.Error as error:
            os.close(self._lock)
            raise CrustwatchError(f"{path}: cannot be used as outbox: {error}") from None

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(f"PRAGMA synchronous = {self.config.synchronous}")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise CrustwatchError(f"{self._path}: outbox of version {version}, this reads {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file and let another gateway have it."""
        self._db.close()
        os.close(self._lock)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # What the camera brings.

    def accept_final(self, camera: str, final: LineVerdict) -> None:
        """A bake that the edge decided alone. Raises BadInputError when its id is known already."""
        with self._transaction():
            self._refuse_known(bytes.fromhex(final.id))
            self._decide(camera, final, is_open=False)

    def accept_unsure(
        self, camera: str, provisional: LineVerdict, clip: bytes, priority: Priority, deadline_us: int, now_us: int
    ) -> bool:
        """A bake for the cloud. Returns False when the outbox is full: then the edge's verdict is final at once.

        Raises BadInputError when its id is known already.
        """
        bake_id, payload = bytes.fromhex(provisional.id), encode(provisional)
        with self._transaction() as db:
            self._refuse_known(bake_id)
            if self.held_bytes() + len(clip) > self.config.max_bytes:
                self._decide(camera, verdicts.edge_final(provisional, "outbox_full", now_us), is_open=False)
                return False
            db.execute(
                "INSERT INTO pending (id, camera, priority, deadline_us, next_us, verdict, clip_bytes, clip)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (bake_id, camera, PRIORITIES.index(priority), deadline_us, now_us, payload, len(clip), clip),
            )
            self._announce(camera, payload)
        return True

    def _refuse_known(self, bake_id: bytes) -> None:
        known = "SELECT 1 FROM pending WHERE id = ?1 UNION ALL SELECT 1 FROM decided WHERE id = ?1"
        if self._db.execute(known, (bake_id,)).fetchone():
            raise BadInputError(f"bake {bake_id.hex()} was accepted before: ids are used once")

    # What goes to the cloud.

    def take_due(self, now_us: int) -> list[Due]:
        """Requests to send now, most urgent first, as many as fit in flight; each counts as one more attempt."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT id, camera, priority, attempt + 1, deadline_us, clip FROM pending"
                " WHERE next_us <= ?1 AND deadline_us > ?1 ORDER BY priority, deadline_us, id LIMIT ?2",
                (now_us, self._free_slots(now_us)),
            ).fetchall()
            due = [Due(i, camera, PRIORITIES[rank], *rest) for i, camera, rank, *rest in rows]
            for request in due:
                db.execute(
                    "UPDATE pending SET attempt = ?, next_us = ? WHERE id = ?",
                    (request.attempt, now_us + self._retry_us(request.attempt), request.id),
                )
        return due

    def _free_slots(self, now_us: int) -> int:
        (flying,) = self._db.execute(
            "SELECT count(*) FROM pending WHERE attempt > 0 AND next_us > ?1 AND deadline_us > ?1", (now_us,)
        ).fetchone()
        return max(0, self.config.in_flight - int(flying))

    def _retry_us(self, attempt: int) -> int:
        return int(1e6 * min(self.config.retry_cap_s, self.config.retry_s * 2.0 ** min(attempt - 1, 32)))

    def retry_at(self, bake_id: bytes, next_us: int) -> None:
        """The request could not be handed over: send it again at `next_us`."""
        self._db.execute("UPDATE pending SET next_us = ? WHERE id = ?", (next_us, bake_id))

    def retry_all(self, now_us: int) -> int:
        """What is in flight is sent again now: its worker or the link is new. Returns how many."""
        return self._db.execute("UPDATE pending SET next_us = ?1 WHERE next_us > ?1", (now_us,)).rowcount

    def next_send_us(self, now_us: int) -> int | None:
        """When `take_due` has something next; None while nothing is pending that could become due by time alone."""
        first_us = 0 if self._free_slots(now_us) else now_us + 1  # all slots taken: the next retry frees one
        (wake,) = self._db.execute(
            "SELECT min(next_us) FROM pending WHERE next_us >= ?1 AND deadline_us > ?2", (first_us, now_us)
        ).fetchone()
        return None if wake is None else int(wake)

    def next_deadline_us(self) -> int | None:
        """When `expire` has something next."""
        (deadline,) = self._db.execute("SELECT min(deadline_us) FROM pending").fetchone()
        return None if deadline is None else int(deadline)

    # What ends a bake.

    def apply(self, bake_id: bytes, cloud: BakeVerdict, now_us: int) -> Applied:
        """Apply a cloud verdict once.

        "final": it decided a pending bake. "correction": it came after the deadline. "duplicate": this bake has had
        its cloud verdict. "unknown": no such bake. The last two change nothing.
        """
        with self._transaction() as db:
            row = db.execute("SELECT camera, verdict FROM pending WHERE id = ?", (bake_id,)).fetchone()
            if row is not None:
                camera, provisional = row[0], _line_verdict(row[1])
                db.execute("DELETE FROM pending WHERE id = ?", (bake_id,))
                self._decide(camera, verdicts.from_cloud(self._task, provisional, cloud, now_us), is_open=False)
                return Applied("final", provisional)
            row = db.execute("SELECT camera, verdict, open FROM decided WHERE id = ?", (bake_id,)).fetchone()
            if row is None:
                return Applied("unknown")
            camera, final, is_open = row[0], _line_verdict(row[1]), row[2]
            if not is_open:
                return Applied("duplicate")
            db.execute("UPDATE decided SET open = 0 WHERE id = ?", (bake_id,))
            self._announce(camera, encode(verdicts.from_cloud(self._task, final, cloud, now_us)))
            return Applied("correction", final)

    def expire(self, now_us: int) -> int:
        """Make the edge's verdict final where the deadline has passed; returns how many."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT id, camera, verdict FROM pending WHERE deadline_us <= ? ORDER BY deadline_us", (now_us,)
            ).fetchall()
            for bake_id, camera, provisional in rows:
                db.execute("DELETE FROM pending WHERE id = ?", (bake_id,))
                final = verdicts.edge_final(_line_verdict(provisional), "timeout", now_us)
                self._decide(camera, final, is_open=True)
        return len(rows)

    def forget(self, now_us: int) -> int:
        """Delete decided rows older than `keep_decided_s`; returns how many."""
        oldest = now_us - int(self.config.keep_decided_s * 1e6)
        return self._db.execute("DELETE FROM decided WHERE decided_us < ?", (oldest,)).rowcount

    def _decide(self, camera: str, final: LineVerdict, *, is_open: bool) -> None:
        payload = encode(final)
        self._db.execute(
            "INSERT INTO decided (id, camera, decided_us, open, verdict) VALUES (?, ?, ?, ?, ?)",
            (bytes.fromhex(final.id), camera, int(final.decided_at * 1e6), int(is_open), payload),
        )
        self._announce(camera, payload)

    # What dashboards are told.

    def _announce(self, camera: str, payload: bytes) -> None:
        self._db.execute("INSERT INTO announcement (camera, verdict) VALUES (?, ?)", (camera, payload))

    def next_announcement(self) -> Announcement | None:
        """The oldest verdict that is still to be published."""
        row = self._db.execute("SELECT number, camera, verdict FROM announcement ORDER BY number LIMIT 1").fetchone()
        return None if row is None else Announcement(*row)

    def announced(self, number: int) -> None:
        """The broker has acknowledged that verdict."""
        self._db.execute("DELETE FROM announcement WHERE number = ?", (number,))

    # Figures.

    def backlog(self) -> int:
        """Bakes that wait for a verdict."""
        (count,) = self._db.execute("SELECT count(*) FROM pending").fetchone()
        return int(count)

    def held_bytes(self) -> int:
        """Bytes of the clips that wait."""
        (total,) = self._db.execute("SELECT coalesce(sum(clip_bytes), 0) FROM pending").fetchone()
        return int(total)

    def is_idle(self) -> bool:
        """True when no bake waits for a verdict and no verdict waits to be published."""
        return self.backlog() == 0 and self.next_announcement() is None


def _line_verdict(payload: bytes) -> LineVerdict:
    return msgspec.json.decode(payload, type=LineVerdict)


def _lock(path: Path) -> int:
    handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise BadInputError(f"{path}: another gateway uses this outbox; give each gateway its own --outbox") from None
    return handle
