"""Gateway and worker over real brokers: what an outsider sees on the topics."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from line_scene import LINE, QUICK, TASK, RuleEngine, bakes, gateway, outsider, worker
from numpy.typing import NDArray
from PIL import Image

from cloud.worker.service import Worker, WorkerConfig
from cloud.worker.service import client_config as worker_client
from edge.devices import Device
from edge.gateway.sources import SourceItem
from shared.broker import EmbeddedBroker
from shared.errors import DeviceError
from shared.messages import Classification, GatewayStats, GatewayStatus, decode
from shared.mqtt import MqttClient


def test_each_bake_gets_one_final_verdict_and_dashboards_see_the_line(
    broker: EmbeddedBroker, device: Device, tmp_path: Path
) -> None:
    async def scenario() -> None:
        engine = RuleEngine()
        async with outsider(broker) as seen, worker(broker, engine), gateway(broker, device, tmp_path) as (line, _):
            stats = await line.run(bakes(12))
            assert (stats.bakes, stats.finals, stats.escalated, stats.backlog) == (12, 12, 12, 0)
            await seen.until(lambda: len(seen.verdicts("final")) == 12)
            assert sorted(v.bake for v in seen.verdicts("final")) == sorted(f"bake-{i}" for i in range(12))
            assert {(v.label, v.source, v.reason) for v in seen.verdicts("final")} == {("dark", "cloud", "escalated")}
            assert len(seen.verdicts("provisional")) == 12
            assert seen.verdicts("final")[0].cloud is not None
            assert seen.verdicts("final")[0].cloud.rationale == "3 frames over 0.2 s"
            await seen.until(lambda: len(seen.on(LINE.status)) == 2)
            assert [decode(m.payload, GatewayStatus, "").status for m in seen.on(LINE.status)] == ["online", "offline"]
            assert decode(seen.on(LINE.stats)[-1].payload, GatewayStats, "").finals == 12
            with Image.open(io.BytesIO(seen.on(LINE.snapshot("belt"))[-1].payload)) as picture:
                assert picture.size == (64, 48)
            assert len(seen.on(LINE.event("belt"))) == 24
            [discovery] = [m for m in seen.messages if m.topic.startswith("homeassistant/device/")]
            assert json.loads(discovery.payload)["components"]

    asyncio.run(scenario())


def test_without_a_cloud_the_deadline_decides_and_the_late_answer_corrects(
    broker: EmbeddedBroker, device: Device, tmp_path: Path
) -> None:
    async def scenario() -> None:
        engine = RuleEngine()
        engine.may_answer.clear()
        done = asyncio.Event()

        async def source() -> AsyncIterator[SourceItem]:
            async for item in bakes(2):
                yield item
            await done.wait()

        async with outsider(broker) as seen, gateway(broker, device, tmp_path, deadline_s=0.8) as (line, _):
            running = asyncio.create_task(line.run(source()))
            async with worker(broker, engine):
                await seen.until(lambda: len(seen.verdicts("final")) == 2)
                assert {(v.source, v.reason) for v in seen.verdicts("final")} == {("edge", "timeout")}
                await asyncio.sleep(1.3)  # the request's expiry is the deadline, rounded up to seconds
                engine.may_answer.set()
                await seen.until(lambda: seen.verdicts("correction"))
                assert seen.verdicts("correction")[0].label == "dark"
            done.set()
            stats = await running
            assert (stats.finals, stats.timeouts) == (2, 2)
            assert stats.corrections == engine.calls == 1, "the second request had expired: it must not be computed"

    asyncio.run(scenario())


def test_a_worker_of_another_task_is_no_cloud_link(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    async def scenario() -> None:
        config, stop = WorkerConfig("stranger", msgspec.structs.replace(TASK, name="elpv"), "rules"), asyncio.Event()
        stranger = MqttClient(worker_client(broker.address, config))
        async with outsider(broker) as seen, stranger, gateway(broker, device, tmp_path, deadline_s=0.5) as (line, _):
            serving = asyncio.create_task(Worker(config, RuleEngine(), stranger).run(stop))
            await seen.until(lambda: seen.on("cw/1/worker/stranger/status"))
            stats = await line.run(bakes(1))
            stop.set()
            await serving
        assert stats.timeouts == 1
        assert not any(decode(message.payload, GatewayStats, "").cloud_link for message in seen.on(LINE.stats))

    asyncio.run(scenario())


class FailingDevice:
    """The device, unplugged for its first attempts."""

    takes_scene = False

    def __init__(self, device: Device, failures: int) -> None:
        self.name, self.kind, self.hello = device.name, device.kind, device.hello
        self._device = device
        self.failures = failures

    def classify(self, image: NDArray[np.uint8]) -> Classification:
        if self.failures:
            self.failures -= 1
            raise DeviceError("nobody answers on the line")
        return self._device.classify(image)


def test_a_device_that_fails_costs_no_bake(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    async def scenario(attempts: int | None) -> GatewayStats:
        failing: Any = FailingDevice(device, 3)
        options = {"device_attempts": attempts, "device_backoff": QUICK}
        async with worker(broker, RuleEngine()), gateway(broker, failing, tmp_path, **options) as (line, _):
            return await line.run(bakes(2))

    assert asyncio.run(scenario(None)).finals == 2
    with pytest.raises(DeviceError, match="nobody answers"):
        asyncio.run(scenario(3))
