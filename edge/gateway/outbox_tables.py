"""The outbox's rows and totals: what a verdict writes, what waits to be published, and the figures of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from edge.gateway import verdicts
from edge.gateway.clip_file import BLOCK, taken_bytes
from edge.gateway.outbox_records import Announcement, Ending, OutboxConfig
from edge.gateway.storage import Storage
from shared.clock import TimeMark
from shared.messages import LineVerdict, encode
from shared.task import Task

_NEWEST = 2**63 - 1  # SQLite's largest number


class OutboxTables:
    """One outbox file; see `edge.gateway.outbox`."""

    def __init__(self, path: Path, task: Task, config: OutboxConfig | None = None) -> None:
        """Raises BadInputError or CrustwatchError when the file cannot be used."""
        self.config = config or OutboxConfig()
        self._task = task
        config = self.config
        self.store = self._store = Storage(path, config.synchronous, config.max_file_bytes, config.cache_kb)
        self.shed = self.spoiled = 0
        self._count()

    def close(self) -> None:
        """Close the file and let another gateway have it."""
        self._store.close()

    def sync(self) -> None:
        """Put all that was accepted and decided on the disk, now (`edge.gateway.durability` does not block for it)."""
        self._store.sync()

    def _count(self) -> None:
        """Read the totals; from here on they are kept up by each transaction that succeeds."""
        pending = "SELECT count(*), coalesce(sum((clip_bytes + ?1 - 1) / ?1), 0) FROM pending"
        self._backlog, blocks = map(int, self._store.execute(pending, (BLOCK,)).fetchone())
        self._held_bytes = blocks * BLOCK
        (news,) = self._store.execute("SELECT count(*) FROM announcement").fetchone()
        self._news = int(news)

    # Which bakes are known.

    def knows(self, bake_id: bytes) -> bool:
        """Whether a bake of this id was accepted before."""
        known = "SELECT 1 FROM pending WHERE id = ?1 UNION ALL SELECT 1 FROM decided WHERE id = ?1"
        return self._store.execute(known, (bake_id,)).fetchone() is not None

    def _gone(self, bakes: Sequence[Ending]) -> None:
        """After the transaction: these are no longer pending."""
        self._backlog -= len(bakes)
        self._held_bytes -= blocks_bytes(bakes)

    # What ends a bake.

    def _end(self, bakes: Iterable[Ending], reason: str, now_us: int, wall_us: int) -> None:
        """Within a transaction: the edge's verdict on pending bakes is final; a late answer may still correct it."""
        for bake in bakes:
            row = self._store.execute("SELECT camera, verdict FROM pending WHERE id = ?", (bake.id,)).fetchone()
            self._delete(bake)
            self._decide(row[0], verdicts.edge_final(line_verdict(row[1]), reason, wall_us), now_us, is_open=True)

    def _ended(self, bakes: Sequence[Ending]) -> None:
        """After the transaction: each of these had a clip, and has one more verdict to be published."""
        self._gone(bakes)
        self._news += len(bakes)

    def _delete(self, bake: Ending) -> None:
        self._store.execute("DELETE FROM pending WHERE id = ?", (bake.id,))
        self._store.clips.drop(bake.id, bake.place)

    def _decide(self, camera: str, final: LineVerdict, now_us: int, *, is_open: bool) -> None:
        payload = encode(final)
        self._store.execute(
            "INSERT INTO decided (id, camera, decided_us, open, verdict) VALUES (?, ?, ?, ?, ?)",
            (bytes.fromhex(final.id), camera, now_us, int(is_open), payload),
        )
        self._announce(camera, payload)

    # What dashboards are told.

    def _announce(self, camera: str, payload: bytes) -> None:
        self._store.execute("INSERT INTO announcement (camera, verdict) VALUES (?, ?)", (camera, payload))

    def last_announcement(self) -> int:
        """The number of the newest verdict that is still to be published, 0 without one."""
        return int(self._store.execute("SELECT coalesce(max(number), 0) FROM announcement").fetchone()[0])

    def next_announcements(self, after: int, limit: int, until: int = _NEWEST) -> list[Announcement]:
        """The oldest verdicts with numbers above `after`, up to `until`, that are still to be published."""
        rows = self._store.execute(
            "SELECT number, camera, verdict FROM announcement WHERE number > ? AND number <= ? ORDER BY number LIMIT ?",
            (after, until, limit),
        )
        return [Announcement(*row) for row in rows]

    def next_announcement(self) -> Announcement | None:
        """The oldest verdict that is still to be published."""
        return next(iter(self.next_announcements(0, 1)), None)

    def announced(self, number: int, after: int = 0) -> None:
        """That verdict, and all before it down to `after`, are published for good."""
        gone = self._store.execute("DELETE FROM announcement WHERE number > ? AND number <= ?", (after, number))
        self._news -= gone.rowcount

    def final_of(self, bake_id: bytes) -> bytes | None:
        """The final LineVerdict of a bake as it was announced (JSON), None while there is none."""
        row = self._store.execute("SELECT verdict FROM decided WHERE id = ?", (bake_id,)).fetchone()
        return None if row is None else bytes(row[0])

    def is_decided(self, bake_id: bytes) -> bool:
        """Whether the final verdict of a bake is known."""
        return self._store.execute("SELECT 1 FROM decided WHERE id = ?", (bake_id,)).fetchone() is not None

    # Time, over restarts.

    def time_mark(self) -> TimeMark | None:
        """The mark kept last, None in a new outbox."""
        return self._store.time_mark()

    def keep_time(self, mark: TimeMark) -> None:
        """Keep a mark, so that deadlines go on after a restart."""
        self._store.keep_time(mark)

    # Figures. Reading them touches no disk.

    def backlog(self) -> int:
        """Bakes that wait for a verdict."""
        return self._backlog

    def held_bytes(self) -> int:
        """What the clips that wait take of their file: whole blocks, of which `max_bytes` is the bound."""
        return self._held_bytes

    def unpublished(self) -> int:
        """Verdicts that are not published for good yet."""
        return self._news

    def has_room_for_news(self) -> bool:
        """Whether more bakes may be taken in; what they bring must be published some day."""
        return self._news < self.config.max_announcements

    def is_idle(self) -> bool:
        """True when no bake waits for a verdict and no verdict waits to be published."""
        return self._backlog == 0 and self._news == 0


def blocks_bytes(bakes: Iterable[Ending]) -> int:
    """What the clips of these take of their file."""
    return sum(taken_bytes(bake.clip_bytes) for bake in bakes)


def line_verdict(payload: bytes) -> LineVerdict:
    """A verdict as it lies in a row."""
    return msgspec.json.decode(payload, type=LineVerdict)
