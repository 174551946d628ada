"""Which requests the outbox hands over, in which order and how often."""

from __future__ import annotations

from typing import Any

from edge.gateway.outbox_records import Due, Ending
from edge.gateway.outbox_tables import OutboxTables
from shared.task import PRIORITIES

_SELECT_DUE = (
    "SELECT id, camera, priority, attempt + 1, deadline_us, sha256, place, clip_bytes, accepted_us FROM pending"
    " WHERE next_us <= ? AND deadline_us > ?"
)
_MOST_URGENT = "ORDER BY priority, deadline_us, id LIMIT ?"


class Sending(OutboxTables):
    """The outbox's side towards the cloud."""

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
            for bake_id, camera, rank, attempt, deadline_us, sha256, place, size, accepted_us in rows:
                clip = self._store.clips.get(bake_id, place, size, sha256)
                if clip is None:  # never written before the gateway was killed, or damaged since
                    wait_us = accepted_us + int(self.config.reoffer_s * 1e6)
                    if now_us < wait_us:  # in flight it is not: that would cost others its slot
                        db.execute("UPDATE pending SET attempt = 0, next_us = ? WHERE id = ?", (wait_us, bake_id))
                    else:
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

    def has_free_slot(self, now_us: int) -> bool:
        """Whether one more request may be in flight."""
        return self._free_slots(now_us) > 0

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
