"""A thin asyncio bridge over paho-mqtt: `async with` owns the connection, acknowledgement is the caller's.

    async with MqttClient(config) as client:
        await client.subscribe("cw/1/rsp/plant/oven-1")
        await client.publish("cw/1/plant/oven-1/status", payload, retain=True)
        async for message in client.messages():
            ...                       # do the work
            client.acknowledge(message)

Each connection is a paho client of its own, so that nothing half-sent of the last one leaks into the next: what was
not acknowledged raises LinkDownError at its publisher, who knows whether to send it again. Everything here runs on
one event loop; only the blocking connect runs in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from shared.mqtt.config import MqttConfig
from shared.mqtt.connection import Confirmation, Connection
from shared.mqtt.errors import LinkDownError, RefusedError
from shared.mqtt.message import Incoming, Properties

log = logging.getLogger(__name__)


class MqttClient:
    """Keeps one connection to the broker alive, renews subscriptions, and bounds what is held in memory."""

    def __init__(self, config: MqttConfig, *, patient: bool = False, rng: random.Random | None = None) -> None:
        """With `patient`, `async with` does not wait for the first connection: it is made like any later one."""
        self.config = config
        self._patient = patient
        self._rng = rng or random.Random()
        self._filters: list[str] = []
        self._incoming: asyncio.Queue[Incoming] = asyncio.Queue()
        self._connection: Connection | None = None
        self._up = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._serial = 0  # of connections
        self.on_up: Callable[[], None] | None = None  # called in the loop after each (re)connection
        self.on_down: Callable[[str], None] | None = None  # called in the loop with the reason

    @property
    def connected(self) -> bool:
        """True while the broker has acknowledged the connection and it has not broken since."""
        return self._up.is_set()

    async def wait_connected(self) -> None:
        """Wait until the link is up."""
        await self._up.wait()

    async def __aenter__(self) -> Self:
        """Connect, raising LinkDownError or RefusedError when that fails (unless patient); losses are repaired."""
        if not self._patient:
            await self._connect()
        self._supervisor = asyncio.create_task(self._supervise(), name=f"mqtt {self.config.client_id}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say goodbye (the will is not sent) and close."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()
        self._up.clear()

    async def subscribe(self, topic_filter: str) -> None:
        """Subscribe at QoS 1: now when connected, and in any case with every later connection. Raises RefusedError."""
        if topic_filter not in self._filters:
            self._filters.append(topic_filter)
        if self._connection is not None and self.connected:
            with contextlib.suppress(LinkDownError):  # it broke meanwhile: the next one subscribes
                await self._connection.subscribe(topic_filter)

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> bool:
        """Publish and, at QoS 1, wait for the acknowledgement.

        Returns False when the broker says that nobody subscribes to the topic (MQTT 5 reason 0x10), else True.
        Raises LinkDownError when the connection is or goes down first, RefusedError when the broker refuses.
        """
        try:
            return await self.send(topic, payload, qos=qos, retain=retain, properties=properties)
        except LinkDownError:
            await asyncio.sleep(0)  # a caller that tries again must not keep the loop from repairing the link
            raise

    def send(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> Confirmation:
        """As `publish`, in two steps: published by this call, acknowledged once what it returns has been awaited."""
        return self._live().send(topic, payload, qos, retain, properties)

    async def messages(self) -> AsyncIterator[Incoming]:
        """Received messages, for ever, across reconnections."""
        while True:
            message = await self._incoming.get()
            self._relieve()
            yield message

    def acknowledge(self, message: Incoming) -> None:
        """Tell the broker that the work on a QoS 1 message is done; a no-op once its connection is gone."""
        if message.ack_key is None:
            return
        serial, packet = message.ack_key
        if self._connection is not None and self._connection.serial == serial:
            self._connection.acknowledge(packet)

    def _live(self) -> Connection:
        if self._connection is None or not self.connected:
            raise LinkDownError(f"no connection to the broker at {self.config.address}")
        return self._connection

    def _receive(self, message: Incoming) -> None:
        self._incoming.put_nowait(message)
        if self._incoming.qsize() >= self.config.incoming_limit and self._connection is not None:
            self._connection.pause_reading()  # TCP pushes back on the broker; nothing is discarded

    def _relieve(self) -> None:
        if self._incoming.qsize() <= self.config.incoming_limit // 2 and self._connection is not None:
            self._connection.resume_reading()

    async def _connect(self) -> None:
        self._serial += 1
        connection = Connection(self.config, self._serial, self._receive, self._up.clear)
        self._connection = connection
        try:
            await connection.open()
            for topic_filter in self._filters:
                await connection.subscribe(topic_filter)
            connection.check()
        except BaseException:
            await connection.close()
            raise
        self._up.set()
        if self.on_up is not None:
            self.on_up()

    async def _supervise(self) -> None:
        failures = 0
        while True:
            if self._connection is not None and failures == 0:
                reason = await self._connection.wait_lost()
                log.warning("connection to %s lost: %s", self.config.address, reason)
                if self.on_down is not None:
                    self.on_down(reason)
                failures = 1
            if failures:
                await asyncio.sleep(self.config.backoff.delay_s(failures, self._rng))
            try:
                await self._connect()
                failures = 0
            except (LinkDownError, RefusedError) as error:
                failures += 1
                log.warning("no connection to %s (attempt %d): %s", self.config.address, failures, error)
