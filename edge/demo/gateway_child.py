"""The demo's gateway as a process that may be killed: bakes come over standard input, and come again after a restart.

One argument: GatewaySettings as JSON. Bakes are records as `render_child` writes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from edge.budget import Limits
from edge.budget.spending import open_budget
from edge.devices import open_device
from edge.devices.model import DEFAULT_MODEL
from edge.gateway.config import GatewayConfig
from edge.gateway.link import client_config
from edge.gateway.outbox import Outbox, OutboxConfig
from edge.gateway.program import run_gateway
from edge.gateway.sources import SourceItem
from edge.gateway.sources.rendered import bake_of, read_record
from edge.watch.opening import open_guard
from shared.clock import SteadyClock
from shared.errors import CrustwatchError
from shared.mqtt import BrokerAddress
from shared.mqtt.backoff import Backoff
from shared.seal.seal import load_seal
from shared.task import load_task
from shared.topics import Line

BACKOFF = Backoff(first_s=0.5, cap_s=2.0, floor_s=0.3)  # later than the demo's observer, who must not miss a verdict


class GatewaySettings(msgspec.Struct, frozen=True):
    """What the demo tells its gateway."""

    line: tuple[str, str]  # site and gateway
    outbox: str
    identity: str  # folder of its keys
    port: int
    device: str
    model: str | None
    deadline_s: float
    max_backlog: int
    limits: Limits = Limits()


async def _bakes() -> AsyncIterator[SourceItem]:
    while (record := await asyncio.to_thread(read_record, sys.stdin.buffer)) is not None:
        yield bake_of(record)


def main() -> None:
    """Inspect what comes until standard input ends and every bake has its verdict."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = msgspec.json.decode(sys.argv[1], type=GatewaySettings)
    model = Path(settings.model) if settings.model else DEFAULT_MODEL
    config = GatewayConfig(
        Line.of(*settings.line),
        load_task(),
        deadline_s=settings.deadline_s,
        max_backlog=settings.max_backlog,
        stats_interval_s=0.2,
        session="demo",
        outbox=OutboxConfig(),
    )
    account = Path(settings.outbox).with_name("budget.json")
    try:
        with (
            contextlib.closing(Outbox(Path(settings.outbox), config.task, config.outbox)) as outbox,
            open_device(settings.device, model=model) as device,
        ):
            mqtt = client_config(BrokerAddress(port=settings.port), config, device.kind)
            asyncio.run(
                run_gateway(
                    dataclasses.replace(mqtt, backoff=BACKOFF),
                    config,
                    device,
                    outbox,
                    _bakes(),
                    guard=open_guard(model, config.task, device),
                    budget=open_budget(settings.limits, account, model, config.task),
                    clock=SteadyClock(outbox.time_mark()),
                    seal=load_seal(Path(settings.identity)),
                )
            )
    except CrustwatchError as error:
        print(f"crustwatch: {error}", file=sys.stderr, flush=True)  # noqa: T201
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
