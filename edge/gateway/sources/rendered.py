"""Rendered bakes as a source: child processes render ahead, so that the line never waits for the renderer's core."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import IO

import msgspec
import numpy as np

from edge.gateway.sources.bake import SourceBake, SourceItem
from edge.gateway.sources.render_child import LENGTH, RenderedRecord
from shared import children
from shared.bakery.truth import Shift
from shared.errors import CrustwatchError

STOP_GRACE_S = 0.2


class RenderedBakes:
    """`count` bakes of `seed` from `start` on, after a `shift`, rendered by `processes` children.

    Use `with`; start it from the main thread.
    """

    def __init__(
        self, seed: int, count: int, processes: int = 1, *, start: int = 0, shift: Shift | None = None
    ) -> None:
        self._count, self._start = count, start
        after = [] if shift is None else [shift]
        command = [sys.executable, "-m", "edge.gateway.sources.render_child"]
        self._children = [
            children.spawn(
                [*command, str(seed), str(start + first), str(processes), str(start + count), *after],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for first in range(min(processes, count))
        ]

    def __enter__(self) -> RenderedBakes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the children."""
        for child in self._children:
            children.stop(child, STOP_GRACE_S)
            for pipe in (child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()

    async def items(self) -> AsyncIterator[SourceItem]:
        """The bakes in their order. Raises CrustwatchError with the renderer's own words when it fails."""
        for index in range(self._count):
            child = self._children[index % len(self._children)]
            assert child.stdout is not None  # noqa: S101
            record = await asyncio.to_thread(read_record, child.stdout)
            if record is None:
                words = (child.stderr.read() if child.stderr else b"").decode(errors="replace").strip()
                last = words.splitlines()[-1] if words else f"exit status {child.wait()}"
                raise CrustwatchError(f"the renderer stopped at bake {self._start + index}: {last}")
            yield bake_of(record)


def read_record(pipe: IO[bytes]) -> RenderedRecord | None:
    """The next bake on a pipe; None at its end, and when it ends within one."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    data = pipe.read(length)
    return msgspec.msgpack.decode(data, type=RenderedRecord) if len(data) == length else None


def bake_of(record: RenderedRecord) -> SourceBake:
    """The bake in a record."""
    frames = np.frombuffer(record.frames, np.uint8).reshape(record.shape)  # [F, H, W, 3]
    first_s = record.times_s[0]
    offsets_us = tuple(round(1e6 * (time_s - first_s)) for time_s in record.times_s)
    return SourceBake(record.name, tuple(frames), offsets_us, truth=record.truth)
