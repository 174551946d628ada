"""The outbox: every accepted bake and what became of it, in SQLite, so that neither kill -9 nor power loss loses any.

```
pending        unsure bakes, until a VERDICT (not a PUBACK) or their deadline deletes them; clips in a file beside it
decided        one row an id once its final verdict is known: the primary key makes a second final impossible
announcement   verdicts to be published, in order; deleted once published for good
```
A verdict, the deletion of the clip and the announcement are one transaction. After a crash an announcement may go
out again, byte for byte the same; a different final for the same id cannot exist. Time is always an argument: steady
microseconds (`shared.clock`), and the wall clock's where a verdict is dated. One thread uses an outbox.

Bounds: clips by `max_bytes`, counted in the blocks of their file, waiting verdicts by `max_announcements`, known ids by
age and number, the file by both. A bake for which there is no room pushes out less valuable ones, or is decided by the
edge at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from edge.gateway import verdicts
from edge.gateway.clip_file import taken_bytes
from edge.gateway.outbox_records import Announcement, Applied, Due, Ending, KnownBakeError, OutboxConfig
from edge.gateway.outbox_sending import Sending
from edge.gateway.outbox_tables import blocks_bytes, line_verdict
from shared.messages import BakeVerdict, LineVerdict, encode
from shared.task import PRIORITIES, Priority

__all__ = ["Announcement", "Applied", "Due", "KnownBakeError", "Outbox", "OutboxConfig"]

MAX_EXPIRED = 500  # at a time: the end of a long outage must not stall what is alive


class Outbox(Sending):
    """The durable state of one gateway.

    Methods raise StorageError when the disk is full or fails: then nothing has changed, and the call may be repeated.

    Attributes: `shed`, bakes that the edge decided since the start because the outbox was full, and `spoiled`, because
    their clips could not be read back.
    """

    # What the camera brings.

    def accept_final(self, camera: str, final: LineVerdict, now_us: int | None = None) -> None:
        """A bake that the edge decided alone. Raises KnownBakeError, see `is_lost`."""
        with self._store.transaction():
            lost = self._forget_lost(bytes.fromhex(final.id))
            self._decide(camera, final, int(final.decided_at * 1e6) if now_us is None else now_us, is_open=False)
        self._gone(lost)
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
        Raises KnownBakeError, see `is_lost`.
        """
        bake_id, payload, rank = bytes.fromhex(provisional.id), encode(provisional), PRIORITIES.index(priority)
        known = provisional.clip_sha256
        sha256 = bytes.fromhex(known) if known else hashlib.sha256(clip).digest()
        with self._store.transaction() as db:
            lost = self._forget_lost(bake_id)
            victims = self._make_room(taken_bytes(len(clip)), rank, provisional.confidence, lost)
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
        self._gone(lost)
        self._news += 1
        if victims is None:
            self.shed += 1
            return False
        self._ended(victims)
        self.shed += len(victims)
        self._backlog += 1
        self._held_bytes += taken_bytes(len(clip))
        return True

    def _make_room(
        self, wanted_bytes: int, rank: int, confidence: float, gone: Sequence[Ending]
    ) -> list[Ending] | None:
        """The bakes to be given up for a new one that takes so much, where those `gone` are deleted already.

        None when it is worth less than they are.
        """
        missing = self._held_bytes - blocks_bytes(gone) + wanted_bytes - self.config.max_bytes
        victims: list[Ending] = []
        if missing <= 0:
            return victims
        if wanted_bytes > self.config.max_bytes:
            return None
        rows = self._store.execute(
            "SELECT id, clip_bytes, place FROM pending WHERE (priority, confidence) > (?, ?)"
            " ORDER BY priority DESC, confidence DESC",
            (rank, confidence),
        )
        for victim in map(Ending._make, rows):
            victims.append(victim)
            missing -= taken_bytes(victim.clip_bytes)
            if missing <= 0:
                return victims
        return None

    def is_lost(self, bake_id: bytes) -> bool:
        """Whether a bake waits with a clip that cannot be read back: it may be accepted anew, in place of itself.

        Where nobody changed the file, its acceptance was told to nobody: clips are on the disk before that.
        """
        return bool(self._lost(bake_id))

    def _lost(self, bake_id: bytes) -> list[Ending]:
        row = self._store.execute("SELECT clip_bytes, place, sha256 FROM pending WHERE id = ?", (bake_id,)).fetchone()
        if row is None or self._store.clips.get(bake_id, row[1], row[0], row[2]) is not None:
            return []
        return [Ending(bake_id, row[0], row[1])]

    def _forget_lost(self, bake_id: bytes) -> list[Ending]:
        """Within the transaction that accepts it anew, so that a gateway killed in between still has the bake."""
        if not self.knows(bake_id):
            return []
        lost = self._lost(bake_id)
        if not lost:
            raise KnownBakeError(f"bake {bake_id.hex()} was accepted before: ids are used once")
        self._delete(lost[0])
        return lost

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
                camera, earlier = row[0], line_verdict(row[1])
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
                camera, earlier, is_open = row[0], line_verdict(row[1]), row[2]
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

    def next_deadline_us(self) -> int | None:
        """When `expire` has something next."""
        (deadline,) = self._store.execute("SELECT min(deadline_us) FROM pending").fetchone()
        return None if deadline is None else int(deadline)

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


def _differ(sent: str | None, judged: str) -> bool:
    """Whether a verdict says what clip it judged, and it is not the one that was sent."""
    return bool(sent) and bool(judged) and sent != judged
