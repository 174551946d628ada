"""The courier: what it hands over to the broker, and what it does not."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from edge.gateway import verdicts
from edge.gateway.config import GatewayConfig
from edge.gateway.counters import Counters
from edge.gateway.courier import Courier
from edge.gateway.outbox import Outbox
from edge.gateway.troubles import Troubles
from shared.clock import SteadyClock
from shared.messages import Classification
from shared.task import load_task
from shared.topics import Line

TASK = load_task("pizza")
EDGE = Classification("golden", (0, 0, 9, 0, 0), 0.6, False, "unsure", 1.0, "emulated")
DEADLINE_US = 1_000_000


class SlowClient:
    """A broker that takes two seconds for each acknowledgement, on the clock of the test."""

    connected = True

    def __init__(self) -> None:
        self.now_us = 0
        self.sent: list[bytes | None] = []

    async def wait_connected(self) -> None:
        pass

    async def publish(self, topic: str, payload: bytes, *, properties: Any) -> bool:
        self.sent.append(properties.correlation)
        self.now_us += 2_000_000
        return True


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
        courier = Courier(
            config,
            outbox,
            client,
            "model",
            Counters(),
            clock,
            Troubles(nothing),
            nothing,
            nothing,  # type: ignore[arg-type]
        )
        sending = asyncio.create_task(courier.send())
        await asyncio.sleep(0)  # nothing in there waits before everything due is handed over
        sending.cancel()

    with contextlib.closing(Outbox(tmp_path / "outbox.db", TASK)) as outbox:
        asyncio.run(scenario(outbox))
    assert client.sent == [bytes(16)]
