"""The clips of an outbox: what of its transactions concerns `edge.gateway.clip_file`."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass

from edge.gateway.clip_file import ClipFile

RECENT_BYTES = 1024 * 1024  # of saved clips kept in memory: most are sent within seconds of their acceptance


@dataclass(slots=True)
class _Held:
    """A clip in memory."""

    place: bytes
    clip: bytes
    saved: bool = False  # it is on the disk, too


class ClipStore:
    """The clips of an outbox, within its transactions.

    With `lazily`, a clip is written by `save` in the thread that syncs the database's log, before that: what is told to
    others waits for both, and a clip whose verdict came meanwhile is never written. Without, it is written at once.
    """

    def __init__(self, file: ClipFile, lazily: bool) -> None:
        self.file = file
        self._lazily = lazily
        self._held: dict[bytes, _Held] = {}  # by id, in the order in which they came
        self._added: list[tuple[bytes, bytes]] = []  # ids and places of the present transaction
        self._dropped: list[tuple[bytes, bytes]] = []

    def put(self, bake_id: bytes, clip: bytes, synced: int) -> bytes:
        """Hold a clip; returns its place, for its row. Raises OSError."""
        self.file.reclaim(synced)
        self.file.open()  # here, so that `save` in its thread finds it open
        place = self.file.take(len(clip))
        self._added.append((bake_id, place))
        if self._lazily:
            self._forget_saved()
            self._held[bake_id] = _Held(place, clip)
        else:
            self.file.write(place, clip)
        return place

    def _forget_saved(self) -> None:
        saved = [(bake_id, len(held.clip)) for bake_id, held in self._held.items() if held.saved]
        surplus = sum(size for _, size in saved) - RECENT_BYTES
        for bake_id, size in saved:
            if surplus <= 0:
                return
            del self._held[bake_id]
            surplus -= size

    def drop(self, bake_id: bytes, place: bytes) -> None:
        """Its row is deleted."""
        self._dropped.append((bake_id, place))

    def committed(self, version: int) -> None:
        """The transaction has succeeded, and made `version` of the database."""
        for bake_id, place in self._dropped:
            if bake_id in self._held and self._held[bake_id].place == place:  # not of one accepted in place of itself
                del self._held[bake_id]
            self.file.free(place, version)
        self._added.clear()
        self._dropped.clear()

    def rolled_back(self) -> None:
        """The transaction has failed."""
        for bake_id, place in self._added:
            self._held.pop(bake_id, None)
            self.file.give_back(place)
        self._added.clear()
        self._dropped.clear()

    def get(self, bake_id: bytes, place: bytes, size: int, sha256: bytes) -> bytes | None:
        """A clip; None when it cannot be read back as it was."""
        held = self._held.get(bake_id)
        if held is not None:
            return held.clip
        with contextlib.suppress(OSError):
            clip = self.file.read(place, size)
            if hashlib.sha256(clip).digest() == sha256:
                return clip
        return None

    def save(self) -> None:
        """Put on the disk what is not there yet, from any thread, one at a time. Raises OSError."""
        waiting = [(bake_id, held) for bake_id, held in list(self._held.items()) if not held.saved]
        if not waiting:
            return
        for bake_id, held in waiting:
            if bake_id in self._held:  # else its verdict has come
                self.file.write(held.place, held.clip)
        self.file.sync()
        for _, held in waiting:
            held.saved = True
