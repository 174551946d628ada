"""The gateway: takes bakes from a source, has them classified, and hands what is found to its link."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.budget.spending import Budget
from edge.devices import Device
from edge.gateway import verdicts
from edge.gateway.config import GatewayConfig
from edge.gateway.link import Link
from edge.gateway.outbox import KnownBakeError, Outbox
from edge.gateway.sources import Skipped, SourceBake, SourceItem
from edge.loop.collector import Collector
from edge.loop.store import Store
from edge.shadow.shadow import Shadow
from edge.watch.guard import Guard
from shared.clip import ClipFrame, encode_clip
from shared.clock import SteadyClock
from shared.errors import DeviceError
from shared.images import encode_jpeg, encode_snapshot
from shared.messages import BakeVerdict, Classification, GatewayStats, LineVerdict
from shared.mqtt import MqttClient
from shared.resize import square_resize
from shared.retention import NO_LIMITS, Limits
from shared.seal import Seal

log = logging.getLogger(__name__)


def bake_id_of(config: GatewayConfig, bake: SourceBake) -> bytes:
    """The 16-byte id of a bake: fresh, or within a session always the same for the same name."""
    if config.session is None:
        return secrets.token_bytes(16)
    whence = "\0".join((config.line.prefix, config.camera, config.session, bake.name))
    return hashlib.sha256(whence.encode()).digest()[:16]


class Gateway:
    """One camera, one device, one outbox, one link. `device` is used from a single thread of its own."""

    def __init__(
        self,
        config: GatewayConfig,
        device: Device,
        outbox: Outbox,
        client: MqttClient,
        *,
        clock: SteadyClock | None = None,
        skipped: Callable[[Skipped], None] | None = None,
        guard: Guard | None = None,
        budget: Budget | None = None,
        seal: Seal | None = None,
        store: Store | None = None,
        store_limits: Limits = NO_LIMITS,
        shadow: Shadow | None = None,
    ) -> None:
        """What is escalated goes to the `store`, with the cloud's answers to it, under `store_limits`.

        A `shadow` sees every frame, and is finished when the source has ended.

        Without a `seal` nothing is signed and anybody's answers count: for programs told to do so.
        """
        self._config = config
        self._device = device
        self._rng = random.Random()
        self._skipped = skipped or (lambda item: log.warning("skipped %s: %s", item.name, item.reason))
        self._guard = guard or Guard()
        self._budget = budget
        self._shadow = shadow
        self._link = Link(
            config,
            outbox,
            client,
            device=device.kind,
            model=device.hello().model_sha256,
            guard=self._guard,
            clock=clock,
            learned=self._learned,
            states=[self._guard.kept] if budget is None else [self._guard.kept, budget.kept],
            seal=seal,
            shadow=None if shadow is None else shadow.stats,
            answered=None if store is None else self._answered,
        )
        self._collector: Collector | None = None
        if store is not None:
            sha256, troubles = device.hello().model_sha256, self._link.troubles
            self._collector = Collector(store, config.line, config.camera, sha256, troubles, store_limits)
        self.counters = self._link.counters
        self._clock = self._link.clock

    def stats(self) -> GatewayStats:
        """The counters as they stand."""
        return self._link.stats()

    async def run(self, source: AsyncIterator[SourceItem]) -> GatewayStats:
        """Serve until the source has ended and every bake has its final verdict published.

        Bakes that an earlier run left in the outbox are carried on with. Raises what the device or source raises.
        """
        try:
            await self._link.serve(lambda: self._take_in(source))
        finally:
            if self._shadow is not None:
                await self._shadow.finish()
            if self._collector is not None:
                await self._collector.close()
        return self.stats()

    async def _answered(self, bake_id: bytes, cloud: BakeVerdict, clip_sha256: str, wall_us: int) -> None:
        if self._collector is not None:
            await self._collector.answered(bake_id, cloud, clip_sha256, wall_us)

    def _learned(self, earlier: LineVerdict, cloud: BakeVerdict) -> None:
        if self._shadow is not None:
            self._shadow.answered(earlier.id, None if cloud.cannot_tell else cloud.doneness)
        if self._budget is not None and cloud.provenance is not None:
            self._budget.learned(cloud.provenance.seconds, self._clock.now_us())
        if not cloud.cannot_tell and cloud.doneness is not None:
            self._guard.learned(earlier.edge, earlier.reason, cloud.doneness)

    async def _take_in(self, source: AsyncIterator[SourceItem]) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="device") as device_thread:
            while True:
                await self._link.wait_for_room()
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    if self._shadow is not None:
                        await self._shadow.caught_up()
                    return
                if isinstance(item, Skipped):
                    self.counters.skipped += 1
                    self._skipped(item)
                    continue
                bake_id = bake_id_of(self._config, item)
                if self._config.session is not None and await self._link.knows(bake_id):
                    continue
                try:
                    await self._inspect(bake_id, item, device_thread)
                except KnownBakeError:
                    if self._config.session is None:
                        raise
                    self.counters.repeated += 1  # its clip was lost, and it has had its final verdict meanwhile

    async def _inspect(self, bake_id: bytes, bake: SourceBake, device_thread: ThreadPoolExecutor) -> None:
        config, clock = self._config, self._clock
        taken_us, captured_us = clock.now_us(), clock.wall_us()
        key = bake.frames[bake.key]  # uint8 [H, W, 3]
        seen = square_resize(key, config.task.input.size_px)  # uint8 [S, S, 3]
        edge = await self._classified(key if self._device.takes_scene else seen, device_thread)
        ruling = self._guard.rule(edge, seen)
        now_us, wall_us = clock.now_us(), clock.wall_us()
        certified = None if self._guard.certificate == "none" else self._guard.certificate == "valid"
        verdict = verdicts.from_edge(
            config.task, bake_id, bake.name, edge, captured_us, wall_us, ruling.decision, certified
        )
        self.counters.audited += ruling.decision == "audit"
        self.counters.unfamiliar += ruling.decision == "policy"
        self.counters.withdrawn += ruling.decision == "withdrawn"
        decision: str = ruling.decision
        if decision == "sure":
            await self._link.decide(verdict)
        else:
            clip = await asyncio.to_thread(pack, bake, captured_us, config.jpeg_quality)
            clip_sha256 = await asyncio.to_thread(lambda: hashlib.sha256(clip).hexdigest())
            verdict = msgspec.structs.replace(verdict, clip_sha256=clip_sha256)
            if self._collector is not None:
                share = self._guard.sure_share
                await self._collector.keep(verdict, ruling.decision, clip, bake.key, seen, share)
            if self._budget is not None and not self._budget.admits(edge, len(clip), now_us):
                await self._link.decide(verdicts.edge_final(verdict, "budget", wall_us))
                self.counters.over_budget += 1
                decision = "budget"
            else:
                priority = "high" if edge.label in config.task.critical else config.task.escalation.priority
                await self._link.escalate(verdict, clip, priority, taken_us + config.deadline_us)
        if self._shadow is not None:
            self._shadow.show(verdict, decision, seen)
        await self._shown(key)

    async def _shown(self, key: NDArray[np.uint8]) -> None:
        """Count the bake and publish its key frame uint8 [H, W, 3]."""
        self._link.inspected(await asyncio.to_thread(encode_snapshot, key, self._config.snapshot_bytes))

    async def _classified(self, seen: NDArray[np.uint8], device_thread: ThreadPoolExecutor) -> Classification:
        """The device's word on a frame uint8 [H, W, 3]; while the device fails, the bake waits for it."""
        loop, config, failures = asyncio.get_running_loop(), self._config, 0
        while True:
            try:
                found = await loop.run_in_executor(device_thread, self._device.classify, seen)
            except DeviceError as error:
                failures += 1
                if failures == config.device_attempts:
                    raise
                self._link.troubles.begin("device", f"{error}; the bake waits")
            else:
                self._link.troubles.end("device")
                return found
            await asyncio.sleep(config.device_backoff.delay_s(failures, self._rng))


def pack(bake: SourceBake, taken_us: int, quality: int) -> bytes:
    """The clip of a bake whose last frame was taken at `taken_us`."""
    first_us = taken_us - bake.offsets_us[-1]
    times_us = [first_us + offset for offset in bake.offsets_us]
    jpegs = [encode_jpeg(frame, quality) for frame in bake.frames]
    return encode_clip([ClipFrame(jpeg, time_us) for jpeg, time_us in zip(jpegs, times_us, strict=True)])
