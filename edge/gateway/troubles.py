"""What is wrong at the gateway now, for its state topic, and disk accesses that wait for a failing disk."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TypeVar

from edge.gateway.storage import StorageError
from shared.mqtt.backoff import Backoff

log = logging.getLogger(__name__)

DISK_BACKOFF = Backoff(first_s=0.1, cap_s=5.0, floor_s=0.05)

Result = TypeVar("Result")


class Troubles:
    """Troubles by their subject, each in one line."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._present: dict[str, str] = {}
        self._rng = random.Random()

    def begin(self, subject: str, words: str) -> None:
        """Something is wrong, or wrong in another way."""
        if self._present.get(subject) != words:
            log.warning("%s: %s", subject, words)
            self._present[subject] = words
            self._changed()

    def end(self, subject: str) -> None:
        """It is well again; nothing when it was."""
        if self._present.pop(subject, None) is not None:
            log.info("%s: well again", subject)
            self._changed()

    def lines(self) -> tuple[str, ...]:
        """What is wrong now."""
        return tuple(f"{subject}: {words}" for subject, words in self._present.items())

    async def patiently(self, access: Callable[..., Result], *arguments: object) -> Result:
        """The result of an outbox method, repeated until the disk allows it: nothing goes on as if it were written."""
        failures = 0
        while True:
            try:
                result = access(*arguments)
            except StorageError as error:
                failures += 1
                self.begin("outbox", str(error))
                await asyncio.sleep(DISK_BACKOFF.delay_s(failures, self._rng))
            else:
                if failures:
                    self.end("outbox")
                return result
