"""Gateway and worker over real brokers: what an outsider sees on the topics, whatever dies in between.

The device is the numpy reference with the shipped model. The engine behind the worker is one that answers by rule, so
that each test knows what must come back; the model itself has its own tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cloud.worker.service import Worker, WorkerConfig
from cloud.worker.service import client_config as worker_client
from edge.devices import Device, open_device
from edge.gateway.config import GatewayConfig
from edge.gateway.outbox import Outbox, OutboxConfig
from edge.gateway.service import Gateway, client_config
from edge.gateway.sources import SourceBake, SourceItem
from shared.broker import EmbeddedBroker, Kind, mosquitto
from shared.clip import ClipFrame, encode_clip
from shared.errors import BadInputError, DeviceError
from shared.escalation import Request
from shared.images import encode_jpeg
from shared.messages import (
    BakeVerdict,
    Classification,
    GatewayStats,
    GatewayStatus,
    LineVerdict,
    Response,
    WorkerStatus,
    decode,
)
from shared.mqtt import Incoming, MqttClient, MqttConfig, Properties
from shared.mqtt.backoff import Backoff
from shared.task import Task, load_task
from shared.topics import Line

KINDS: list[Kind] = ["iotcore"] + (["mosquitto"] if mosquitto.find_mosquitto() else [])  # type: ignore[assignment]
TASK = load_task("pizza")
LINE = Line.of("plant", "oven-1")
QUICK = Backoff(first_s=0.05, cap_s=0.2, floor_s=0.02)
RNG = np.random.default_rng(3)
FRAME = RNG.integers(0, 256, (48, 64, 3), np.uint8)  # [H, W, 3]


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with open_device("reference") as opened:
        opened.set_thresholds([65_535] * len(TASK.labels))  # never sure: everything is escalated
        yield opened


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
async def worker(broker: EmbeddedBroker, engine: RuleEngine, name: str = "w-1") -> AsyncIterator[Worker]:
    config = WorkerConfig(name, TASK, "rules")
    async with MqttClient(worker_client(broker.address, config)) as client:
        running, stop = Worker(config, engine, client), asyncio.Event()
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
    outbox_config = options.pop("outbox", OutboxConfig(retry_s=1.0, synchronous="NORMAL"))
    config = GatewayConfig(LINE, TASK, stats_interval_s=0.01, outbox=outbox_config, **options)
    with contextlib.closing(Outbox(path / "outbox.db", TASK, outbox_config)) as outbox:
        mqtt = client_config(broker.address, config, device.kind)
        async with MqttClient(mqtt, patient=True) as client:
            yield Gateway(config, device, outbox, client), outbox


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
                await asyncio.sleep(0.5)  # the request's expiry is the deadline, rounded up to seconds
                engine.may_answer.set()
                await seen.until(lambda: seen.verdicts("correction"))
                assert seen.verdicts("correction")[0].label == "dark"
            done.set()
            stats = await running
            assert (stats.finals, stats.timeouts) == (2, 2)
            assert stats.corrections == engine.calls == 1, "the second request had expired: it must not be computed"

    asyncio.run(scenario())


def test_a_worker_that_dies_with_requests_in_hand_costs_no_verdict(
    broker: EmbeddedBroker, device: Device, tmp_path: Path
) -> None:
    async def scenario() -> None:
        stuck, healthy = RuleEngine(), RuleEngine()
        stuck.may_answer.clear()
        doomed_config = WorkerConfig("doomed", TASK, "rules")
        async with outsider(broker) as seen, gateway(broker, device, tmp_path) as (line, _):
            doomed = MqttClient(worker_client(broker.address, doomed_config))
            await doomed.__aenter__()
            serving = asyncio.create_task(Worker(doomed_config, stuck, doomed).run(asyncio.Event()))
            running = asyncio.create_task(line.run(bakes(5)))
            await seen.until(lambda: stuck.calls)
            # As kill -9 does: the socket closes without DISCONNECT.
            assert doomed._supervisor is not None
            assert doomed._connection is not None
            assert doomed._connection._reading is not None
            doomed._supervisor.cancel()
            doomed._connection._reading.shutdown(2)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            async with worker(broker, healthy, "w-2"):
                stats = await running
            stuck.may_answer.set()
            await doomed.__aexit__(None, None, None)
            assert stats.finals == 5
            await seen.until(lambda: len(seen.verdicts("final")) == 5)
            assert len({v.id for v in seen.verdicts("final")}) == 5
            assert {v.source for v in seen.verdicts("final")} == {"cloud"}

    asyncio.run(scenario())


def test_the_outbox_outlives_the_gateway(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with outsider(broker) as seen:
            async with gateway(broker, device, tmp_path) as (line, outbox):
                running = asyncio.create_task(line.run(bakes(4)))
                await seen.until(lambda: outbox.backlog() == 4)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            async with worker(broker, RuleEngine()), gateway(broker, device, tmp_path) as (line, outbox):
                assert outbox.backlog() == 4
                await line.run(bakes(0))
            await seen.until(lambda: len(seen.verdicts("final")) == 4)
            assert {v.source for v in seen.verdicts("final")} == {"cloud"}

    asyncio.run(scenario())


DOOMED_GATEWAY = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import test_gateway_worker as scene
from shared.mqtt import BrokerAddress

class Broker:
    address = BrokerAddress("127.0.0.1", int(sys.argv[1]))

async def main():
    with scene.open_device("reference") as device:
        device.set_thresholds([65_535] * len(scene.TASK.labels))
        async with scene.gateway(Broker, device, Path(sys.argv[2])) as (line, outbox):
            running = asyncio.create_task(line.run(scene.bakes(4)))
            while outbox.backlog() < 4:
                await asyncio.sleep(0.001)
            os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_kill_9_of_the_gateway_costs_no_verdict(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with outsider(broker) as seen:
            arguments = (str(broker.address.port), str(tmp_path), str(Path(__file__).parent))
            doomed = await asyncio.create_subprocess_exec(sys.executable, "-c", DOOMED_GATEWAY, *arguments)
            assert await doomed.wait() == -signal.SIGKILL
            async with worker(broker, RuleEngine()), gateway(broker, device, tmp_path) as (line, outbox):
                assert outbox.backlog() == 4
                await line.run(bakes(0))
            await seen.until(lambda: len({v.id for v in seen.verdicts("final")}) == 4)
            assert len(seen.verdicts("final")) == 4
            statuses = [decode(m.payload, GatewayStatus, "").status for m in seen.on(LINE.status)]
            assert "offline" in statuses[:2], "the will of the killed gateway did not come"

    asyncio.run(scenario())


def test_a_broker_that_dies_costs_no_verdict(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    async def scenario() -> None:
        engine, port, lives = RuleEngine(), broker.address.port, contextlib.ExitStack()
        with lives:
            async with (
                outsider(broker) as seen,
                worker(broker, engine),
                gateway(broker, device, tmp_path, max_backlog=2) as (line, _),
            ):

                async def kill_once() -> None:
                    if len(seen.verdicts("final")) >= 3 and broker.pid is not None:
                        broker.kill()
                        lives.enter_context(EmbeddedBroker(broker.kind, port))
                        broker._child = None

                stats = await line.run(bakes(10, pause=kill_once))
                assert broker.pid is None, "the broker was never killed"
                assert stats.finals == 10
                assert stats.timeouts == 0

    asyncio.run(scenario())


class FailingDevice:
    """The device, unplugged for its first attempts."""

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


def request(**changes: Any) -> Request:
    clip = encode_clip([ClipFrame(encode_jpeg(FRAME), 1_000_000 * i) for i in range(2)])
    fields = {"id": bytes(range(16)), "attempt": 1, "task": "pizza", "priority": "normal", "line": LINE}
    return Request(**{**fields, "clip": clip, "model": "m", "expiry_s": 30, **changes})


def test_a_repeated_id_is_answered_again_and_computed_once(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        engine = RuleEngine()
        asker = MqttClient(MqttConfig(broker.address, "asker"))
        async with outsider(broker) as seen, worker(broker, engine), asker:
            for attempt in (1, 2, 3):
                again = request(attempt=attempt)
                await asker.publish(again.topic, again.clip, properties=again.properties())
            await seen.until(lambda: len(seen.on(LINE.response)) == 3)
        answers = [decode(message.payload, Response, "") for message in seen.on(LINE.response)]
        assert [answer.attempt for answer in answers] == [1, 2, 3]
        assert {answer.id for answer in answers} == {bytes(range(16)).hex()}
        assert {message.properties.correlation for message in seen.on(LINE.response)} == {bytes(range(16))}
        assert engine.calls == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("changes", "properties", "words"),
    [
        ({"clip": b"no clip at all"}, {}, "not a clip"),
        ({"clip": encode_clip([ClipFrame(b"\xff\xd8" + bytes(60), 0)])}, {}, "JPEG frame"),
        ({}, {"response_topic": "cw/1/rsp/plant/victim"}, "answers go nowhere else"),
        ({}, {"user": {}}, "schema"),
    ],
)
def test_a_bad_request_gets_an_error_verdict_and_the_next_good_one_works(
    broker: EmbeddedBroker, changes: dict[str, Any], properties: dict[str, Any], words: str
) -> None:
    async def scenario() -> None:
        async with outsider(broker) as seen, worker(broker, RuleEngine()) as running:
            async with MqttClient(MqttConfig(broker.address, "asker")) as asker:
                bad = request(**changes)
                fields = {name: getattr(bad.properties(), name) for name in Properties.__slots__}
                await asker.publish(bad.topic, bad.clip, properties=Properties(**{**fields, **properties}))
                good = request(id=bytes(16))
                await asker.publish(good.topic, good.clip, properties=good.properties())
                await seen.until(lambda: len(seen.on(LINE.response)) == 2)
            assert running.refused == 1
        first, second = (decode(message.payload, Response, "").verdict for message in seen.on(LINE.response))
        assert first.cannot_tell
        assert first.doneness is None
        assert words in first.rationale
        assert second.doneness == "dark"
        assert not [message for message in seen.messages if "victim" in message.topic]

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [BadInputError("frames are longer than 16:1"), RuntimeError("out of memory")])
def test_an_engine_that_fails_does_not_end_the_worker(broker: EmbeddedBroker, error: Exception) -> None:
    async def scenario() -> None:
        engine = RuleEngine()
        engine.error = error
        asker = MqttClient(MqttConfig(broker.address, "asker"))
        async with outsider(broker) as seen, worker(broker, engine), asker:
            for number in (1, 2):
                one = request(id=number.to_bytes(16, "big"))
                await asker.publish(one.topic, one.clip, properties=one.properties())
                await seen.until(lambda number=number: len(seen.on(LINE.response)) == number)
                engine.error = None
        first, second = (decode(message.payload, Response, "").verdict for message in seen.on(LINE.response))
        assert first.cannot_tell
        assert second.doneness == "dark"

    asyncio.run(scenario())


def test_workers_share_the_load_and_say_when_they_leave(broker: EmbeddedBroker) -> None:
    async def scenario() -> None:
        first, second = RuleEngine(), RuleEngine()
        async with outsider(broker) as seen:
            async with worker(broker, first, "w-1"), worker(broker, second, "w-2"):
                await seen.until(lambda: len([m for m in seen.messages if "worker" in m.topic]) == 2)
                async with MqttClient(MqttConfig(broker.address, "asker")) as asker:
                    for number in range(20):
                        one = request(id=number.to_bytes(16, "big"))
                        await asker.publish(one.topic, one.clip, properties=one.properties())
                    await seen.until(lambda: len(seen.on(LINE.response)) == 20)
            assert first.calls + second.calls == 20
            assert min(first.calls, second.calls) > 0
            await seen.until(lambda: len(seen.on("cw/1/worker/w-1/status")) == 2)
        statuses = [decode(m.payload, WorkerStatus, "").status for m in seen.on("cw/1/worker/w-1/status")]
        assert statuses == ["online", "offline"]

    asyncio.run(scenario())
