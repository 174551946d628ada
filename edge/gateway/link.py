"""The gateway's side of the link: outbox, courier and announcer behind one connection, without camera and device.

It takes verdicts of the edge and clips of what the edge is unsure of, and sees to it that each bake's final verdict
is published. `Gateway` puts a camera and a device in front of it; `make bench-link` puts a thousand lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
from collections.abc import Awaitable, Callable, Sequence

from edge.gateway.announcer import Announcer
from edge.gateway.config import GatewayConfig
from edge.gateway.counters import Counters
from edge.gateway.courier import Answered, Courier
from edge.gateway.durability import Durability, on_disk
from edge.gateway.outbox import Outbox
from edge.gateway.troubles import Troubles
from edge.watch.guard import Guard
from shared import __version__
from shared.clock import SteadyClock
from shared.errors import CrustwatchError
from shared.kept_state import KeptState
from shared.messages import BakeVerdict, GatewayStats, GatewayStatus, LineVerdict, ShadowStats, encode
from shared.mqtt import BrokerAddress, MqttClient, MqttConfig, Will
from shared.seal import Seal
from shared.task import Priority
from shared.task_errors import own_error_alone

log = logging.getLogger(__name__)

HOUSE_S = 0.25  # how often housekeeping looks
TIDY_S = 60.0  # how often old decisions are forgotten and the time is kept
SHOW_JUMP_S = 600.0  # how long a set clock stands among the problems
STATES_S = 1.0  # how often the states of guard and budget are written, when they changed
LEAVE_S = 1.0  # for the last writes


def client_config(address: BrokerAddress, config: GatewayConfig, device: str) -> MqttConfig:
    """The MQTT client of a gateway: its will says offline."""
    gone = encode(GatewayStatus("offline", __version__, device))
    return MqttConfig(
        address=address,
        client_id=f"cw-gateway-{config.line.site}-{config.line.gateway}",
        will=Will(config.line.status, gone),
    )


class Link:
    """One outbox and one connection. `device` and `model` are what the gateway says of its classifier.

    Attributes: `clock` tells both times, `troubles` what is wrong, `counters` what has happened.
    """

    def __init__(
        self,
        config: GatewayConfig,
        outbox: Outbox,
        client: MqttClient,
        *,
        device: str,
        model: str,
        guard: Guard | None = None,
        clock: SteadyClock | None = None,
        learned: Callable[[LineVerdict, BakeVerdict], None] | None = None,
        states: Sequence[KeptState] = (),
        seal: Seal | None = None,
        shadow: Callable[[], ShadowStats] | None = None,
        answered: Answered | None = None,
    ) -> None:
        """`states` are kept in their files while the link serves; `answered` is awaited before an answer is applied.

        Without a `seal` nothing is signed and anybody's answers count: for programs told to do so.
        """
        self.counters = Counters()
        self.troubles = Troubles(self._changed)
        self.clock = clock or SteadyClock(outbox.time_mark())
        self._config = config
        self._outbox = outbox
        self._client = client
        self._guard = guard or Guard()
        self._shadow = shadow
        self._states = states
        self._progress = asyncio.Event()  # set when the outbox may have become emptier
        self._durability = Durability(outbox.store, self.troubles)
        self._announcer = Announcer(
            config, outbox, client, device, self.stats, self.troubles, self._durability, self._progress.set, seal
        )
        self._courier = Courier(
            config,
            outbox,
            client,
            model,
            self.counters,
            self.clock,
            self.troubles,
            self._changed,
            learned or (lambda earlier, cloud: None),
            self._durability,
            seal,
            answered,
        )

    def stats(self) -> GatewayStats:
        """The counters as they stand."""
        shadow = None if self._shadow is None else self._shadow()
        return self.counters.stats(self._outbox, self._courier.cloud_link, self._guard, self.troubles.lines(), shadow)

    async def is_announced(self) -> bool:
        """Whether the broker has acknowledged every verdict."""
        return await self._announcer.is_done()

    # What the camera brings.

    async def knows(self, bake_id: bytes) -> bool:
        """Whether a bake of this id was accepted before; it is counted. One whose clip is lost may be brought again."""
        outbox, patiently = self._outbox, self.troubles.patiently
        known = await patiently(outbox.knows, bake_id) and not await patiently(outbox.is_lost, bake_id)
        self.counters.repeated += known
        return known

    async def decide(self, final: LineVerdict) -> None:
        """A bake that the edge decided alone."""
        now_us = self.clock.now_us()
        await self.troubles.patiently(self._outbox.accept_final, self._config.camera, final, now_us)
        self.counters.finals += 1
        await self._durability.reached()

    async def escalate(self, provisional: LineVerdict, clip: bytes, priority: Priority, deadline_us: int) -> None:
        """A bake that the cloud is asked about, until `deadline_us` in steady time.

        When the outbox is full, the edge's verdict on the least valuable bakes is final at once.
        """
        outbox, camera = self._outbox, self._config.camera
        shed, now_us, wall_us = outbox.shed, self.clock.now_us(), self.clock.wall_us()
        ahead = self._courier.send_ahead(provisional, clip, priority, deadline_us)
        accept = outbox.accept_unsure
        await self.troubles.patiently(accept, camera, provisional, clip, priority, deadline_us, now_us, wall_us, ahead)
        self.counters.escalated += 1
        if outbox.shed > shed:
            self.counters.finals += outbox.shed - shed
            words = f"full with {outbox.held_bytes()} bytes of clips: the edge decides the least valuable bakes"
            self.troubles.begin("room", words)
        else:
            self.troubles.end("room")
        self._courier.accepted(deadline_us, ahead)  # on its way while the disk writes
        await self._durability.reached()

    def inspected(self, snapshot: bytes) -> None:
        """A bake has passed: count it and publish its picture (JPEG)."""
        self.counters.bakes += 1
        self._announcer.show(snapshot)
        self._changed()

    async def wait_for_room(self) -> None:
        """Hold the source up while too many bakes wait for the cloud, or too many verdicts for the broker."""
        limit = math.inf if self._config.max_backlog is None else self._config.max_backlog
        while self._outbox.backlog() >= limit or not self._outbox.has_room_for_news():
            if not self._outbox.has_room_for_news():
                words = f"{self._outbox.unpublished()} verdicts wait for the broker: no more bakes are taken in"
                self.troubles.begin("backlog", words)
            self._progress.clear()
            await self._progress.wait()
        self.troubles.end("backlog")

    # What keeps it going.

    async def serve(self, intake: Callable[[], Awaitable[None]]) -> None:
        """Serve until `intake` has ended and every bake has its final verdict published.

        Bakes that an earlier run left in the outbox are carried on with. Raises what `intake` raises.
        """
        connections = asyncio.Event()
        self._client.on_up = connections.set
        self._client.on_down = self._disconnected
        if self._client.connected:
            connections.set()
        await self._courier.subscribe()
        try:
            with own_error_alone():
                async with asyncio.TaskGroup() as tasks:
                    running = [
                        tasks.create_task(work, name=f"gateway {name}")
                        for name, work in (
                            ("introduction", self._introduce(connections)),
                            ("sending", self._courier.send()),
                            ("requests", self._courier.confirm()),
                            ("receiving", self._courier.receive()),
                            ("learning", self._courier.learn()),
                            ("deadlines", self._courier.expire()),
                            ("verdicts", self._announcer.publish_verdicts()),
                            ("figures", self._announcer.publish_figures()),
                            ("housekeeping", self._keep_house()),
                            ("states", self._keep_states()),
                        )
                    ]
                    await intake()
                    while self._outbox.backlog() or not await self.is_announced():
                        self._progress.clear()
                        await self._progress.wait()
                    for task in running:
                        task.cancel()
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """Note what is published, then say goodbye; a full disk only means that some verdicts will come again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S + self._config.settle_s):
                await self._announcer.settle_rest()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self.troubles.patiently(self._outbox.keep_time, self.clock.mark())
                await self._courier.learn_rest()
                await self._write_states()
                await self._durability.leave()
        await self._announcer.take_leave()

    async def _keep_house(self) -> None:
        """For ever: settle what was published, forget old decisions, keep time and watch the wall clock."""
        loop = asyncio.get_running_loop()
        tidied_s, jump_over_s = -math.inf, math.inf
        while True:
            now_s = loop.time()
            await self._announcer.settle(now_s)
            if jump := self.clock.jump_s():
                self.counters.clock_jumps += 1
                jump_over_s = now_s + SHOW_JUMP_S
                self.troubles.begin("clock", f"the wall clock was set by {jump:+.0f} s; deadlines are not moved")
            if now_s > jump_over_s:
                self.troubles.end("clock")
            if now_s - tidied_s >= TIDY_S:
                tidied_s = now_s
                await self.troubles.patiently(self._outbox.forget, self.clock.now_us())
                await self.troubles.patiently(self._outbox.keep_time, self.clock.mark())
            await asyncio.sleep(HOUSE_S)

    async def _keep_states(self) -> None:
        """For ever: write the states that have changed."""
        while True:
            await asyncio.sleep(STATES_S)
            await self._write_states()

    async def _write_states(self) -> None:
        for state in self._states:
            if (data := state.take()) is not None:
                await on_disk(functools.partial(state.write, data))

    async def _introduce(self, connections: asyncio.Event) -> None:
        while True:
            await connections.wait()
            connections.clear()
            await self._courier.reconnected()
            try:
                await self._announcer.introduce()
            except CrustwatchError as error:
                log.warning("%s", error)

    def _disconnected(self, reason: str) -> None:
        self._announcer.disconnected()
        self._courier.disconnected()

    def _changed(self) -> None:
        self._announcer.verdict_waits()
        self._progress.set()
