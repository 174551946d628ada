"""Publishes the gateway's state topics: verdicts in order, the last picture, counters, status and discovery."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from edge.gateway.config import GatewayConfig
from edge.gateway.discovery import discovery_payload
from edge.gateway.outbox import Outbox
from shared import __version__
from shared.errors import CrustwatchError
from shared.messages import GatewayStats, GatewayStatus, encode
from shared.mqtt import LinkDownError, MqttClient, RefusedError

log = logging.getLogger(__name__)

REFUSED_S = 10.0  # when the broker refuses a verdict (access rules, quota), the next attempt

LEAVE_S = 1.0  # for the last words; a broker that hangs must not hold up the end


class Announcer:
    """Owns what dashboards see. A verdict leaves the outbox when the broker has acknowledged both its topics."""

    def __init__(
        self,
        config: GatewayConfig,
        outbox: Outbox,
        client: MqttClient,
        device: str,
        stats: Callable[[], GatewayStats],
        published: Callable[[], None],
    ) -> None:
        self._config = config
        self._outbox = outbox
        self._client = client
        self._device = device
        self._stats = stats
        self._published = published  # called when a verdict has left the outbox
        self._verdicts = asyncio.Event()
        self._figures = asyncio.Event()
        self._snapshot: bytes | None = None

    def verdict_waits(self) -> None:
        """The outbox holds a new announcement."""
        self._verdicts.set()
        self._figures.set()

    def show(self, jpeg: bytes) -> None:
        """The camera's new picture; only the latest is published."""
        self._snapshot = jpeg
        self._figures.set()

    async def introduce(self) -> None:
        """Publish status and discovery: after each connection, as a broker may have lost what it retained."""
        line, config = self._config.line, self._config
        status = GatewayStatus("online", __version__, self._device)
        payload = discovery_payload(line, config.camera, config.task, self._device)
        await self._client.publish(line.status, encode(status), retain=True)
        await self._client.publish(line.discovery(config.discovery_prefix), payload, retain=True)
        self.verdict_waits()

    async def take_leave(self) -> None:
        """Publish the last counters and `offline`, when the link is up and quick."""
        line, status = self._config.line, GatewayStatus("offline", __version__, self._device)
        with contextlib.suppress(CrustwatchError, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._client.publish(line.stats, encode(self._stats()), retain=True)
                await self._client.publish(line.status, encode(status), retain=True)

    async def publish_verdicts(self) -> None:
        """For ever: publish announcements, oldest first."""
        while True:
            await self._client.wait_connected()
            waiting = self._outbox.next_announcement()
            if waiting is None:
                self._verdicts.clear()
                await self._verdicts.wait()
                continue
            line = self._config.line
            try:
                await self._client.publish(line.verdict(waiting.camera), waiting.verdict, retain=True)
                await self._client.publish(line.event(waiting.camera), waiting.verdict)
            except LinkDownError:
                continue  # again, once the link is back
            except RefusedError as error:
                log.warning("%s", error)
                await asyncio.sleep(REFUSED_S)
                continue
            self._outbox.announced(waiting.number)
            self._published()

    async def publish_figures(self) -> None:
        """For ever: publish counters and the picture when they changed, no more often than configured."""
        while True:
            await self._figures.wait()
            await self._client.wait_connected()
            self._figures.clear()
            snapshot, self._snapshot = self._snapshot, None
            try:
                await self._client.publish(self._config.line.stats, encode(self._stats()), retain=True)
                if snapshot is not None:
                    await self._client.publish(self._config.line.snapshot(self._config.camera), snapshot, retain=True)
            except LinkDownError:
                if self._snapshot is None:  # none newer came meanwhile
                    self._snapshot = snapshot
                self._figures.set()
            except RefusedError as error:
                log.warning("%s", error)
            await asyncio.sleep(self._config.stats_interval_s)
