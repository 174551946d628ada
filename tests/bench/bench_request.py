"""Request to response, and throughput at saturation: our stack beside raw paho, in turns on the same broker."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from bench_processes import percentile_ms, script
from padded_clip import padded_clip
from raw_paho import RawRequester
from stack_line import StackLine, stack_line

from edge.gateway.storage import Synchronous
from shared.broker import EmbeddedBroker
from shared.heap import settle_heap

CLIP_BYTES = 300_000
TURN = 5  # requests of one side before the next one's turn
WINDOWS = (4, 8, 16, 32)  # requests under way at a time; each side is given the best of them
BATCH = 400  # requests of one measurement of throughput
APART_S = 0.012  # between requests, for what is still being announced, acknowledged or put on the disk


@dataclass(frozen=True)
class RequestFigures:
    """Ratios are ours over raw paho."""

    clip_bytes: int
    requests: int  # of each side
    raw_p50_ms: float
    raw_p99_ms: float
    raw_same_properties_p50_ms: float  # raw paho with as many user properties as our requests carry
    ours_p50_ms: float  # sealed, from handing the bake to the outbox to its verdict committed there
    ours_p99_ms: float
    commit_p50_ms: float  # of these: until the outbox has committed the bake
    durable_p50_ms: float  # until bake and clip, or its verdict, are on the disk; the request travels meanwhile
    p50_ratio: float
    p99_ratio: float
    raw_per_s: float  # its best window
    raw_window: int
    ours_per_s: float  # its best window
    ours_window: int
    ours_announced_per_s: float  # in that window, until the broker has acknowledged all that is said of the bakes, too
    throughput_ratio: float


def measure(requests: int, batches: int, sealed: bool = True, synchronous: Synchronous = "FULL") -> RequestFigures:
    """Both figures; needs mosquitto, whose nodelay setting both sides have the benefit of.

    Without seals or fsync it is an experiment that shows what they cost.
    """
    with (
        tempfile.TemporaryDirectory(prefix="crustwatch-bench-") as folder,
        EmbeddedBroker("mosquitto") as broker,
        script("raw_paho.py", broker.address.port),
        script("bench_worker.py", broker.address.port, f"{folder}/keys" if sealed else "-"),
    ):
        line = stack_line(broker.address, Path(folder), sealed=sealed, synchronous=synchronous)
        return asyncio.run(_measure(broker, line, requests, batches))


async def _measure(
    broker: EmbeddedBroker, opening: AbstractAsyncContextManager[StackLine], requests: int, batches: int
) -> RequestFigures:
    clip = padded_clip(CLIP_BYTES)
    raw = await asyncio.to_thread(RawRequester, broker.address.port)
    raw_s: list[float] = []
    same_s: list[float] = []
    ours_s: list[float] = []
    raw_per_s: dict[int, list[float]] = {window: [] for window in WINDOWS}
    ours_per_s: dict[int, list[float]] = {window: [] for window in WINDOWS}
    announced_per_s: dict[int, list[float]] = {window: [] for window in WINDOWS}
    try:
        async with opening as line:
            user = line.request_properties(clip).user

            async def turn(into: list[float], one: Callable[[], Awaitable[float]]) -> None:
                for _ in range(TURN):
                    await asyncio.sleep(APART_S)
                    into.append(await one())

            async def plain() -> float:
                raw.user = {}
                return await asyncio.to_thread(raw.request, clip)

            async def same() -> float:
                raw.user = user
                return await asyncio.to_thread(raw.request, clip)

            async def ours() -> float:
                return await line.request(clip)

            sides = ((raw_s, plain), (same_s, same), (ours_s, ours))
            for into, one in 4 * sides:
                await turn(into, one)
            settle_heap()
            for into, _ in sides:
                into.clear()
            warm = len(line.durable_s)
            while len(ours_s) < requests:
                for into, one in sides:
                    await turn(into, one)
            commit_s, durable_s = line.commit_s[warm:], line.durable_s[warm:]
            raw.user = {}
            for _ in range(batches):
                for window in WINDOWS:
                    raw_per_s[window].append(BATCH / await asyncio.to_thread(raw.saturate, clip, BATCH, window))
                    await asyncio.sleep(APART_S)
                    took_s, announced_s = await line.saturate(clip, BATCH, window)
                    ours_per_s[window].append(BATCH / took_s)
                    announced_per_s[window].append(BATCH / announced_s)
                    await asyncio.sleep(APART_S)
    finally:
        await asyncio.to_thread(raw.close)
    raw_window, raw_best = best(raw_per_s)
    ours_window, ours_best = best(ours_per_s)
    raw_ms = [percentile_ms(raw_s, share) for share in (0.5, 0.99)]
    ours_ms = [percentile_ms(ours_s, share) for share in (0.5, 0.99)]
    return RequestFigures(
        clip_bytes=len(clip),
        requests=len(ours_s),
        raw_p50_ms=raw_ms[0],
        raw_p99_ms=raw_ms[1],
        raw_same_properties_p50_ms=percentile_ms(same_s, 0.5),
        ours_p50_ms=ours_ms[0],
        ours_p99_ms=ours_ms[1],
        commit_p50_ms=percentile_ms(commit_s, 0.5),
        durable_p50_ms=percentile_ms(durable_s, 0.5),
        p50_ratio=round(ours_ms[0] / raw_ms[0], 2),
        p99_ratio=round(ours_ms[1] / raw_ms[1], 2),
        raw_per_s=round(raw_best, 1),
        raw_window=raw_window,
        ours_per_s=round(ours_best, 1),
        ours_window=ours_window,
        ours_announced_per_s=round(statistics.median(announced_per_s[ours_window]), 1),
        throughput_ratio=round(ours_best / raw_best, 2),
    )


def best(per_s: dict[int, list[float]]) -> tuple[int, float]:
    """The window with the highest median, and that."""
    window = max(per_s, key=lambda each: statistics.median(per_s[each]))
    return window, statistics.median(per_s[window])
