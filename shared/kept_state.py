"""A small state in a file: marked by its owner where it changes, written by its keeper where that may block."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from shared.atomic_file import replace_file

log = logging.getLogger(__name__)


class KeptState:
    """One state file. Its owner calls `changed`, its keeper now and then `take` and `write`.

    What changed since the last `write` is lost by a crash.
    """

    def __init__(self, path: Path | None, encode: Callable[[], bytes]) -> None:
        """`encode` gives the state as it stands; without a `path` nothing is ever written."""
        self._path = path
        self._encode = encode
        self._dirty = False
        self._writing = threading.Lock()

    def changed(self) -> None:
        """The state differs from its file."""
        self._dirty = self._path is not None

    def take(self) -> bytes | None:
        """What is to be written, None when nothing has changed. In the owner's thread."""
        if not self._dirty:
            return None
        self._dirty = False
        return self._encode()

    def write(self, data: bytes) -> None:
        """Put `data` on the disk, from any thread; a disk that refuses only puts it off to the next change."""
        if self._path is None:
            return
        with self._writing:
            try:
                replace_file(self._path, data)
            except OSError as error:  # the state holds in memory
                log.warning("%s: cannot be written: %s", self._path, error.strerror)

    def write_now(self) -> None:
        """Both, in the owner's thread."""
        if (data := self.take()) is not None:
            self.write(data)
