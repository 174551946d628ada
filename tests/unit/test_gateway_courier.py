"""The courier: what it hands over to the broker, and what it does not."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edge.gateway import verdicts
from edge.gateway.config import GatewayConfig
from edge.gateway.counters import Counters
from edge.gateway.courier import MAX_WORKERS, Courier
from edge.gateway.durability import Durability
from edge.gateway.link import Link
from edge.gateway.outbox import Outbox
from edge.gateway.troubles import Troubles
from shared.clock import SteadyClock
from shared.messages import BakeVerdict, Classification, Response, WorkerStatus, encode
from shared.mqtt import Confirmation, Incoming, Properties
from shared.task import load_task
from shared.topics import Line

TASK = load_task("pizza")
EDGE = Classification("golden", (0, 0, 9, 0, 0), 0.6, False, "unsure", 1.0, "emulated")
DEADLINE_US = 1_000_000


class SlowClient:
    """A broker that takes two seconds for each message, on the clock of the test."""

    connected = True

    def __init__(self) -> None:
        self.now_us = 0
        self.sent: list[bytes | None] = []

    async def wait_connected(self) -> None:
        pass

    def send(self, topic: str, payload: bytes, *, properties: Any) -> Confirmation:
        self.sent.append(properties.correlation)
        self.now_us += 2_000_000
        return Confirmation(topic)


def test_a_request_that_expired_while_others_were_handed_over_is_not_sent(tmp_path: Path) -> None:
    client = SlowClient()

    def nothing(*_: object) -> None:
        pass

    async def scenario(outbox: Outbox) -> None:
        for number in range(3):
            verdict = verdicts.from_edge(TASK, number.to_bytes(16, "big"), str(number), EDGE, 0, 0, "unsure")
            outbox.accept_unsure("belt", verdict, b"clip", "normal", DEADLINE_US, 0)
        clock = SteadyClock(wall=lambda: client.now_us, boot=lambda: client.now_us, boot_name="")
        config = GatewayConfig(Line.of("plant", "oven-1"), TASK)
        troubles = Troubles(nothing)
        durability = Durability(outbox.store, troubles)
        courier = Courier(config, outbox, client, "model", Counters(), clock, troubles, nothing, nothing, durability)  # type: ignore[arg-type]
        sending = asyncio.create_task(courier.send())
        await asyncio.sleep(0)  # nothing in there waits before everything due is handed over
        sending.cancel()

    with contextlib.closing(Outbox(tmp_path / "outbox.db", TASK)) as outbox:
        asyncio.run(scenario(outbox))
    assert client.sent == [bytes(16)]


class AnsweringClient(SlowClient):
    """Brings one answer."""

    def __init__(self, answer: Incoming) -> None:
        super().__init__()
        self.answer = answer

    async def messages(self) -> AsyncIterator[Incoming]:
        yield self.answer

    def acknowledge(self, message: Incoming) -> None:
        pass


class ManyWorkers(SlowClient):
    """A broker that invents workers."""

    async def messages(self) -> AsyncIterator[Incoming]:
        online = encode(WorkerStatus("online", "1", "model", 0, "pizza"))
        for number in range(MAX_WORKERS + 500):
            yield Incoming(f"cw/1/worker/w-{number}/status", online, True, Properties())

    def acknowledge(self, message: Incoming) -> None:
        pass


def test_a_broker_that_invents_workers_fills_no_memory(tmp_path: Path) -> None:
    def nothing(*_: object) -> None:
        pass

    async def scenario(outbox: Outbox) -> int:
        clock, troubles = SteadyClock(wall=lambda: 0, boot=lambda: 0, boot_name=""), Troubles(nothing)
        config = GatewayConfig(Line.of("plant", "oven-1"), TASK)
        durability = Durability(outbox.store, troubles)
        courier = Courier(
            config,
            outbox,
            ManyWorkers(),  # type: ignore[arg-type]
            "model",
            Counters(),
            clock,
            troubles,
            nothing,
            nothing,
            durability,
        )
        await courier.receive()
        return len(courier._workers)

    with contextlib.closing(Outbox(tmp_path / "outbox.db", TASK)) as outbox:
        assert asyncio.run(scenario(outbox)) == MAX_WORKERS


def test_an_answer_is_learned_from_once_it_has_reached_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut before that lets the next start apply it again: the audit would count it twice."""
    config = GatewayConfig(Line.of("plant", "oven-1"), TASK)
    bake_id = bytes(16)
    answer = encode(Response(bake_id.hex(), 1, "w-1", BakeVerdict("dark", 0.9, False, "")))
    client = AnsweringClient(Incoming(config.line.response, answer, False, Properties()))
    order: list[str] = []
    fdatasync = os.fdatasync

    def sync(file: int) -> None:
        order.append("disk")
        fdatasync(file)

    async def scenario(outbox: Outbox) -> None:
        verdict = verdicts.from_edge(TASK, bake_id, "0", EDGE, 0, 0, "unsure")
        outbox.accept_unsure("belt", verdict, b"clip", "normal", DEADLINE_US, 0)
        outbox.sync()
        monkeypatch.setattr(os, "fdatasync", sync)
        clock = SteadyClock(wall=lambda: 0, boot=lambda: 0, boot_name="")
        troubles = Troubles(lambda: None)
        courier = Courier(
            config,
            outbox,
            client,  # type: ignore[arg-type]
            "model",
            Counters(),
            clock,
            troubles,
            lambda: None,
            lambda earlier, cloud: order.append(f"learned {cloud.doneness}"),
            Durability(outbox.store, troubles),
        )
        await courier.receive()
        assert order == []
        await courier.learn_rest()
        await courier.learn_rest()

    with contextlib.closing(Outbox(tmp_path / "outbox.db", TASK)) as outbox:
        asyncio.run(scenario(outbox))
    assert order == ["disk", "learned dark"]


class AwayClient:
    """No broker is there."""

    connected = False


def test_a_bake_is_accepted_once_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source may forget what it has handed over."""
    config, order = GatewayConfig(Line.of("plant", "oven-1"), TASK), []

    def sync(file: int) -> None:
        order.append(Path(os.readlink(f"/proc/self/fd/{file}")).name)

    async def scenario(outbox: Outbox) -> None:
        link = Link(config, outbox, AwayClient(), device="emulated", model="model")  # type: ignore[arg-type]
        monkeypatch.setattr(os, "fdatasync", sync)
        await link.escalate(verdicts.from_edge(TASK, bytes(16), "0", EDGE, 0, 0, "unsure"), b"clip", "normal", 10**15)
        assert order == ["outbox.db-clips", "outbox.db-wal"]
        await link.decide(verdicts.from_edge(TASK, bytes([1] * 16), "1", EDGE, 0, 0, "sure"))
        assert order[2:] == ["outbox.db-wal"]

    with contextlib.closing(Outbox(tmp_path / "outbox.db", TASK)) as outbox:
        asyncio.run(scenario(outbox))
