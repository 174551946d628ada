"""Remembers which attempts have been taken, in bounded memory: the same one again is a replay."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

REMEMBERED = 65_536  # attempts of all senders together; about 250 bytes each


class ReplayGuard:
    """The latest attempts by sender, id, number and the signed time of sending.

    A resend has a number and a time of its own, so a repeated one was copied on the way. The number alone may come
    again: a gateway after a power cut does not know of the attempts that it had not written to the disk. A message
    that is older than all that is remembered passes: it costs an answer from the cache or a computation, and changes
    nothing at its gateway, which applies one verdict an id. Its signed expiry bounds how old it can be.
    """

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._seen: OrderedDict[tuple[Hashable, bytes, int, int], None] = OrderedDict()

    def admit(self, sender: Hashable, message_id: bytes, attempt: int, sent_us: int) -> bool:
        """True the first time."""
        key = (sender, message_id, attempt, sent_us)
        if key in self._seen:
            self._seen.move_to_end(key)
            return False
        self._seen[key] = None
        if len(self._seen) > self._size:
            self._seen.popitem(last=False)
        return True
