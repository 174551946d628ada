"""JPEG frames decoded in a child with little memory, time and rights: a decoder's bug costs a picture (decision 0103).

The child is started with the first picture, lives on, and is started again after it was ended. One caller at a time.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.decoder_child import REPLY, REQUEST, receive
from shared.errors import BadInputError
from shared.images import MAX_PIXELS
from shared.jpeg import stripped

PATIENCE_S = 30.0  # of wall time for one picture, the start of the child included
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # numpy's pools only take address space there
_KEPT = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG", "LD_LIBRARY_PATH")  # no secrets among the child's variables


class LimitedDecoder:
    """`with` ends the child; `decode` works like `shared.images.decode_jpeg`."""

    def __init__(self, command: tuple[str, ...] = (sys.executable, "-m", "shared.decoder_child")) -> None:
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self.ended = 0  # children that were ended by a picture

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Of the child; None while there is none."""
        return None if self._child is None else self._child.pid

    def decode(self, data: bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
        """A JPEG as uint8 [H, W, 3] RGB.

        Raises BadInputError for what is no such JPEG, and for one on which the child died or took too long.
        """
        _, data = stripped(data)  # what is refused by its structure never gets there, and metadata neither
        link = self._link or self._start()
        try:
            link.sendall(REQUEST.pack(len(data), min(max_pixels, MAX_PIXELS)) + data)
            head = receive(link, REPLY.size)
            body = None if head is None else _body(link, head, max_pixels)
        except OSError:  # TimeoutError is one
            body = None
        if body is None:
            self.ended += 1
            self.close()
            raise BadInputError("JPEG frame: its decoder took too long or too much memory, or crashed; it was ended")
        return body

    def _start(self) -> socket.socket:
        link, far = socket.socketpair()
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        with far:
            self._child = subprocess.Popen(
                list(self._command),
                stdin=far.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment | _ONE_THREAD,
                start_new_session=True,  # Ctrl-C is its parent's business
            )
        link.settimeout(PATIENCE_S)
        self._link = link
        return link

    def close(self) -> None:
        """End the child; the next picture starts another."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None


def _body(link: socket.socket, head: bytearray, max_pixels: int) -> NDArray[np.uint8] | None:
    """The pixels uint8 [H, W, 3] behind the head of a reply; None when it is cut short or not believable."""
    failed, width, height = REPLY.unpack(head)
    if failed:
        reason = receive(link, min(width, 1000))
        if reason is None:
            return None
        raise BadInputError(reason.decode(errors="replace"))
    if not 0 < width * height <= max_pixels:
        return None
    pixels = receive(link, 3 * width * height)
    return None if pixels is None else np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
