"""Publishes the gateway's state topics: verdicts in order, the last picture, counters, status and discovery."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence

from edge.gateway.config import GatewayConfig
from edge.gateway.discovery import discovery_payload
from edge.gateway.durability import Durability
from edge.gateway.lanes import Batch, Lanes, Publication
from edge.gateway.outbox import Announcement, Outbox
from edge.gateway.troubles import Troubles
from shared import __version__
from shared.errors import CrustwatchError
from shared.messages import GatewayStats, GatewayStatus, encode
from shared.mqtt import Confirmation, LinkDownError, MqttClient, Properties, RefusedError
from shared.seal import Seal

log = logging.getLogger(__name__)

REFUSED_S = 10.0  # verdicts that the broker refuses (access rules, quota) are tried again after this

_OF_JSON = Properties(content_type="application/json")
LEAVE_S = 1.0  # for the last words; a broker that hangs must not hold up the end


class Announcer:
    """Owns what dashboards see.

    A verdict leaves the outbox when the broker has acknowledged both its topics and the link has held for `settle_s`
    since: a broker that is killed loses what it acknowledged last. What was not settled when the link broke is
    published again, byte for byte the same. What the broker refuses waits in the outbox, and the others go on.
    """

    def __init__(
        self,
        config: GatewayConfig,
        outbox: Outbox,
        client: MqttClient,
        device: str,
        stats: Callable[[], GatewayStats],
        troubles: Troubles,
        durability: Durability,
        published: Callable[[], None],
        seal: Seal | None = None,
    ) -> None:
        self._config = config
        self._outbox = outbox
        self._client = client
        self._device = device
        self._stats = stats
        self._troubles = troubles
        self._durability = durability
        self._published = published  # called when a verdict has been acknowledged or settled
        self._seal = seal
        self._link = 0  # number of the present connection
        self._lanes: Lanes | None = None  # of the present connection
        self._unsettled: deque[tuple[float, int]] = deque()  # when which ones were acknowledged, in loop time
        self._last: Announcement | None = None  # the newest acknowledged one ...
        self._last_link = 0  # ... and the connection that it was published on
        self._retry_s = math.inf  # when refused ones are tried again, in loop time
        self._verdicts = asyncio.Event()
        self._figures = asyncio.Event()
        self._snapshot: bytes | None = None  # to be published
        self._shown: bytes | None = None  # the last one

    def verdict_waits(self) -> None:
        """The outbox holds a new announcement."""
        self._verdicts.set()
        self._figures.set()

    def show(self, jpeg: bytes) -> None:
        """The camera's new picture; only the latest is published."""
        self._snapshot = self._shown = jpeg
        self._figures.set()

    async def introduce(self) -> None:
        """Publish status and discovery: after each connection, as a broker may have lost what it retained."""
        line, config = self._config.line, self._config
        status = GatewayStatus("online", __version__, self._device)
        payload = discovery_payload(line, config.camera, config.task, self._device)
        await self._client.publish(line.status, encode(status), retain=True)
        await self._client.publish(line.discovery(config.discovery_prefix), payload, retain=True)
        self._snapshot = self._shown
        self.verdict_waits()

    def disconnected(self) -> None:
        """The broker may have died with what it acknowledged last."""
        self._link += 1
        self._lanes = None
        self._unsettled.clear()
        self._verdicts.set()

    async def is_done(self) -> bool:
        """Whether the broker has acknowledged every verdict."""
        if self._lanes is None:
            return await self._troubles.patiently(self._outbox.next_announcement) is None
        return not self._lanes.has_refused() and await self._troubles.patiently(self._lanes.next) is None

    async def settle_rest(self) -> None:
        """When nothing more is published: wait until the link has outlived the last acknowledgement, or is down.

        What it did not outlive stays in the outbox for the next start.
        """
        loop = asyncio.get_running_loop()
        while self._unsettled and (wait_s := self._unsettled[-1][0] + self._config.settle_s - loop.time()) > 0:
            self._verdicts.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._verdicts.wait()  # set when the link goes down
        await self.settle(loop.time())

    async def settle(self, now_s: float) -> None:
        """Verdicts acknowledged `settle_s` before `now_s`, a time of the loop, are published for good."""
        settled = []
        while self._unsettled and self._unsettled[0][0] + self._config.settle_s <= now_s:
            settled.append(self._unsettled.popleft()[1])
        if settled and self._lanes is not None:
            await self._troubles.patiently(self._lanes.settle, settled)
            self._published()

    async def take_leave(self) -> None:
        """Publish the last counters and `offline`, when the link is up and quick."""
        line, status = self._config.line, GatewayStatus("offline", __version__, self._device)
        with contextlib.suppress(CrustwatchError, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._client.publish(line.stats, encode(self._stats()), retain=True)
                await self._client.publish(line.status, encode(status), retain=True)

    async def publish_verdicts(self) -> None:
        """For ever: publish announcements, live ones before those that an outage has left behind."""
        while True:
            await self._client.wait_connected()
            self._verdicts.clear()
            link = self._link
            if self._lanes is None:
                self._lanes = await self._troubles.patiently(Lanes, self._outbox)
            lanes = self._lanes
            try:
                if lanes.has_refused() and asyncio.get_running_loop().time() >= self._retry_s:
                    self._retry_s = -math.inf  # the next ones at once, unless one of these is refused again
                    refused = await self._troubles.patiently(lanes.refused_batch)
                    await self._publish_batch(refused, lanes, link)
                    continue
                batch = await self._troubles.patiently(lanes.next)
                if batch is not None:
                    await self._durability.reached()
                    await self._publish_batch(batch, lanes, link)
                elif self._last is not None and link != self._last_link:
                    await self._publish_last(self._last, link)
                else:
                    await self._wait(lanes)
            except LinkDownError:
                await asyncio.sleep(0)  # for the loop, which repairs the link
                continue  # again, once it is back

    async def _wait(self, lanes: Lanes) -> None:
        """Until there is a new verdict, the link has gone, or refused ones are to be tried again."""
        timeout_s = self._retry_s - asyncio.get_running_loop().time() if lanes.has_refused() else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._verdicts.wait()

    async def _publish_last(self, last: Announcement, link: int) -> None:
        """Nothing newer: a broker that came back without its data shall know the present verdict."""
        try:
            digest = hashlib.sha256(last.verdict).digest()
            await self._send_sealed(self._config.line.verdict(last.camera), last.verdict, digest, retain=True)
        except RefusedError as error:
            self._troubles.begin("verdicts", str(error))
        self._last_link = link

    async def _publish_batch(self, batch: Batch, lanes: Lanes, link: int) -> None:
        """Publish in order, all before the first acknowledgement; note those up to the first that the link lost.

        Those that the broker refuses are set aside.
        """
        sent = [(waiting, publications, self._send_verdict(publications)) for waiting, publications in batch.waiting]
        for waiting, publications, confirmations in sent:
            error: RefusedError | None = None
            for confirmation in confirmations:
                try:
                    await confirmation
                except RefusedError as refused:
                    error = refused
            if link != self._link:
                return
            if error is not None:
                lanes.refused(waiting.number)
                self._retry_s = asyncio.get_running_loop().time() + REFUSED_S
                self._troubles.begin("verdicts", f"{waiting.camera}: {error}; the others go on")
                continue
            newest = self._last is None or waiting.number >= self._last.number  # not one that was refused before
            if publications and newest and lanes.replaces(waiting.number):
                self._last, self._last_link = waiting, link
            lanes.acknowledged(waiting.number)
            self._unsettled.append((asyncio.get_running_loop().time(), waiting.number))
        if not lanes.has_refused():
            self._troubles.end("verdicts")
        self._published()

    def _send_verdict(self, publications: Sequence[Publication]) -> list[Confirmation]:
        line, sent = self._config.line, []
        for camera, verdict, retain, as_event_alone in publications:
            digest = hashlib.sha256(verdict).digest()
            if not as_event_alone:
                sent.append(self._send_sealed(line.verdict(camera), verdict, digest, retain=retain))
            sent.append(self._send_sealed(line.event(camera), verdict, digest))
        return sent

    def _send_sealed(self, topic: str, payload: bytes, digest: bytes, *, retain: bool = False) -> Confirmation:
        properties = _OF_JSON
        if self._seal is not None:
            properties = self._seal.sign(topic, digest, properties)
        return self._client.send(topic, payload, retain=retain, properties=properties)

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
