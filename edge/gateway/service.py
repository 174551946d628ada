"""The gateway's program: takes bakes from a source, has them classified, and runs courier and announcer."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from edge.budget.spending import Budget
from edge.devices import Device
from edge.gateway import verdicts
from edge.gateway.announcer import Announcer
from edge.gateway.config import GatewayConfig
from edge.gateway.counters import Counters
from edge.gateway.courier import Courier
from edge.gateway.outbox import Outbox
from edge.gateway.sources import Skipped, SourceBake, SourceItem
from edge.watch.guard import Guard
from shared import __version__
from shared.clip import ClipFrame, encode_clip
from shared.clock import NowUs, system_now_us
from shared.errors import CrustwatchError, DeviceError
from shared.images import encode_jpeg, encode_snapshot
from shared.messages import BakeVerdict, Classification, GatewayStats, GatewayStatus, LineVerdict, encode
from shared.mqtt import BrokerAddress, MqttClient, MqttConfig, Will
from shared.resize import square_resize

log = logging.getLogger(__name__)


def client_config(address: BrokerAddress, config: GatewayConfig, device: str) -> MqttConfig:
    """The MQTT client of a gateway: its will says offline."""
    gone = encode(GatewayStatus("offline", __version__, device))
    return MqttConfig(
        address=address,
        client_id=f"cw-gateway-{config.line.site}-{config.line.gateway}",
        will=Will(config.line.status, gone),
    )


def new_id() -> bytes:
    """A fresh 16-byte id of a bake."""
    return secrets.token_bytes(16)


class Gateway:
    """One camera, one device, one outbox, one link. `device` is used from a single thread of its own."""

    def __init__(
        self,
        config: GatewayConfig,
        device: Device,
        outbox: Outbox,
        client: MqttClient,
        *,
        now_us: NowUs = system_now_us,
        make_id: Callable[[], bytes] = new_id,
        skipped: Callable[[Skipped], None] | None = None,
        guard: Guard | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._config = config
        self._device = device
        self._outbox = outbox
        self._client = client
        self._now_us = now_us
        self._make_id = make_id
        self._rng = random.Random()
        self._skipped = skipped or (lambda item: log.warning("skipped %s: %s", item.name, item.reason))
        self.counters = Counters()
        self._guard = guard or Guard()
        self._budget = budget
        self._progress = asyncio.Event()  # set when the outbox may have become emptier
        info = device.hello()
        self._announcer = Announcer(config, outbox, client, device.kind, self.stats, self._progress.set)
        self._courier = Courier(
            config, outbox, client, info.model_sha256, self.counters, now_us, self._changed, self._learned
        )

    def stats(self) -> GatewayStats:
        """The counters as they stand."""
        return self.counters.stats(self._outbox.backlog(), self._courier.cloud_link, self._guard)

    async def run(self, source: AsyncIterator[SourceItem]) -> GatewayStats:
        """Serve until the source has ended and every bake has its final verdict published.

        Bakes that an earlier run left in the outbox are carried on with. Raises what the device or source raises.
        """
        connections = asyncio.Event()
        self._client.on_up = connections.set
        self._client.on_down = lambda reason: self._courier.disconnected()
        if self._client.connected:
            connections.set()
        await self._courier.subscribe()
        self._outbox.forget(self._now_us())
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(work, name=f"gateway {name}")
                    for name, work in (
                        ("introduction", self._introduce(connections)),
                        ("sending", self._courier.send()),
                        ("receiving", self._courier.receive()),
                        ("deadlines", self._courier.expire()),
                        ("verdicts", self._announcer.publish_verdicts()),
                        ("figures", self._announcer.publish_figures()),
                    )
                ]
                await self._take_in(source)
                while not self._outbox.is_idle():
                    self._progress.clear()
                    await self._progress.wait()
                for task in running:
                    task.cancel()
        except* CrustwatchError as group:
            raise group.exceptions[0] from None
        finally:
            await self._announcer.take_leave()
        return self.stats()

    async def _introduce(self, connections: asyncio.Event) -> None:
        while True:
            await connections.wait()
            connections.clear()
            self._courier.reconnected()
            try:
                await self._announcer.introduce()
            except CrustwatchError as error:
                log.warning("%s", error)

    def _changed(self) -> None:
        self._announcer.verdict_waits()
        self._progress.set()

    def _learned(self, earlier: LineVerdict, cloud: BakeVerdict) -> None:
        if self._budget is not None and cloud.provenance is not None:
            self._budget.learned(cloud.provenance.seconds, self._now_us())
        if not cloud.cannot_tell and cloud.doneness is not None:
            self._guard.learned(earlier.edge, earlier.reason, cloud.doneness)

    async def _take_in(self, source: AsyncIterator[SourceItem]) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="device") as device_thread:
            while True:
                await self._wait_for_room()
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    return
                if isinstance(item, Skipped):
                    self.counters.skipped += 1
                    self._skipped(item)
                else:
                    await self._inspect(item, device_thread)

    async def _wait_for_room(self) -> None:
        while self._config.max_backlog is not None and self._outbox.backlog() >= self._config.max_backlog:
            self._progress.clear()
            await self._progress.wait()

    async def _inspect(self, bake: SourceBake, device_thread: ThreadPoolExecutor) -> None:
        config = self._config
        taken_us = self._now_us()
        key = bake.frames[bake.key]  # uint8 [H, W, 3]
        seen = square_resize(key, config.task.input.size_px)  # uint8 [S, S, 3]
        edge = await self._classified(key if self._device.takes_scene else seen, device_thread)
        ruling = self._guard.rule(edge, seen)
        now_us = self._now_us()
        certified = None if self._guard.certificate == "none" else self._guard.certificate == "valid"
        verdict = verdicts.from_edge(
            config.task, self._make_id(), bake.name, edge, taken_us, now_us, ruling.decision, certified
        )
        self.counters.audited += ruling.decision == "audit"
        self.counters.unfamiliar += ruling.decision == "policy"
        if ruling.decision == "sure":
            self._outbox.accept_final(config.camera, verdict)
            self.counters.finals += 1
        else:
            clip = await asyncio.to_thread(pack, bake, taken_us, config.jpeg_quality)
            if self._budget is not None and not self._budget.admits(edge, len(clip), now_us):
                self._outbox.accept_final(config.camera, verdicts.edge_final(verdict, "budget", now_us))
                self.counters.finals += 1
                self.counters.over_budget += 1
                await self._shown(key)
                return
            priority = "high" if edge.label in config.task.critical else config.task.escalation.priority
            deadline_us = taken_us + config.deadline_us
            held = self._outbox.accept_unsure(config.camera, verdict, clip, priority, deadline_us, self._now_us())
            self.counters.escalated += 1
            self.counters.finals += not held
            self._courier.accepted()
        await self._shown(key)

    async def _shown(self, key: NDArray[np.uint8]) -> None:
        """Count the bake and publish its key frame uint8 [H, W, 3]."""
        self.counters.bakes += 1
        self._announcer.show(await asyncio.to_thread(encode_snapshot, key, self._config.snapshot_bytes))
        self._changed()

    async def _classified(self, seen: NDArray[np.uint8], device_thread: ThreadPoolExecutor) -> Classification:
        """The device's word on a frame uint8 [H, W, 3]; while the device fails, the bake waits for it."""
        loop, config, failures = asyncio.get_running_loop(), self._config, 0
        while True:
            try:
                return await loop.run_in_executor(device_thread, self._device.classify, seen)
            except DeviceError as error:
                failures += 1
                if failures == config.device_attempts:
                    raise
                log.warning("the device failed (attempt %d), the bake waits: %s", failures, error)
            await asyncio.sleep(config.device_backoff.delay_s(failures, self._rng))


def pack(bake: SourceBake, taken_us: int, quality: int) -> bytes:
    """The clip of a bake whose last frame was taken at `taken_us`."""
    first_us = taken_us - bake.offsets_us[-1]
    times_us = [first_us + offset for offset in bake.offsets_us]
    jpegs = [encode_jpeg(frame, quality) for frame in bake.frames]
    return encode_clip([ClipFrame(jpeg, time_us) for jpeg, time_us in zip(jpegs, times_us, strict=True)])
