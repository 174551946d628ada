"""The end of a long outage: a full outbox drains in order of priority while the belt goes on.

The outbox is filled without a link, with times of acceptance spread over the outage; then the link comes up, and live
bakes arrive at a steady rate until the backlog is gone. Order, completeness and latencies are taken from the verdicts
that come back and from what an outsider reads on the event topic.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from bench_processes import percentile_ms, resident_mb, script
from bench_worker import TASK
from padded_clip import padded_clip
from stack_line import StackLine, filled, stack_line

from edge.gateway.config import GatewayConfig
from shared.broker import EmbeddedBroker
from shared.mqtt import BrokerAddress, MqttClient, MqttConfig
from shared.task import Priority
from shared.topics import Line

MIX: dict[Priority, float] = {"urgent": 0.05, "high": 0.15, "normal": 0.6, "low": 0.2}
LINE = Line.of("bench", "recovery")


@dataclass(frozen=True)
class RecoveryFigures:
    """One recovery."""

    queued: int
    outage_s: int
    clip_bytes: int
    fill_s: float  # to accept and keep them all
    drain_s: float  # from the link to the last verdict of the backlog
    bakes_per_s: float
    out_of_order: int  # backlog verdicts behind a less urgent one by more places than requests are in flight
    missing: int  # bakes without a final verdict on the event topic
    doubled: int  # bakes with two different ones
    live_bakes: int  # during the drain
    live_p50_ms: float  # from acceptance to the cloud's verdict applied
    live_p99_ms: float
    live_p99_after_ms: float  # the same once the backlog is gone
    live_announced_p99_ms: float  # from acceptance to the provisional verdict seen outside, during the drain
    gateway_mb_before: float
    gateway_mb_peak: float


def measure(queued: int, outage_s: int, live_per_s: float, clip_bytes: int) -> RecoveryFigures:
    """Fill, connect, drain."""
    with tempfile.TemporaryDirectory(prefix="crustwatch-bench-") as folder, EmbeddedBroker("mosquitto") as broker:
        return asyncio.run(_measure(broker, Path(folder), queued, outage_s, live_per_s, clip_bytes))


async def _measure(
    broker: EmbeddedBroker, folder: Path, queued: int, outage_s: int, live_per_s: float, clip_bytes: int
) -> RecoveryFigures:

    clip, rng = padded_clip(clip_bytes, 1), random.Random(1)
    priorities = rng.choices(list(MIX), list(MIX.values()), k=queued)
    started_s = time.perf_counter()
    ranks = filled(folder / "recovery.db", priorities, outage_s, clip)
    fill_s = time.perf_counter() - started_s
    before_mb = peak_mb = resident_mb(os.getpid())
    started_s = time.perf_counter()
    with script("bench_worker.py", broker.address.port, folder / "keys"):
        async with _witness(broker.address) as witness, stack_line(broker.address, folder, "recovery") as line:
            started_s = time.perf_counter()
            rounds = asyncio.create_task(_live(line, clip, live_per_s))
            while sum(bake in ranks for bake in line.order) < queued:
                await asyncio.sleep(0.25)
                peak_mb = max(peak_mb, resident_mb(os.getpid()))
                if len(line.order) > queued * 3:
                    break
            drain_s = time.perf_counter() - started_s
            during = len(line.took_s)
            await asyncio.sleep(max(3.0, 40 / live_per_s))
            rounds.cancel()
            await asyncio.gather(rounds, return_exceptions=True)
            bakes = set(ranks) | set(line.live_ids)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(120):
                    while len(witness.finals) < len(bakes) or line.waiting():
                        await asyncio.sleep(0.1)
    drained = [ranks[bake] for bake in line.order if bake in ranks]
    announced = [witness.provisional_s[bake] for bake in line.live_ids[:during] if bake in witness.provisional_s]
    return RecoveryFigures(
        queued=queued,
        outage_s=outage_s,
        clip_bytes=len(clip),
        fill_s=round(fill_s, 1),
        drain_s=round(drain_s, 1),
        bakes_per_s=round(queued / drain_s, 1),
        out_of_order=late_places(drained, GatewayConfig(LINE, TASK).outbox.in_flight),
        missing=len(bakes - witness.finals.keys()),
        doubled=sum(len(texts) > 1 for texts in witness.finals.values()),
        live_bakes=during,
        live_p50_ms=percentile_ms(line.took_s[:during], 0.5),
        live_p99_ms=percentile_ms(line.took_s[:during], 0.99),
        live_p99_after_ms=percentile_ms(line.took_s[during:], 0.99),
        live_announced_p99_ms=percentile_ms(announced, 0.99),
        gateway_mb_before=round(before_mb, 1),
        gateway_mb_peak=round(peak_mb, 1),
    )


def late_places(ranks: list[tuple[int, int]], in_flight: int) -> int:
    """How many stand more than `in_flight` places behind where sorting would put them."""
    places = {rank: place for place, rank in enumerate(sorted(ranks))}
    return sum(place - places[rank] > in_flight for place, rank in enumerate(ranks))


async def _live(line: StackLine, clip: bytes, per_s: float) -> None:
    """For ever: a bake each 1/`per_s` seconds."""
    clip_sha256 = hashlib.sha256(clip).hexdigest()
    while True:
        await line.ask(clip, clip_sha256)
        await asyncio.sleep(1 / per_s)


class Witness:
    """What an outsider sees on the event topic."""

    def __init__(self) -> None:
        self.finals: dict[str, set[bytes]] = {}
        self.provisional_s: dict[str, float] = {}  # from capture to sight

    async def watch(self, client: MqttClient) -> None:
        """For ever: note what comes."""
        await client.subscribe(LINE.event("belt"))
        async for message in client.messages():
            client.acknowledge(message)
            said = msgspec.json.decode(message.payload, type=_Seen)
            if said.state == "final":
                self.finals.setdefault(said.id, set()).add(message.payload)
            elif said.state == "provisional":
                self.provisional_s[said.id] = time.time() - said.captured_at


class _Seen(msgspec.Struct):
    id: str
    state: str
    captured_at: float


@contextlib.asynccontextmanager
async def _witness(address: BrokerAddress) -> AsyncIterator[Witness]:
    async with MqttClient(MqttConfig(address, "witness", incoming_limit=4096)) as client:
        witness = Witness()
        watching = asyncio.create_task(witness.watch(client))
        try:
            yield witness
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
