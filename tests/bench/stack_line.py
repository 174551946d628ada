"""One line of our stack for the bench: the gateway's link with its durable outbox, without camera and device."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from bench_worker import TASK

from edge.gateway import verdicts
from edge.gateway.config import GatewayConfig
from edge.gateway.link import Link, client_config
from edge.gateway.outbox import Applied, Outbox, OutboxConfig
from edge.gateway.storage import Synchronous
from shared.clock import system_now_us
from shared.escalation import Request
from shared.messages import Classification, LineVerdict
from shared.mqtt import BrokerAddress, MqttClient, Properties
from shared.pki.identity import Identity
from shared.seal import Seal
from shared.seal.local import local_seal
from shared.task import PRIORITIES, Priority
from shared.topics import Line

DEVICE = "bench: no device"
EDGE = Classification("golden", (0, 0, 9, 0, 0), 0.6, False, "bench: always unsure", 0.0, "measured")
DEADLINE_US = 3_600_000_000
ASKED_FROM = 1 << 64  # ids of bakes asked for by a StackLine; those of a filled outbox are below


def unsure(number: int, now_us: int, clip_sha256: str) -> LineVerdict:
    """The edge's verdict on a bake."""
    verdict = verdicts.from_edge(TASK, number.to_bytes(16, "big"), str(number), EDGE, now_us, now_us, "unsure")
    return msgspec.structs.replace(verdict, clip_sha256=clip_sha256)


def filled(path: Path, priorities: Sequence[Priority], outage_s: int, clip: bytes) -> dict[str, tuple[int, int]]:
    """An outbox that took a bake of each of `priorities`, evenly over an outage that ends now.

    Returns the place of each in the order in which they are to be answered: index of its priority, deadline.
    """
    places: dict[str, tuple[int, int]] = {}
    clip_sha256 = hashlib.sha256(clip).hexdigest()
    first_us = system_now_us() - outage_s * 1_000_000
    with contextlib.closing(Outbox(path, TASK, OutboxConfig())) as outbox:
        for number, priority in enumerate(priorities):
            taken_us = first_us + number * outage_s * 1_000_000 // len(priorities)
            verdict = unsure(number + 1, taken_us, clip_sha256)
            if not outbox.accept_unsure("belt", verdict, clip, priority, taken_us + DEADLINE_US, taken_us):
                raise AssertionError("the outbox is too small for this outage")
            places[verdict.id] = (PRIORITIES.index(priority), taken_us + DEADLINE_US)
            if number % 64 == 0:
                outbox.sync()
    return places


class TimedOutbox(Outbox):
    """An outbox that tells when it has committed a bake, and its verdict."""

    committed: Callable[[str], None]
    decided: Callable[[str], None]

    def accept_unsure(self, camera: str, provisional: LineVerdict, *rest: Any) -> bool:
        """As `Outbox.accept_unsure`."""
        held = super().accept_unsure(camera, provisional, *rest)
        self.committed(provisional.id)
        return held

    def apply(self, bake_id: bytes, *rest: Any) -> Applied:
        """As `Outbox.apply`."""
        applied = super().apply(bake_id, *rest)
        if applied.outcome == "final":
            self.decided(bake_id.hex())
        return applied


class StackLine:
    """Escalates, and knows when each verdict was applied."""

    def __init__(self, config: GatewayConfig, outbox: TimedOutbox, client: MqttClient, seal: Seal | None) -> None:
        self.link = Link(config, outbox, client, device=DEVICE, model="bench", seal=seal)
        self._config, self._seal = config, seal
        outbox.committed, outbox.decided = self._committed, self._decided
        self._asked: dict[str, float] = {}
        self._count = 0
        self.commit_s: list[float] = []  # until the outbox has committed each bake
        self.durable_s: list[float] = []  # until each bake was on the disk; it travels meanwhile
        self.took_s: list[float] = []  # from handing the bake over to its verdict committed
        self.applied = asyncio.Event()
        self.order: list[str] = []  # ids as their verdicts came
        self.live_ids: list[str] = []  # of those asked for here, beside `took_s`

    def request_properties(self, clip: bytes) -> Properties:
        """What a request of this line carries."""
        line, expiry_s = self._config.line, DEADLINE_US // 1_000_000
        return Request(bytes(16), 1, TASK.name, "normal", line, clip, "bench", expiry_s).sealed(self._seal)

    def waiting(self) -> bool:
        """Whether some bake asked for here has no verdict yet."""
        return bool(self._asked)

    def _committed(self, bake: str) -> None:
        self.commit_s.append(time.perf_counter() - self._asked[bake])

    def _decided(self, bake: str) -> None:
        self.order.append(bake)
        asked_s = self._asked.pop(bake, None)
        if asked_s is not None:  # else it waited in the outbox before this process began
            self.took_s.append(time.perf_counter() - asked_s)
            self.live_ids.append(bake)
        self.applied.set()

    async def ask(self, clip: bytes, clip_sha256: str, priority: Priority = "normal") -> None:
        """Hand over a bake that the edge is unsure of."""
        self._count += 1
        verdict = unsure(ASKED_FROM + self._count, system_now_us(), clip_sha256)
        started_s = time.perf_counter()
        self._asked[verdict.id] = started_s
        await self.link.escalate(verdict, clip, priority, self.link.clock.now_us() + DEADLINE_US)
        self.durable_s.append(time.perf_counter() - started_s)

    async def request(self, clip: bytes) -> float:
        """Seconds from handing a bake over to its verdict committed."""
        self.applied.clear()
        await self.ask(
            clip, hashlib.sha256(clip).hexdigest()
        )  # returns when the bake is on the disk; its verdict may have come before
        while self._asked:
            self.applied.clear()
            await self.applied.wait()
        return self.took_s[-1]

    async def saturate(self, clip: bytes, count: int, window: int) -> tuple[float, float]:
        """Seconds for `count` bakes of which up to `window` wait for their verdict at any time.

        Until the last verdict is committed, and until the broker has acknowledged what is said of all.
        """
        clip_sha256 = hashlib.sha256(clip).hexdigest()  # as in `request`: clips are packed and hashed before
        before, started_s = len(self.took_s), time.perf_counter()
        async with asyncio.TaskGroup() as asking:  # as many cameras would, each waiting for the disk on its own
            for _ in range(count):
                while len(self._asked) >= window:
                    self.applied.clear()
                    await self.applied.wait()
                asking.create_task(self.ask(clip, clip_sha256))
                await asyncio.sleep(0)
            while len(self.took_s) < before + count:
                self.applied.clear()
                await self.applied.wait()
        took_s = time.perf_counter() - started_s
        while not await self.link.is_announced():  # nothing of this is to be left for the other side's turn
            await asyncio.sleep(0.001)
        return took_s, time.perf_counter() - started_s


@contextlib.asynccontextmanager
async def stack_line(
    address: BrokerAddress,
    folder: Path,
    name: str = "bench",
    *,
    sealed: bool = True,
    synchronous: Synchronous = "FULL",
) -> AsyncIterator[StackLine]:
    """A line on `address` whose outbox is in `folder`, with a gateway's default settings, once a worker is online."""
    config = GatewayConfig(Line.of("bench", name), TASK, outbox=OutboxConfig(synchronous=synchronous))
    seal = local_seal(Identity.of("gateway", f"bench/{name}"), folder / "keys") if sealed else None
    end = asyncio.Event()

    async def until_end() -> None:
        await end.wait()

    with contextlib.closing(TimedOutbox(folder / f"{name}.db", TASK, config.outbox)) as outbox:
        async with MqttClient(client_config(address, config, DEVICE)) as client:
            line = StackLine(config, outbox, client, seal)
            serving = asyncio.create_task(line.link.serve(until_end))
            while not line.link.stats().cloud_link:
                await asyncio.sleep(0.01)
            yield line
            end.set()
            await serving
