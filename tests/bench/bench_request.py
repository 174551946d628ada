"""Request to response, and throughput at saturation: our stack beside raw paho, in turns on the same broker."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench_processes import percentile_ms, script
from padded_clip import padded_clip
from raw_paho import RawRequester
from stack_line import stack_line

from shared.broker import EmbeddedBroker

CLIP_BYTES = 300_000
TURN = 10  # requests of one side before the other's turn
WINDOWS = (4, 8, 16, 32)  # requests under way at a time; raw paho is given the best of them
BATCH = 80  # requests of one measurement of throughput
PAUSE_S = 0.02  # between the turns, for what is still being announced or acknowledged


@dataclass(frozen=True)
class RequestFigures:
    """Ratios are ours over raw paho."""

    clip_bytes: int
    requests: int  # of each side
    raw_p50_ms: float
    raw_p99_ms: float
    ours_p50_ms: float  # sealed, from the outbox's commit, when the courier takes the bake, to its verdict applied
    ours_p99_ms: float
    commit_p50_ms: float  # before that: handing the bake to the outbox until it would survive kill -9
    durable_p50_ms: float  # until it is on the disk, while the request is on its way
    p50_ratio: float
    p99_ratio: float
    raw_per_s: float  # its best window
    raw_window: int
    ours_per_s: float
    throughput_ratio: float


def measure(requests: int, batches: int) -> RequestFigures:
    """Both figures; needs mosquitto, whose nodelay setting both sides have the benefit of."""
    with (
        tempfile.TemporaryDirectory(prefix="crustwatch-bench-") as folder,
        EmbeddedBroker("mosquitto") as broker,
        script("raw_paho.py", broker.address.port),
        script("bench_worker.py", broker.address.port, f"{folder}/keys"),
    ):
        return asyncio.run(_measure(broker, Path(folder), requests, batches))


async def _measure(broker: EmbeddedBroker, folder: Path, requests: int, batches: int) -> RequestFigures:
    clip = padded_clip(CLIP_BYTES)
    raw = await asyncio.to_thread(RawRequester, broker.address.port)
    raw_s: list[float] = []
    ours_s: list[float] = []
    raw_per_s: dict[int, list[float]] = {window: [] for window in WINDOWS}
    ours_per_s: list[float] = []
    try:
        async with stack_line(broker.address, folder) as line:
            for _ in range(TURN):
                await asyncio.to_thread(raw.request, clip)
                await line.request(clip)
            warm = len(line.durable_s)
            while len(raw_s) < requests:
                raw_s += [await asyncio.to_thread(raw.request, clip) for _ in range(TURN)]
                await asyncio.sleep(PAUSE_S)
                ours_s += [await line.request(clip) for _ in range(TURN)]
                await asyncio.sleep(PAUSE_S)
            commit_s, durable_s = line.commit_s[warm:], line.durable_s[warm:]
            for _ in range(batches):
                for window in WINDOWS:
                    raw_per_s[window].append(BATCH / await asyncio.to_thread(raw.saturate, clip, BATCH, window))
                    await asyncio.sleep(PAUSE_S)
                    ours_per_s.append(BATCH / await line.saturate(clip, BATCH, max(WINDOWS)))
                    await asyncio.sleep(PAUSE_S)
    finally:
        await asyncio.to_thread(raw.close)
    window = max(WINDOWS, key=lambda each: statistics.median(raw_per_s[each]))
    best, ours = statistics.median(raw_per_s[window]), statistics.median(ours_per_s)
    raw_ms = [percentile_ms(raw_s, share) for share in (0.5, 0.99)]
    ours_ms = [percentile_ms(ours_s, share) for share in (0.5, 0.99)]
    return RequestFigures(
        clip_bytes=len(clip),
        requests=len(ours_s),
        raw_p50_ms=raw_ms[0],
        raw_p99_ms=raw_ms[1],
        ours_p50_ms=ours_ms[0],
        ours_p99_ms=ours_ms[1],
        commit_p50_ms=percentile_ms(commit_s, 0.5),
        durable_p50_ms=percentile_ms(durable_s, 0.5),
        p50_ratio=round(ours_ms[0] / raw_ms[0], 2),
        p99_ratio=round(ours_ms[1] / raw_ms[1], 2),
        raw_per_s=round(best, 1),
        raw_window=window,
        ours_per_s=round(ours, 1),
        throughput_ratio=round(ours / best, 2),
    )
