"""The announcer: a verdict that the broker refuses does not keep the others."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from edge.gateway import announcer, verdicts
from edge.gateway.announcer import Announcer
from edge.gateway.config import GatewayConfig
from edge.gateway.durability import Durability
from edge.gateway.outbox import Outbox, OutboxConfig
from edge.gateway.troubles import Troubles
from shared.messages import Classification
from shared.mqtt import Confirmation
from shared.task import load_task
from shared.topics import Line

TASK = load_task("pizza")
LINE = Line.of("plant", "oven-1")
EDGE = Classification("golden", (0, 0, 9, 0, 0), 0.6, True, "sure", 1.0, "emulated")


class Guarded:
    """A broker whose access rules forbid some topics."""

    def __init__(self, forbidden: set[str]) -> None:
        self.forbidden = forbidden
        self.taken: list[str] = []

    async def wait_connected(self) -> None:
        pass

    def send(self, topic: str, payload: bytes, **_: Any) -> Confirmation:
        confirmation = Confirmation(topic, known=False)
        confirmation.settle(0x87 if topic in self.forbidden else 0)  # not authorised (2.4)
        if topic not in self.forbidden:
            self.taken.append(topic)
        return confirmation


def test_a_topic_that_is_refused_is_named_and_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer, "REFUSED_S", 0.05)
    config = GatewayConfig(LINE, TASK, settle_s=0.0, outbox=OutboxConfig(synchronous="NORMAL"))
    client: Any = Guarded({LINE.event("old")})

    async def until(done: Any) -> None:
        async with asyncio.timeout(20):
            while not done():
                await asyncio.sleep(0.01)

    async def scenario(outbox: Outbox) -> None:
        for number, camera in enumerate(("old", "belt", "old", "belt")):
            outbox.accept_final(camera, verdicts.from_edge(TASK, bytes([number] * 16), "b", EDGE, 0, 0, "sure"), 0)
        troubles = Troubles(lambda: None)
        durability = Durability(outbox.store, troubles)
        stats: Any = None
        own = Announcer(config, outbox, client, "emulated", stats, troubles, durability, lambda: None)
        publishing = asyncio.create_task(own.publish_verdicts())
        await until(lambda: client.taken.count(LINE.event("belt")) == 2)
        await own.settle(asyncio.get_running_loop().time())
        assert outbox.unpublished() == 2
        assert not await own.is_done()
        assert troubles.lines() == (
            f"verdicts: old: the broker refuses a message to {LINE.event('old')}: reason 0x87; the others go on",
        )
        client.forbidden.clear()
        await until(lambda: client.taken.count(LINE.event("old")) == 2)
        await until(lambda: not troubles.lines())
        await own.settle_rest()
        assert outbox.unpublished() == 0
        assert await own.is_done()
        assert client.taken.count(LINE.event("belt")) == 2
        publishing.cancel()

    with contextlib.closing(Outbox(tmp_path / "outbox.db", TASK, config.outbox)) as outbox:
        asyncio.run(scenario(outbox))


def test_a_verdict_is_published_once_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut must not take back what consumers know."""
    config, client = GatewayConfig(LINE, TASK), Guarded(set())
    fdatasync = os.fdatasync

    def sync(file: int) -> None:
        client.taken.append("disk")
        fdatasync(file)

    async def scenario(outbox: Outbox) -> None:
        monkeypatch.setattr(os, "fdatasync", sync)
        outbox.accept_final("belt", verdicts.from_edge(TASK, bytes(16), "b", EDGE, 0, 0, "sure"), 0)
        troubles = Troubles(lambda: None)
        stats: Any = None
        broker: Any = client
        durability = Durability(outbox.store, troubles)
        own = Announcer(config, outbox, broker, "emulated", stats, troubles, durability, lambda: None)
        publishing = asyncio.create_task(own.publish_verdicts())
        async with asyncio.timeout(20):
            while LINE.event("belt") not in client.taken:
                await asyncio.sleep(0.01)
        publishing.cancel()

    with contextlib.closing(Outbox(tmp_path / "outbox.db", TASK)) as outbox:
        asyncio.run(scenario(outbox))
    assert client.taken[0] == "disk"
