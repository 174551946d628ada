"""Many gateways at one bake a second each, on one broker: what is sustained, how long verdicts take, what memory holds.

Gateways are hosted by a few processes (`fleet_host.py`), each with its own outbox file and connection. An outsider
counts the finals on the event topics and takes the time from capture to sight; for bakes that the cloud is asked about
it includes the way to the worker and back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
from bench_processes import MemoryRecord, percentile_ms, script
from fleet_host import FleetOrder, FleetReport

from shared.broker import EmbeddedBroker
from shared.mqtt import BrokerAddress, MqttClient, MqttConfig

SAMPLE_S = 5.0


@dataclass(frozen=True)
class FleetFigures:
    """One run."""

    gateways: int
    processes: int
    seconds: float
    bakes_per_s_wanted: float
    bakes_per_s: float
    late: int  # bakes that began more than a period late
    escalated_share: float
    clip_bytes: int
    synchronous: str
    sealed: bool
    missing: int  # bakes without a final verdict on the event topic
    doubled: int
    timeouts: int
    seen_p50_ms: float  # of all bakes: from capture to the final verdict seen outside
    seen_p99_ms: float
    cloud_p50_ms: float  # of escalated ones: from acceptance to the cloud's verdict applied
    cloud_p99_ms: float
    cpu_ms_per_bake: float  # of the gateways' processes
    memory_mb: dict[str, list[float]]  # resident, of each process: at the start, then the most of each minute


def measure(order: FleetOrder, gateways: int, processes: int) -> FleetFigures:
    """Run the fleet; `order` says what each gateway does."""
    with (
        tempfile.TemporaryDirectory(prefix="crustwatch-bench-") as folder,
        EmbeddedBroker("mosquitto") as broker,
        script("bench_worker.py", broker.address.port, f"{folder}/keys" if order.sealed else "-") as worker,
        contextlib.ExitStack() as stack,
    ):
        hosts = []
        for number in range(processes):
            first, last = gateways * number // processes, gateways * (number + 1) // processes
            each = msgspec.structs.replace(
                order, port=broker.address.port, folder=folder, first=first, gateways=last - first
            )
            text = msgspec.json.encode(each).decode()
            host = script("fleet_host.py", text, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            hosts.append(stack.enter_context(host))
        return asyncio.run(_measure(broker, worker, hosts, order, gateways))


async def _measure(
    broker: EmbeddedBroker,
    worker: subprocess.Popen[bytes],
    hosts: list[subprocess.Popen[bytes]],
    order: FleetOrder,
    gateways: int,
) -> FleetFigures:
    assert broker.pid is not None
    pids = {"broker": broker.pid, "worker": worker.pid, "outsider": os.getpid()}
    pids |= {f"gateways-{number}": child.pid for number, child in enumerate(hosts)}
    record = MemoryRecord(pids, min(SAMPLE_S, order.seconds / 6))
    async with _outsider(broker.address) as seen:
        async with asyncio.timeout(600):
            while len(seen.online) < gateways or not seen.workers:
                await asyncio.sleep(0.1)
        for child in hosts:
            assert child.stdin is not None
            child.stdin.write(b"start\n")
            child.stdin.flush()
        keeping = asyncio.create_task(record.keep())
        await asyncio.sleep(order.seconds)
        keeping.cancel()
        texts = await asyncio.gather(*(asyncio.to_thread(_last_line, child) for child in hosts))
        reports = [msgspec.json.decode(text, type=FleetReport) for text in texts]
        bakes = sum(report.bakes for report in reports)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                while len(seen.finals) < bakes:
                    await asyncio.sleep(0.1)
    cloud_s = [seconds for report in reports for seconds in report.cloud_s]
    return FleetFigures(
        gateways=gateways,
        processes=len(hosts),
        seconds=order.seconds,
        bakes_per_s_wanted=gateways * order.bakes_per_s,
        bakes_per_s=round(bakes / max(order.seconds, *(report.baking_s for report in reports), 0.0), 1),
        late=sum(report.late for report in reports),
        escalated_share=order.escalated,
        clip_bytes=order.clip_bytes,
        synchronous=order.synchronous,
        sealed=order.sealed,
        missing=bakes - len(seen.finals),
        doubled=seen.doubled,
        timeouts=sum(report.timeouts for report in reports),
        seen_p50_ms=percentile_ms(seen.took_s, 0.5),
        seen_p99_ms=percentile_ms(seen.took_s, 0.99),
        cloud_p50_ms=percentile_ms(cloud_s, 0.5),
        cloud_p99_ms=percentile_ms(cloud_s, 0.99),
        cpu_ms_per_bake=round(1e3 * sum(report.cpu_s for report in reports) / max(1, bakes), 3),
        memory_mb={name: record.by_minute(name) for name in pids},
    )


def _last_line(child: subprocess.Popen[bytes]) -> bytes:
    assert child.stdout is not None
    lines = child.stdout.read().splitlines()
    return lines[-1] if lines else b"{}"


class Outsider:
    """Reads what the fleet says."""

    def __init__(self) -> None:
        self.online: set[str] = set()
        self.workers = False
        self.finals: dict[str, int] = {}  # hash of the final verdict, by id
        self.doubled = 0
        self.took_s: list[float] = []

    async def read(self, client: MqttClient) -> None:
        """For ever."""
        for topic in ("cw/1/fleet/+/status", "cw/1/worker/+/status", "cw/1/fleet/+/+/event"):
            await client.subscribe(topic)
        async for message in client.messages():
            client.acknowledge(message)
            if message.topic.endswith("/event"):
                self._event(message.payload)
            elif message.topic.startswith("cw/1/worker/"):
                self.workers = b"online" in message.payload
            elif b"online" in message.payload:
                self.online.add(message.topic)

    def _event(self, payload: bytes) -> None:
        said = msgspec.json.decode(payload, type=_Seen)
        if said.state != "final":
            return
        if said.id in self.finals:
            self.doubled += self.finals[said.id] != hash(payload)
            return
        self.finals[said.id] = hash(payload)
        self.took_s.append(time.time() - said.captured_at)


class _Seen(msgspec.Struct):
    id: str
    state: str
    captured_at: float


@contextlib.asynccontextmanager
async def _outsider(address: BrokerAddress) -> AsyncIterator[Outsider]:
    config = MqttConfig(address, "outsider", receive_maximum=1000, incoming_limit=10_000)
    async with MqttClient(config) as client:
        seen = Outsider()
        reading = asyncio.create_task(seen.read(client))
        try:
            yield seen
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
