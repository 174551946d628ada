"""One line for tests: a broker, an outsider who reads topics, a worker whose engine answers by rule, a gateway.

The device is the numpy reference with the shipped model; the engine answers by rule, so that each test knows what must
come back. The model itself has its own tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud.worker.archive import Archive
from cloud.worker.service import Worker, WorkerConfig
from cloud.worker.service import client_config as worker_client
from edge.devices import Device
from edge.gateway.config import GatewayConfig
from edge.gateway.link import client_config
from edge.gateway.outbox import Outbox, OutboxConfig
from edge.gateway.service import Gateway
from edge.gateway.sources import SourceBake, SourceItem
from shared.broker import EmbeddedBroker, Kind, mosquitto
from shared.messages import (
    BakeVerdict,
    LineVerdict,
    decode,
)
from shared.mqtt import Incoming, MqttClient, MqttConfig
from shared.mqtt.backoff import Backoff
from shared.seal import Seal
from shared.task import Task, load_task
from shared.topics import Line

KINDS: list[Kind] = ["iotcore"] + (["mosquitto"] if mosquitto.find_mosquitto() else [])  # type: ignore[assignment]
TASK = load_task("pizza")
LINE = Line.of("plant", "oven-1")
QUICK = Backoff(first_s=0.05, cap_s=0.2, floor_s=0.02)
RNG = np.random.default_rng(3)
FRAME = RNG.integers(0, 256, (48, 64, 3), np.uint8)  # [H, W, 3]


class RuleEngine:
    """Answers `dark`; refuses, fails or waits when told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.error: Exception | None = None

    def verdict(self, frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float], task: Task) -> BakeVerdict:
        self.calls += 1
        assert self.may_answer.wait(20)
        if self.error is not None:
            raise self.error
        return BakeVerdict("dark", 0.9, False, f"{len(frames)} frames over {times_s[-1] - times_s[0]:.1f} s")


@dataclass
class Outsider:
    """Reads topics."""

    messages: list[Incoming] = field(default_factory=list)

    async def follow(self, client: MqttClient) -> None:
        await client.subscribe("cw/1/#")
        await client.subscribe("homeassistant/#")
        async for message in client.messages():
            client.acknowledge(message)
            self.messages.append(message)

    def on(self, topic: str) -> list[Incoming]:
        return [message for message in self.messages if message.topic == topic]

    def verdicts(self, state: str) -> list[LineVerdict]:
        found = [decode(message.payload, LineVerdict, "") for message in self.on(LINE.verdict("belt"))]
        return [verdict for verdict in found if verdict.state == state]

    async def until(self, condition: Callable[[], object], timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def outsider(broker: EmbeddedBroker) -> AsyncIterator[Outsider]:
    async with MqttClient(MqttConfig(broker.address, "outsider", backoff=QUICK)) as client:
        seen = Outsider()
        task = asyncio.create_task(seen.follow(client))
        try:
            yield seen
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def worker(
    broker: EmbeddedBroker,
    engine: RuleEngine,
    name: str = "w-1",
    seal: Seal | None = None,
    archive: Archive | None = None,
) -> AsyncIterator[Worker]:
    config = WorkerConfig(name, TASK, "rules")
    async with MqttClient(worker_client(broker.address, config)) as client:
        running, stop = Worker(config, engine, client, seal=seal, archive=archive), asyncio.Event()
        task = asyncio.create_task(running.run(stop))
        try:
            yield running
        finally:
            stop.set()
            await task


def bakes(count: int, frames: int = 3, pause: Callable[[], Any] | None = None) -> AsyncIterator[SourceItem]:
    async def items() -> AsyncIterator[SourceItem]:
        for number in range(count):
            if pause is not None:
                await pause()
            yield SourceBake(f"bake-{number}", (FRAME,) * frames, tuple(100_000 * i for i in range(frames)))

    return items()


@contextlib.asynccontextmanager
async def gateway(
    broker: EmbeddedBroker, device: Device, path: Path, **options: Any
) -> AsyncIterator[tuple[Gateway, Outbox]]:
    watchers = {name: options.pop(name, None) for name in ("guard", "budget", "seal", "store", "shadow")}
    outbox_config = options.pop("outbox", OutboxConfig(retry_s=1.0, synchronous="NORMAL"))
    config = GatewayConfig(LINE, TASK, stats_interval_s=0.01, outbox=outbox_config, **options)
    with contextlib.closing(Outbox(path / "outbox.db", TASK, outbox_config)) as outbox:
        mqtt = client_config(broker.address, config, device.kind)
        async with MqttClient(mqtt, patient=True) as client:
            yield Gateway(config, device, outbox, client, **watchers), outbox
