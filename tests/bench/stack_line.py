"""One line of our stack for the bench: the gateway's link with its durable outbox, without camera and device."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bench_worker import TASK

from edge.gateway import verdicts
from edge.gateway.config import GatewayConfig
from edge.gateway.link import Link, client_config
from edge.gateway.outbox import Outbox, OutboxConfig
from shared.clock import system_now_us
from shared.messages import BakeVerdict, Classification, LineVerdict
from shared.mqtt import BrokerAddress, MqttClient
from shared.task import Priority
from shared.topics import Line

DEVICE = "bench: no device"
EDGE = Classification("golden", (0, 0, 9, 0, 0), 0.6, False, "bench: always unsure", 0.0, "measured")
DEADLINE_US = 3_600_000_000


class StackLine:
    """Escalates, and knows when each verdict was applied."""

    def __init__(self, config: GatewayConfig, outbox: Outbox, client: MqttClient) -> None:
        self.link = Link(config, outbox, client, device=DEVICE, model="bench", learned=self._learned)
        self._task = config.task
        self._asked: dict[str, float] = {}
        self._count = 0
        self.accept_s: list[float] = []  # to make each bake durable
        self.took_s: list[float] = []  # from then, when the courier may take it, to its verdict applied
        self.applied = asyncio.Event()

    def _learned(self, earlier: LineVerdict, cloud: BakeVerdict) -> None:
        self.took_s.append(time.perf_counter() - self._asked.pop(earlier.id))
        self.applied.set()

    async def ask(self, clip: bytes, priority: Priority = "normal") -> None:
        """Hand over a bake that the edge is unsure of."""
        self._count += 1
        now_us = system_now_us()
        bake_id = self._count.to_bytes(16, "big")
        verdict = verdicts.from_edge(self._task, bake_id, f"bake-{self._count}", EDGE, now_us, now_us, "unsure")
        started_s = time.perf_counter()
        self._asked[verdict.id] = started_s
        await self.link.escalate(verdict, clip, priority, self.link.clock.now_us() + DEADLINE_US)
        if verdict.id in self._asked:  # else it came back before its acceptance was on the disk
            self._asked[verdict.id] = time.perf_counter()
        self.accept_s.append(time.perf_counter() - started_s)

    async def request(self, clip: bytes) -> float:
        """Seconds from a bake's acceptance, when the courier may take it, to its verdict applied."""
        self.applied.clear()
        await self.ask(clip)
        await self.applied.wait()
        return self.took_s[-1]

    async def saturate(self, clip: bytes, count: int, window: int) -> float:
        """Seconds for `count` bakes of which up to `window` wait for their verdict at any time."""
        before, started_s = len(self.took_s), time.perf_counter()
        for _ in range(count):
            while len(self._asked) >= window:
                self.applied.clear()
                await self.applied.wait()
            await self.ask(clip)
        while len(self.took_s) < before + count:
            self.applied.clear()
            await self.applied.wait()
        return time.perf_counter() - started_s


@contextlib.asynccontextmanager
async def stack_line(address: BrokerAddress, folder: Path, name: str = "bench") -> AsyncIterator[StackLine]:
    """A line on `address` whose outbox is in `folder`, with the settings that a gateway has by default."""
    config = GatewayConfig(Line.of("bench", name), TASK, outbox=OutboxConfig())
    end = asyncio.Event()

    async def until_end() -> None:
        await end.wait()

    with contextlib.closing(Outbox(folder / f"{name}.db", TASK, config.outbox)) as outbox:
        async with MqttClient(client_config(address, config, DEVICE)) as client:
            line = StackLine(config, outbox, client)
            serving = asyncio.create_task(line.link.serve(until_end))
            while not line.link.stats().cloud_link:
                await asyncio.sleep(0.01)
            yield line
            end.set()
            await serving
