"""Whatever dies between device and verdict, each bake gets one final verdict."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import line_scene
from line_scene import LINE, TASK, RuleEngine, bakes, gateway, outsider, worker

from cloud.worker.service import Worker, WorkerConfig
from cloud.worker.service import client_config as worker_client
from edge.devices import Device
from shared.broker import EmbeddedBroker
from shared.messages import GatewayStatus, decode
from shared.mqtt import MqttClient


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
import line_scene as scene
from edge.devices import open_device
from shared.mqtt import BrokerAddress

class Broker:
    address = BrokerAddress("127.0.0.1", int(sys.argv[1]))

async def main():
    with open_device("reference") as device:
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
            arguments = (str(broker.address.port), str(tmp_path), str(Path(line_scene.__file__).parent))
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
