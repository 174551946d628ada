"""Full disks, unplugged boards, set clocks, sources that start over: no bake is lost, and the state topic says so."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from line_scene import LINE, QUICK, TASK, Outsider, RuleEngine, bakes, gateway, outsider, worker
from numpy.typing import NDArray

from edge.devices import Device
from edge.gateway.config import GatewayConfig
from edge.gateway.link import client_config
from edge.gateway.outbox import Outbox, OutboxConfig
from edge.gateway.service import Gateway
from shared.broker import EmbeddedBroker
from shared.clock import SteadyClock, system_now_us
from shared.errors import DeviceError
from shared.messages import Classification, GatewayStats, decode
from shared.mqtt import MqttClient


def stats(seen: Outsider) -> list[GatewayStats]:
    return [decode(message.payload, GatewayStats, "") for message in seen.on(LINE.stats)]


def has_problem(seen: Outsider, subject: str) -> bool:
    return any(line.startswith(f"{subject}: ") for figures in stats(seen) for line in figures.problems)


def test_a_full_disk_holds_bakes_up_and_says_so(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            outsider(broker) as seen,
            worker(broker, RuleEngine()),
            gateway(broker, device, tmp_path) as (line, outbox),
        ):
            store = outbox._store
            (pages,) = store.execute("PRAGMA page_count").fetchone()
            store.execute(f"PRAGMA max_page_count = {pages}")
            running = asyncio.create_task(line.run(bakes(6)))
            await seen.until(lambda: has_problem(seen, "outbox"))
            assert not running.done()
            store.execute("PRAGMA max_page_count = 1000000")
            final = await running
            assert (final.bakes, final.finals, final.problems) == (6, 6, ())
            await seen.until(lambda: len({v.bake for v in seen.verdicts("final")}) == 6)

    asyncio.run(scenario())


class UnpluggedDevice:
    """The device behind a cable that is out until `plugged`."""

    takes_scene = False

    def __init__(self, device: Device) -> None:
        self.name, self.kind, self.hello = device.name, device.kind, device.hello
        self._device = device
        self.plugged = False

    def classify(self, image: NDArray[np.uint8]) -> Classification:
        if not self.plugged:
            raise DeviceError("/dev/ttyACM0: the serial port is gone (unplugged?)")
        return self._device.classify(image)


def test_an_unplugged_board_stands_in_the_state_topic(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    async def scenario() -> None:
        board: Any = UnpluggedDevice(device)
        async with (
            outsider(broker) as seen,
            worker(broker, RuleEngine()),
            gateway(broker, board, tmp_path, device_backoff=QUICK) as (line, _),
        ):
            running = asyncio.create_task(line.run(bakes(2)))
            await seen.until(lambda: has_problem(seen, "device"))
            assert "unplugged?" in " ".join(stats(seen)[-1].problems)
            board.plugged = True
            final = await running
            assert (final.finals, final.problems) == (2, ())

    asyncio.run(scenario())


@pytest.mark.parametrize("hours", [5, -5])
def test_a_clock_set_by_hours_moves_no_deadline(
    broker: EmbeddedBroker, device: Device, tmp_path: Path, hours: int
) -> None:
    async def scenario() -> None:
        jump_us = [0]
        config = GatewayConfig(
            LINE, TASK, deadline_s=1.5, stats_interval_s=0.01, outbox=OutboxConfig(synchronous="NORMAL")
        )
        clock = SteadyClock(wall=lambda: system_now_us() + jump_us[0])
        async with outsider(broker) as seen:
            with contextlib.closing(Outbox(tmp_path / "outbox.db", TASK, config.outbox)) as outbox:
                async with MqttClient(client_config(broker.address, config, device.kind)) as client:
                    line = Gateway(config, device, outbox, client, clock=clock)
                    running = asyncio.create_task(line.run(bakes(3)))
                    await seen.until(lambda: len(seen.verdicts("provisional")) == 3)
                    jump_us[0] = hours * 3_600_000_000
                    final = await running
            assert (final.timeouts, final.clock_jumps) == (3, 1)
            assert [line.split(":")[0] for line in final.problems] == ["clock"]
            await seen.until(lambda: len(seen.verdicts("final")) == 3)
            times_s = [message.received_s for message in seen.on(LINE.verdict("belt"))]  # provisional, then final
            assert times_s[3] - times_s[2] > 0.7, "the jump ended the deadlines"
            late = [v.decided_at - v.captured_at for v in seen.verdicts("final")]
            assert all(abs(seconds - 3600 * hours) < 60 for seconds in late), "verdicts are dated by the wall clock"

    asyncio.run(scenario())


def test_a_source_that_starts_over_is_not_counted_twice(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with outsider(broker) as seen, worker(broker, RuleEngine()):
            for count in (3, 5):
                async with gateway(broker, device, tmp_path, session="monday") as (line, _):
                    last = await line.run(bakes(count))
            assert (last.bakes, last.repeated) == (2, 3)
            async with gateway(broker, device, tmp_path, session="tuesday") as (line, _):
                assert (await line.run(bakes(1))).bakes == 1
            await seen.until(lambda: len(seen.verdicts("final")) >= 6)
            assert len({v.id for v in seen.verdicts("final")}) == len(seen.verdicts("final")) == 6

    asyncio.run(scenario())


def test_a_lost_clip_that_is_decided_while_its_bake_is_taken_again_ends_nothing(
    broker: EmbeddedBroker, device: Device, tmp_path: Path
) -> None:
    """Its source brings it again, and its deadline passes while the device looks at it: it has one final."""

    async def scenario() -> None:
        async with (
            outsider(broker) as seen,
            gateway(broker, device, tmp_path, session="monday", deadline_s=1.5) as (line, outbox),
        ):
            running = asyncio.create_task(line.run(bakes(1)))
            while not outbox.backlog():
                await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            place, known = outbox._store.execute("SELECT place, id FROM pending").fetchone()
            outbox._store.clips._held.clear()
            outbox._store.clips.file.write(place, b"rot")
            assert outbox.is_lost(known)
            looks = line._classified

            async def decided_meanwhile(*arguments: Any) -> Classification:
                outbox.expire(2**62)
                return await looks(*arguments)

            line._classified = decided_meanwhile  # type: ignore[method-assign]
            final = await line.run(bakes(2))
            assert (final.repeated, outbox.backlog()) == (1, 0)
            await seen.until(lambda: len({v.bake for v in seen.verdicts("final")}) == 2)
            assert len({v.id for v in seen.verdicts("final")}) == 2

    asyncio.run(scenario())


def test_a_broker_that_lost_its_data_learns_the_present_verdict(
    broker: EmbeddedBroker, device: Device, tmp_path: Path
) -> None:
    async def scenario() -> None:
        idle = asyncio.Event()

        async def source() -> Any:
            async for item in bakes(1):
                yield item
            await idle.wait()

        async with worker(broker, RuleEngine()), gateway(broker, device, tmp_path, settle_s=0.1) as (line, outbox):
            running = asyncio.create_task(line.run(source()))
            while outbox.unpublished() or not line.counters.finals:
                await asyncio.sleep(0.01)
            broker.kill()
            with EmbeddedBroker(broker.kind, broker.address.port) as empty:
                async with outsider(empty) as seen:
                    await seen.until(lambda: seen.verdicts("final") and seen.on(LINE.snapshot("belt")))
                    assert len(seen.verdicts("final")) == 1
                    idle.set()
                    assert (await running).finals == 1

    asyncio.run(scenario())


def test_verdicts_that_nobody_takes_hold_the_source_up(broker: EmbeddedBroker, device: Device, tmp_path: Path) -> None:
    """The outbox is bounded by number too: while the broker is away, no more bakes are taken in than it may hold."""

    async def scenario() -> None:
        few = OutboxConfig(max_announcements=4, synchronous="NORMAL")
        broker.kill()
        async with gateway(broker, device, tmp_path, outbox=few, deadline_s=0.3, settle_s=0.1) as (line, outbox):
            running = asyncio.create_task(line.run(bakes(12)))
            while not any(problem.startswith("backlog: ") for problem in line.stats().problems):
                await asyncio.sleep(0.01)
            while outbox.backlog():  # deadlines decide what was taken in
                await asyncio.sleep(0.01)
            assert line.counters.bakes <= 5
            assert outbox.unpublished() <= 2 * line.counters.bakes
            with EmbeddedBroker(broker.kind, broker.address.port) as back:
                async with outsider(back) as seen:
                    final = await running
                    assert (final.bakes, final.finals, final.problems) == (12, 12, ())
                    await seen.until(lambda: seen.verdicts("final"))

    asyncio.run(scenario())


def test_a_broker_killed_right_after_its_last_acknowledgement_is_told_again(
    broker: EmbeddedBroker, device: Device, tmp_path: Path
) -> None:
    """At the end too, a verdict leaves the outbox only when the link has outlived its acknowledgement."""

    async def scenario() -> None:
        async with worker(broker, RuleEngine()), gateway(broker, device, tmp_path, settle_s=60.0) as (line, outbox):
            running = asyncio.create_task(line.run(bakes(2)))
            while line.counters.finals < 2 or not await line._link._announcer.is_done():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            broker.kill()
            await running
            assert outbox.unpublished() >= 2

    asyncio.run(scenario())
