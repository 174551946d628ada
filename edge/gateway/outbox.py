"""The outbox: every accepted bake and what became of it, in SQLite, so that neither kill -9 nor power loss loses any.

```
pending        unsure bakes, until a VERDICT (not a PUBACK) or their deadline deletes them; clips in a file beside it
decided        one row an id once its final verdict is known: the primary key makes a second final impossible
announcement   verdicts to be published, in order; deleted once published for good
```
A verdict, the deletion of the clip and the announcement are one transaction. After a crash an announcement may go
out again, byte for byte the same; a different final for the same id cannot exist. Time is always an argument: steady
microseconds (`shared.clock`), and the wall clock's where a verdict is dated. One thread uses an outbox.

Bounds: clips by `max_bytes`, waiting verdicts by `max_announcements`, known ids by age and number, the file by both.
A bake for which there is no room pushes out less valuable ones, or is decided by the edge at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from edge.gateway import verdicts
from edge.gateway.storage import Storage, Synchronous
from shared.clock import TimeMark
from shared.errors import BadInputError
from shared.messages import BakeVerdict, LineVerdict, encode
from shared.task import PRIORITIES, Priority, Task

_NEWEST = 2**63 - 1  # SQLite's largest number
VERDICT_BYTES = 2048  # more than a verdict and its indexes take in the file
_SELECT_DUE = (
    "SELECT id, camera, priority, attempt + 1, deadline_us, sha256, place, clip_bytes FROM pending"
    " WHERE next_us <= ? AND deadline_us > ?"
)
_MOST_URGENT = "ORDER BY priority, deadline_us, id LIMIT ?"
MAX_EXPIRED = 500  # at a time: the end of a long outage must not stall what is alive


@dataclass(frozen=True, slots=True)
class OutboxConfig:
    """Limits of the outbox, units in the field names."""

    in_flight: int = 4  # few, so that an urgent bake overtakes what waits here and not in the broker
    retry_s: float = 10.0  # a request without a verdict is sent again after this, doubled each time ...
    retry_cap_s: float = 60.0  # ... up to this
    max_bytes: int = 1_000_000_000  # of clips; beyond it the least valuable are decided by the edge
    max_announcements: int = 100_000  # verdicts waiting to be published; then no more bakes are taken in
    keep_decided_s: float = 7 * 86_400.0  # how long repeated and late answers are recognised ...
    max_decided: int = 200_000  # ... and how many at most
    synchronous: Synchronous = "FULL"  # FULL survives power loss, NORMAL only kill -9

    @property
    def max_file_bytes(self) -> int:
        """What the file may grow to: the outer limit behind all the others."""
        return self.max_bytes * 5 // 4 + VERDICT_BYTES * (self.max_announcements + self.max_decided) + 2**24


class Due(NamedTuple):
    """One request to be sent now."""

    id: bytes
    camera: str
    priority: Priority
    attempt: int  # 1 the first time
    deadline_us: int
    clip: bytes
    sha256: str  # of the clip


class Ending(NamedTuple):
    """A pending bake that is about to be decided."""

    id: bytes
    clip_bytes: int
    place: bytes  # of its clip


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
    """The durable state of one gateway.

    Methods raise StorageError when the disk is full or fails: then nothing has changed, and the call may be repeated.

    Attributes: `shed`, bakes that the edge decided since the start because the outbox was full, and `spoiled`, because
    their clips could not be read back.
    """

    def __init__(self, path: Path, task: Task, config: OutboxConfig | None = None) -> None:
        """Raises BadInputError or CrustwatchError when the file cannot be used."""
        self.config = config or OutboxConfig()
        self._task = task
        self.store = self._store = Storage(path, self.config.synchronous, self.config.max_file_bytes)
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
        pending = "SELECT count(*), coalesce(sum(clip_bytes), 0) FROM pending"
        self._backlog, self._held_bytes = map(int, self._store.execute(pending).fetchone())
        (news,) = self._store.execute("SELECT count(*) FROM announcement").fetchone()
        self._news = int(news)

    # What the camera brings.

    def knows(self, bake_id: bytes) -> bool:
        """Whether a bake of this id was accepted before."""
        known = "SELECT 1 FROM pending WHERE id = ?1 UNION ALL SELECT 1 FROM decided WHERE id = ?1"
        return self._store.execute(known, (bake_id,)).fetchone() is not None

    def accept_final(self, camera: str, final: LineVerdict, now_us: int | None = None) -> None:
        """A bake that the edge decided alone. Raises BadInputError when its id is known already."""
        with self._store.transaction():
            self._refuse_known(bytes.fromhex(final.id))
            self._decide(camera, final, int(final.decided_at * 1e6) if now_us is None else now_us, is_open=False)
        self._news += 1

    def accept_unsure(
        self,
        camera: str,
        provisional: LineVerdict,
        clip: bytes,
        priority: Priority,
        deadline_us: int,
        now_us: int,
        wall_us: int | None = None,
        sent: bool = False,
    ) -> bool:
        """A bake for the cloud; `sent` when its first request is on its way.

        Returns False when there is no room: then the edge's verdict is final at once.

        Less valuable bakes make room, of a lower priority first, and among equals those that the edge is surest of.
        Raises BadInputError when its id is known already.
        """
        bake_id, payload, rank = bytes.fromhex(provisional.id), encode(provisional), PRIORITIES.index(priority)
        known = provisional.clip_sha256
        sha256 = bytes.fromhex(known) if known else hashlib.sha256(clip).digest()
        with self._store.transaction() as db:
            self._refuse_known(bake_id)
            victims = self._make_room(len(clip), rank, provisional.confidence)
            final_us = now_us if wall_us is None else wall_us
            if victims is None:
                self._decide(camera, verdicts.edge_final(provisional, "outbox_full", final_us), now_us, is_open=False)
            else:
                self._end(victims, "outbox_full", now_us, final_us)
                db.execute(
                    "INSERT INTO pending"
                    " (id, camera, priority, deadline_us, next_us, accepted_us, verdict, clip_bytes, confidence, place,"
                    " sha256, attempt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (bake_id, camera, rank, deadline_us, now_us + sent * self._retry_us(1), now_us, payload,
                     len(clip), provisional.confidence, self._store.keep_clip(bake_id, clip), sha256, int(sent)),
                )  # fmt: skip
                self._announce(camera, payload)
        self._news += 1
        if victims is None:
            self.shed += 1
            return False
        self._ended(victims)
        self.shed += len(victims)
        self._backlog += 1
        self._held_bytes += len(clip)
        return True

    def _make_room(self, clip_bytes: int, rank: int, confidence: float) -> list[Ending] | None:
        """The bakes to be given up for a new one; None when it is worth less than they are."""
        missing = self._held_bytes + clip_bytes - self.config.max_bytes
        victims: list[Ending] = []
        if missing <= 0:
            return victims
        if clip_bytes > self.config.max_bytes:
            return None
        rows = self._store.execute(
            "SELECT id, clip_bytes, place FROM pending WHERE (priority, confidence) > (?, ?)"
            " ORDER BY priority DESC, confidence DESC",
            (rank, confidence),
        )
        for victim in map(Ending._make, rows):
            victims.append(victim)
            missing -= victim.clip_bytes
            if missing <= 0:
                return victims
        return None

    def _refuse_known(self, bake_id: bytes) -> None:
        if self.knows(bake_id):
            raise BadInputError(f"bake {bake_id.hex()} was accepted before: ids are used once")

    # What goes to the cloud.

    def take_due(self, now_us: int, live_us: int = 0, wall_us: int | None = None) -> list[Due]:
        """Requests to send now, most urgent first, as many as fit in flight; each counts as one more attempt.

        While bakes accepted before `live_us` wait (the end of an outage), half of the slots are kept for those
        accepted since, so that a long backlog does not cost the belt its verdicts; each half is in order of priority.
        """
        free = self._free_slots(now_us)
        if not free:
            return []
        rows = self._live(now_us, live_us, free)
        taken = [row[0] for row in rows]
        rows += self._store.execute(
            f"{_SELECT_DUE} AND id NOT IN ({','.join('?' * len(taken))}) {_MOST_URGENT}",
            (now_us, now_us, *taken, free - len(taken)),
        ).fetchall()
        if not rows:
            return []
        due, spoiled = [], []
        with self._store.transaction() as db:
            for bake_id, camera, rank, attempt, deadline_us, sha256, place, size in rows:
                clip = self._store.clips.get(bake_id, place, size, sha256)
                if clip is None:  # never written before a power cut, or damaged since
                    spoiled.append(Ending(bake_id, size, place))
                    continue
                due.append(Due(bake_id, camera, PRIORITIES[rank], attempt, deadline_us, clip, sha256.hex()))
                db.execute(
                    "UPDATE pending SET attempt = ?, next_us = ? WHERE id = ?",
                    (attempt, now_us + self._retry_us(attempt), bake_id),
                )
            self._end(spoiled, "clip_lost", now_us, now_us if wall_us is None else wall_us)
        self._ended(spoiled)
        self.spoiled += len(spoiled)
        return due

    def _live(self, now_us: int, live_us: int, free: int) -> list[Any]:
        """What goes out on the slots that are kept for bakes accepted since `live_us`."""
        old = "SELECT EXISTS (SELECT 1 FROM pending WHERE accepted_us < ?)"
        if not self._store.execute(old, (live_us,)).fetchone()[0]:
            return []
        flying = "SELECT count(*) FROM pending WHERE attempt > 0 AND next_us > ?1 AND deadline_us > ?1"
        (live,) = self._store.execute(f"{flying} AND accepted_us >= ?2", (now_us, live_us)).fetchone()
        kept = max(0, min(free, self.config.in_flight // 2 - live))
        select = _SELECT_DUE.replace("pending", "pending INDEXED BY pending_accepted")
        return self._store.execute(
            f"{select} AND accepted_us >= ? {_MOST_URGENT}", (now_us, now_us, live_us, kept)
        ).fetchall()

    def _free_slots(self, now_us: int) -> int:
        (flying,) = self._store.execute(
            "SELECT count(*) FROM pending WHERE attempt > 0 AND next_us > ?1 AND deadline_us > ?1", (now_us,)
        ).fetchone()
        return max(0, self.config.in_flight - int(flying))

    def _retry_us(self, attempt: int) -> int:
        return int(1e6 * min(self.config.retry_cap_s, self.config.retry_s * 2.0 ** min(attempt - 1, 32)))

    def retry_at(self, bake_id: bytes, next_us: int) -> None:
        """The request could not be handed over: send it again at `next_us`."""
        self._store.execute("UPDATE pending SET next_us = ? WHERE id = ?", (next_us, bake_id))

    def retry_all(self, now_us: int) -> int:
        """What is in flight is sent again now: its worker or the link is new. Returns how many."""
        return self._store.execute("UPDATE pending SET next_us = ?1 WHERE next_us > ?1", (now_us,)).rowcount

    def next_send_us(self, now_us: int) -> int | None:
        """When `take_due` has something next; None while nothing is pending that could become due by time alone."""
        first_us = 0 if self._free_slots(now_us) else now_us + 1  # all slots taken: the next retry frees one
        (wake,) = self._store.execute(
            "SELECT min(next_us) FROM pending WHERE next_us >= ?1 AND deadline_us > ?2", (first_us, now_us)
        ).fetchone()
        return None if wake is None else int(wake)

    def next_deadline_us(self) -> int | None:
        """When `expire` has something next."""
        (deadline,) = self._store.execute("SELECT min(deadline_us) FROM pending").fetchone()
        return None if deadline is None else int(deadline)

    # What ends a bake.

    def apply(
        self, bake_id: bytes, cloud: BakeVerdict, now_us: int, wall_us: int | None = None, clip_sha256: str = ""
    ) -> Applied:
        """Apply a cloud verdict once.

        "final": it decided a pending bake. "correction": it came after the edge had decided. "duplicate": this bake
        has had its cloud verdict. "unknown": no such bake, or the verdict is on another clip than the one with
        `clip_sha256`. The last two change nothing.
        """
        dated_us = now_us if wall_us is None else wall_us
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT camera, verdict, clip_bytes, place FROM pending WHERE id = ?", (bake_id,)
            ).fetchone()
            if row is not None:
                camera, earlier = row[0], _line_verdict(row[1])
                if _differ(earlier.clip_sha256, clip_sha256):
                    return Applied("unknown")
                ended = [Ending(bake_id, row[2], row[3])]
                self._delete(ended[0])
                self._decide(camera, verdicts.from_cloud(self._task, earlier, cloud, dated_us), now_us, is_open=False)
                outcome: Literal["final", "correction"] = "final"
            else:
                row = db.execute("SELECT camera, verdict, open FROM decided WHERE id = ?", (bake_id,)).fetchone()
                if row is None:
                    return Applied("unknown")
                camera, earlier, is_open = row[0], _line_verdict(row[1]), row[2]
                if not is_open:
                    return Applied("duplicate")
                if _differ(earlier.clip_sha256, clip_sha256):
                    return Applied("unknown")
                db.execute("UPDATE decided SET open = 0 WHERE id = ?", (bake_id,))
                self._announce(camera, encode(verdicts.from_cloud(self._task, earlier, cloud, dated_us)))
                outcome, ended = "correction", []
        self._ended(ended)
        self._news += outcome == "correction"
        return Applied(outcome, earlier)

    def expire(self, now_us: int, wall_us: int | None = None) -> int:
        """Make the edge's verdict final where the deadline has passed; returns how many: at most MAX_EXPIRED a call."""
        late = "SELECT id, clip_bytes, place FROM pending WHERE deadline_us <= ? ORDER BY deadline_us LIMIT ?"
        rows = [Ending._make(row) for row in self._store.execute(late, (now_us, MAX_EXPIRED))]
        if rows:
            with self._store.transaction():
                self._end(rows, "timeout", now_us, now_us if wall_us is None else wall_us)
            self._ended(rows)
        return len(rows)

    def _end(self, bakes: Iterable[Ending], reason: str, now_us: int, wall_us: int) -> None:
        """Within a transaction: the edge's verdict on pending bakes is final; a late answer may still correct it."""
        for bake in bakes:
            row = self._store.execute("SELECT camera, verdict FROM pending WHERE id = ?", (bake.id,)).fetchone()
            self._delete(bake)
            self._decide(row[0], verdicts.edge_final(_line_verdict(row[1]), reason, wall_us), now_us, is_open=True)

    def _ended(self, bakes: Sequence[Ending]) -> None:
        """After the transaction: each of these had a clip, and has one more verdict to be published."""
        self._backlog -= len(bakes)
        self._held_bytes -= sum(bake.clip_bytes for bake in bakes)
        self._news += len(bakes)

    def _delete(self, bake: Ending) -> None:
        self._store.execute("DELETE FROM pending WHERE id = ?", (bake.id,))
        self._store.clips.drop(bake.id, bake.place)

    def forget(self, now_us: int) -> int:
        """Delete decided rows older than `keep_decided_s`, and the oldest beyond `max_decided`; returns how many."""
        oldest = now_us - int(self.config.keep_decided_s * 1e6)
        gone = self._store.execute("DELETE FROM decided WHERE decided_us < ?", (oldest,)).rowcount
        (count,) = self._store.execute("SELECT count(*) FROM decided").fetchone()
        if (surplus := count - self.config.max_decided) > 0:
            gone += self._store.execute(
                "DELETE FROM decided WHERE id IN (SELECT id FROM decided ORDER BY decided_us LIMIT ?)", (surplus,)
            ).rowcount
        return gone

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
        """Bytes of the clips that wait."""
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


def _differ(sent: str | None, judged: str) -> bool:
    """Whether a verdict says what clip it judged, and it is not the one that was sent."""
    return bool(sent) and bool(judged) and sent != judged


def _line_verdict(payload: bytes) -> LineVerdict:
    return msgspec.json.decode(payload, type=LineVerdict)
