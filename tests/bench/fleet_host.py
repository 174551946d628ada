"""Hosts many gateways' links in one process: each its own outbox file, MQTT connection, courier and announcer.

    python tests/bench/fleet_host.py '{"port": 1883, ...}'      # prints one JSON object when it is done

What is real: `edge.gateway.link.Link` with its outbox on disk, its own connection and its own sealing key, as any
gateway has them. What is not there: camera and device; the edge's verdict and the clip are given. What the gateways of
a process share: the interpreter, the event loop, the disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
import time
from pathlib import Path

import msgspec
from bench_worker import TASK
from padded_clip import padded_clip
from stack_line import DEADLINE_US, DEVICE, EDGE, unsure

from edge.gateway import verdicts
from edge.gateway.config import GatewayConfig
from edge.gateway.link import Link, client_config
from edge.gateway.outbox import Outbox, OutboxConfig
from edge.gateway.storage import Synchronous
from shared.clock import system_now_us
from shared.heap import settle_heap
from shared.messages import BakeVerdict, LineVerdict
from shared.mqtt import BrokerAddress, MqttClient
from shared.pki.identity import Identity
from shared.seal.local import local_seal
from shared.topics import Line

AT_ONCE = 16  # connections that are made at a time, before the run


class FleetOrder(msgspec.Struct, frozen=True):
    """What one process is to host."""

    port: int
    folder: str
    first: int  # number of the first gateway
    gateways: int
    seconds: float
    bakes_per_s: float  # of each gateway
    escalated: float  # share of the bakes that the cloud is asked about
    clip_bytes: int
    snapshot_bytes: int
    synchronous: Synchronous
    sealed: bool = True


class FleetReport(msgspec.Struct, frozen=True):
    """What came of it."""

    bakes: int
    escalated: int
    finals: int
    late: int  # bakes that began more than a period late: the process did not keep up
    timeouts: int
    baking_s: float  # until the last of them had its verdict published
    cpu_s: float  # of this process, from the start of the baking
    cloud_s: list[float]  # from acceptance to the cloud's verdict applied


CACHE_KB = 64  # of each outbox: two hundred and fifty in a process


class Tally:
    """What all gateways of the process did."""

    def __init__(self) -> None:
        self.bakes = self.escalated = self.late = 0
        self.cloud_s: list[float] = []


async def host(order: FleetOrder) -> FleetReport:
    """Connect all, bake for `seconds`, wait for every verdict."""
    tally = Tally()
    clip, snapshot = padded_clip(order.clip_bytes, 1), bytes(order.snapshot_bytes)
    start, dialling = asyncio.Event(), asyncio.Semaphore(AT_ONCE)
    limits = OutboxConfig(synchronous=order.synchronous, cache_kb=CACHE_KB)
    numbers = range(order.first, order.first + order.gateways)
    outboxes = [Outbox(Path(order.folder) / f"oven-{number}.db", TASK, limits) for number in numbers]
    async with asyncio.TaskGroup() as tasks:
        lines = [
            tasks.create_task(_line(order, number, outbox, clip, snapshot, tally, start, dialling))
            for number, outbox in zip(numbers, outboxes, strict=True)
        ]
        await asyncio.to_thread(sys.stdin.readline)  # the bench says when all processes are up
        settle_heap()  # a collection that goes over all that the gateways hold would stop every one of them
        before_s, started_s = time.process_time(), time.perf_counter()
        start.set()
    cpu_s, baking_s = time.process_time() - before_s, time.perf_counter() - started_s
    for outbox in outboxes:  # not before: closing waits for the disk, and would stop the others
        outbox.close()
    results = [line.result() for line in lines]
    return FleetReport(
        bakes=tally.bakes,
        escalated=tally.escalated,
        finals=sum(finals for finals, _ in results),
        late=tally.late,
        timeouts=sum(timeouts for _, timeouts in results),
        baking_s=baking_s,
        cpu_s=cpu_s,
        cloud_s=tally.cloud_s,
    )


async def _line(
    order: FleetOrder,
    number: int,
    outbox: Outbox,
    clip: bytes,
    snapshot: bytes,
    tally: Tally,
    start: asyncio.Event,
    dialling: asyncio.Semaphore,
) -> tuple[int, int]:
    """One gateway; returns its counts of finals and timeouts."""
    config = GatewayConfig(Line.of("fleet", f"oven-{number}"), TASK, outbox=outbox.config)
    asked: dict[str, float] = {}

    def learned(earlier: LineVerdict, cloud: BakeVerdict) -> None:
        tally.cloud_s.append(time.perf_counter() - asked.pop(earlier.id))

    mqtt = client_config(BrokerAddress("127.0.0.1", order.port), config, DEVICE)
    async with MqttClient(mqtt, patient=True) as client:
        async with dialling:
            await client.wait_connected()
        keys = Path(order.folder) / "keys"
        seal = local_seal(Identity.of("gateway", f"fleet/oven-{number}"), keys) if order.sealed else None
        link = Link(config, outbox, client, device=DEVICE, model="bench", learned=learned, seal=seal)

        async def bake() -> None:
            await start.wait()
            rng, period_s = random.Random(number), 1 / order.bakes_per_s
            due_s = time.perf_counter() + rng.random() * period_s
            for count in range(int(order.seconds * order.bakes_per_s)):
                await asyncio.sleep(due_s - time.perf_counter())
                tally.late += time.perf_counter() - due_s > period_s
                due_s += period_s
                now_us, bake_id = system_now_us(), number << 32 | count
                if rng.random() < order.escalated:
                    verdict = unsure(bake_id, now_us, hashlib.sha256(clip).hexdigest())
                    asked[verdict.id] = time.perf_counter()
                    tally.escalated += 1
                    await link.escalate(verdict, clip, "normal", link.clock.now_us() + DEADLINE_US)
                else:
                    sure = msgspec.structs.replace(EDGE, sure=True)
                    key = bake_id.to_bytes(16, "big")
                    await link.decide(verdicts.from_edge(TASK, key, str(count), sure, now_us, now_us, "sure"))
                tally.bakes += 1
                link.inspected(snapshot)

        await link.serve(bake)
        return link.counters.finals, link.counters.timeouts


if __name__ == "__main__":
    report = asyncio.run(host(msgspec.json.decode(sys.argv[1], type=FleetOrder)))
    print(json.dumps(msgspec.to_builtins(report)))  # noqa: T201
