"""One line of a scenario through the lives of its gateway: each life decides with one model under one certificate."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from edge.budget import Limits
from edge.budget.spending import open_budget
from edge.demo.program import DEADLINE_S, DEVICE_ATTEMPTS, LINE, MAX_BACKLOG, OUTBOX
from edge.devices import open_device
from edge.gateway.config import GatewayConfig
from edge.gateway.link import client_config
from edge.gateway.outbox import Outbox, OutboxConfig
from edge.gateway.service import Gateway
from edge.gateway.sources import SourceItem
from edge.loop.store import Store
from edge.shadow.opening import open_shadow
from edge.watch.opening import open_guard
from shared.messages import GatewayStats
from shared.mqtt import BrokerAddress, MqttClient
from shared.seal import Seal
from shared.task import Task


@dataclass(frozen=True, slots=True)
class OvenLine:
    """What stays while gateways come and go. `folder` keeps the outbox and the states of the guards."""

    task: Task
    folder: Path
    address: BrokerAddress
    seal: Seal
    store: Store
    limits: Limits
    say: Callable[[str], None]

    async def serve(
        self,
        device_name: str,
        model: Path,
        certificate: Path,
        items: AsyncIterator[SourceItem],
        trial: Path | None = None,
    ) -> GatewayStats:
        """Inspect `items` with the model in folder `model`, and try the one in `trial` beside it.

        Without a certificate that stands nothing is decided alone. Raises CrustwatchError as devices and sources do.
        """
        config = GatewayConfig(
            LINE,
            self.task,
            deadline_s=DEADLINE_S,
            max_backlog=MAX_BACKLOG,
            device_attempts=DEVICE_ATTEMPTS,
            stats_interval_s=0.2,
            outbox=OutboxConfig(synchronous="NORMAL"),
        )
        device = await asyncio.to_thread(open_device, device_name, model=model)
        state = self.folder / f"{device.hello().model_sha256[:12]}.guard.json"
        with (
            contextlib.closing(device),
            contextlib.closing(Outbox(self.folder / OUTBOX, self.task, config.outbox)) as outbox,
        ):
            sha256 = device.hello().model_sha256
            guard = open_guard(
                model, self.task, device, certificate=certificate, state=state, when_withdrawn="escalate"
            )
            shadow = None if trial is None else open_shadow(trial, self.task, sha256, write=self.store.add_shadow)
            async with MqttClient(client_config(self.address, config, device.kind)) as client:
                gateway = Gateway(
                    config,
                    device,
                    outbox,
                    client,
                    guard=guard,
                    budget=open_budget(self.limits, self.folder / "budget.json", model, self.task),
                    seal=self.seal,
                    store=self.store,
                    shadow=shadow,
                    skipped=lambda item: self.say(f"skipped {item.name}: {item.reason}"),
                )
                return await gateway.run(items)
