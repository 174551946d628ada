"""Keeps the demo's gateway running as a process of its own, and hands it each bake until a topic has shown it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO

import msgspec
import numpy as np

from edge.demo.gateway_child import GatewaySettings
from edge.gateway.sources import SourceBake, SourceItem
from edge.gateway.sources.render_child import RenderedRecord, packed
from shared import children
from shared.errors import CrustwatchError

STOP_GRACE_S = 1.0
RESTART_DELAY_S = 0.2


class GatewayProcess:
    """Starts `gateway_child`, and starts it again when it dies. Use it in the main thread's event loop."""

    def __init__(self, settings: GatewaySettings, log_path: Path, say: Callable[[str], None]) -> None:
        self._command = [sys.executable, "-m", "edge.demo.gateway_child", msgspec.json.encode(settings).decode()]
        self._log_path = log_path
        self._say = say
        self._child: subprocess.Popen[bytes] | None = None
        self._life = 0
        self._stopped = False

    @property
    def pid(self) -> int | None:
        """Of the present gateway, None while none runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    async def pass_bakes(self, items: AsyncIterator[SourceItem], seen: Callable[[str], bool]) -> None:
        """Hand all items over; returns when a gateway has ended in order.

        What no topic has shown yet (`seen` by name) is handed over again after a restart: a camera that keeps its last
        pictures. The gateway knows those that it had accepted. Raises CrustwatchError when a gateway fails by itself.
        """
        handed: dict[str, SourceBake] = {}
        has_ended = False
        while True:
            child = self._start()
            assert child.stdin is not None  # noqa: S101
            try:
                for bake in handed.values():
                    await _write(child.stdin, bake)
                while not has_ended:
                    item = await anext(items, None)
                    has_ended = item is None
                    handed = {name: bake for name, bake in handed.items() if not seen(name)}
                    if isinstance(item, SourceBake):
                        handed[item.name] = item
                        await _write(child.stdin, item)
                await asyncio.to_thread(child.stdin.close)
            except (BrokenPipeError, ValueError):  # it died; a pipe that was closed is a ValueError
                pass
            status = await asyncio.to_thread(child.wait)
            handed = {name: bake for name, bake in handed.items() if not seen(name)}
            if status == 0 and not handed:
                return
            if status > 0 or self._stopped:
                raise CrustwatchError(f"the gateway ended: {children.last_words(self._log_path)}")
            self._say("the gateway is gone: starting another")
            await asyncio.sleep(RESTART_DELAY_S)

    def _start(self) -> subprocess.Popen[bytes]:
        self._life += 1
        with self._log_path.open("wb" if self._life == 1 else "ab") as log_file:
            self._child = children.spawn(self._command, stdin=subprocess.PIPE, stdout=log_file, stderr=log_file)
        self._say(f"gateway: pid {self._child.pid}, log {self._log_path}")
        return self._child

    def stop(self) -> None:
        """End the gateway."""
        self._stopped = True
        if self._child is not None:
            children.stop(self._child, STOP_GRACE_S)


async def _write(pipe: IO[bytes], bake: SourceBake) -> None:
    frames = np.stack(bake.frames)  # uint8 [F, H, W, 3]
    count, height, width, _ = frames.shape
    times_s = [offset / 1e6 for offset in bake.offsets_us]
    record = RenderedRecord(bake.name, None, times_s, (count, height, width, 3), frames.tobytes())

    def write() -> None:
        pipe.write(packed(record))
        pipe.flush()

    await asyncio.to_thread(write)
