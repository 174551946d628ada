"""A cloud that is too slow: every hop holds the one before it up, and nothing grows but the bounded outbox."""

from __future__ import annotations

import asyncio
from pathlib import Path

from line_scene import RuleEngine, bakes, gateway, outsider, worker

from edge.devices import Device
from edge.gateway.outbox import OutboxConfig
from shared.broker import EmbeddedBroker

BAKES = 60


def test_a_stuck_worker_holds_requests_back_in_the_outbox(
    broker: EmbeddedBroker, device: Device, tmp_path: Path
) -> None:
    async def scenario() -> None:
        engine = RuleEngine()
        engine.may_answer.clear()
        patient = OutboxConfig(retry_s=60.0, synchronous="NORMAL")  # no request is sent twice within this test
        at_gateway = gateway(broker, device, tmp_path, outbox=patient)
        async with outsider(broker) as seen, worker(broker, engine), at_gateway as (line, outbox):

            async def worker_known() -> None:
                """A worker that is first heard of has everything sent again that is in flight."""
                while not line.stats().cloud_link:
                    await asyncio.sleep(0.01)

            running = asyncio.create_task(line.run(bakes(BAKES, pause=worker_known)))

            def sent() -> int:
                return sum(message.topic.startswith("cw/1/req/") for message in seen.messages)

            await seen.until(lambda: outbox.backlog() == BAKES and sent() >= patient.in_flight and engine.calls)
            await asyncio.sleep(0.5)  # whatever would leave, has left
            assert sent() == patient.in_flight, "more requests than slots are outside of the outbox"
            assert engine.calls == 1, "the engine is asked about one bake at a time"
            engine.may_answer.set()
            stats = await running
            assert stats.finals == BAKES
            await seen.until(lambda: sent() >= BAKES)
            assert sent() == BAKES

    asyncio.run(scenario())


def test_a_full_outbox_decides_at_once_and_says_so(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    async def scenario() -> None:
        small = OutboxConfig(retry_s=60.0, synchronous="NORMAL", max_bytes=100_000)
        async with gateway(broker, device, tmp_path, outbox=small, deadline_s=3600.0) as (line, outbox):
            held: list[int] = []

            async def look() -> None:
                held.append(outbox.held_bytes())

            running = asyncio.create_task(line.run(bakes(BAKES, pause=look)))
            while line.counters.bakes < BAKES:  # none of them reaches its deadline
                await asyncio.sleep(0.01)
            assert 50_000 < max(held) <= small.max_bytes
            assert line.counters.finals == outbox.shed == BAKES - outbox.backlog()
            assert 0 < outbox.shed < BAKES
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
