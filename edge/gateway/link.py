"""The gateway's side of the link: outbox, courier and announcer behind one connection, without camera and device.

It takes verdicts of the edge and clips of what the edge is unsure of, and sees to it that each bake's final verdict
is published. `Gateway` puts a camera and a device in front of it; `make bench-link` puts a thousand lines.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from edge.gateway.announcer import Announcer
from edge.gateway.config import GatewayConfig
from edge.gateway.counters import Counters
from edge.gateway.courier import Courier
from edge.gateway.outbox import Outbox
from edge.watch.guard import Guard
from shared import __version__
from shared.clock import NowUs, system_now_us
from shared.errors import CrustwatchError
from shared.messages import BakeVerdict, GatewayStats, GatewayStatus, LineVerdict, encode
from shared.mqtt import BrokerAddress, MqttClient, MqttConfig, Will
from shared.task import Priority

log = logging.getLogger(__name__)


def client_config(address: BrokerAddress, config: GatewayConfig, device: str) -> MqttConfig:
    """The MQTT client of a gateway: its will says offline."""
    gone = encode(GatewayStatus("offline", __version__, device))
    return MqttConfig(
        address=address,
        client_id=f"cw-gateway-{config.line.site}-{config.line.gateway}",
        will=Will(config.line.status, gone),
    )


class Link:
    """One outbox and one connection. `device` and `model` are what the gateway says of its classifier."""

    def __init__(
        self,
        config: GatewayConfig,
        outbox: Outbox,
        client: MqttClient,
        *,
        device: str,
        model: str,
        guard: Guard | None = None,
        now_us: NowUs = system_now_us,
        learned: Callable[[LineVerdict, BakeVerdict], None] | None = None,
    ) -> None:
        self.counters = Counters()
        self._config = config
        self._outbox = outbox
        self._client = client
        self._guard = guard or Guard()
        self._now_us = now_us
        self._progress = asyncio.Event()  # set when the outbox may have become emptier
        self._announcer = Announcer(config, outbox, client, device, self.stats, self._progress.set)
        self._courier = Courier(
            config,
            outbox,
            client,
            model,
            self.counters,
            now_us,
            self._changed,
            learned or (lambda earlier, cloud: None),
        )

    def stats(self) -> GatewayStats:
        """The counters as they stand."""
        return self.counters.stats(self._outbox.backlog(), self._courier.cloud_link, self._guard)

    # What the camera brings.

    def decide(self, final: LineVerdict) -> None:
        """A bake that the edge decided alone."""
        self._outbox.accept_final(self._config.camera, final)
        self.counters.finals += 1

    def escalate(self, provisional: LineVerdict, clip: bytes, priority: Priority, deadline_us: int) -> None:
        """A bake that the cloud is asked about; when the outbox is full, the edge's verdict is final at once."""
        camera = self._config.camera
        held = self._outbox.accept_unsure(camera, provisional, clip, priority, deadline_us, self._now_us())
        self.counters.escalated += 1
        self.counters.finals += not held
        self._courier.accepted()

    def inspected(self, snapshot: bytes) -> None:
        """A bake has passed: count it and publish its picture (JPEG)."""
        self.counters.bakes += 1
        self._announcer.show(snapshot)
        self._changed()

    async def wait_for_room(self) -> None:
        """Wait while as many bakes wait for the cloud as the configuration allows: the source is held up."""
        while self._config.max_backlog is not None and self._outbox.backlog() >= self._config.max_backlog:
            self._progress.clear()
            await self._progress.wait()

    # What keeps it going.

    async def serve(self, intake: Callable[[], Awaitable[None]]) -> None:
        """Serve until `intake` has ended and every bake has its final verdict published.

        Bakes that an earlier run left in the outbox are carried on with. Raises what `intake` raises.
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
                await intake()
                while not self._outbox.is_idle():
                    self._progress.clear()
                    await self._progress.wait()
                for task in running:
                    task.cancel()
        except* CrustwatchError as group:
            raise group.exceptions[0] from None
        finally:
            await self._announcer.take_leave()

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
