"""The clips of an outbox: what of its transactions concerns `edge.gateway.clip_file`."""

from __future__ import annotations

import contextlib
import hashlib

from edge.gateway.clip_file import ClipFile


class ClipStore:
    """The clips of an outbox, within its transactions.

    With `lazily`, a clip is written by `save` in the thread that syncs the database's log, before that: what is told to
    others waits for both, and a clip whose verdict came meanwhile is never written. Without, it is written at once.
    """

    def __init__(self, file: ClipFile, lazily: bool) -> None:
        self.file = file
        self._lazily = lazily
        self._unsaved: dict[bytes, tuple[bytes, bytes]] = {}  # id -> place and clip
        self._added: list[tuple[bytes, bytes]] = []  # ids and places of the present transaction
        self._dropped: list[tuple[bytes, bytes]] = []

    def put(self, bake_id: bytes, clip: bytes, synced: int) -> bytes:
        """Hold a clip; returns its place, for its row. Raises OSError."""
        self.file.reclaim(synced)
        self.file.open()
        place = self.file.take(len(clip))
        self._added.append((bake_id, place))
        if self._lazily:
            self._unsaved[bake_id] = (place, clip)
        else:
            self.file.write(place, clip)
        return place

    def drop(self, bake_id: bytes, place: bytes) -> None:
        """Its row is deleted."""
        self._dropped.append((bake_id, place))

    def committed(self, version: int) -> None:
        """The transaction has succeeded, and made `version` of the database."""
        for bake_id, place in self._dropped:
            self._unsaved.pop(bake_id, None)
            self.file.free(place, version)
        self._added.clear()
        self._dropped.clear()

    def rolled_back(self) -> None:
        """The transaction has failed."""
        for bake_id, place in self._added:
            self._unsaved.pop(bake_id, None)
            self.file.give_back(place)
        self._added.clear()
        self._dropped.clear()

    def get(self, bake_id: bytes, place: bytes, size: int, sha256: bytes) -> bytes | None:
        """A clip; None when it cannot be read back as it was."""
        unsaved = self._unsaved.get(bake_id)
        if unsaved is not None:
            return unsaved[1]
        with contextlib.suppress(OSError):
            clip = self.file.read(place, size)
            if hashlib.sha256(clip).digest() == sha256:
                return clip
        return None

    def save(self) -> None:
        """Put on the disk what is not there yet, from any thread, one at a time. Raises OSError."""
        waiting = list(self._unsaved.items())
        if not waiting:
            return
        for bake_id, (place, clip) in waiting:
            if bake_id in self._unsaved:  # else its verdict has come
                self.file.write(place, clip)
        self.file.sync()
        for bake_id, held in waiting:
            if self._unsaved.get(bake_id) is held:
                self._unsaved.pop(bake_id, None)
