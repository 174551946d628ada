"""`crustwatch demo --chaos`: kills the demo's own parts at random, by seed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from edge.demo.gateway_process import GatewayProcess
from edge.demo.observer import Observer
from edge.demo.worker_process import WorkerProcess
from edge.gateway.sources import SourceItem
from shared.broker import EmbeddedBroker
from shared.messages import LineVerdict, decode
from shared.task_errors import own_error_alone

KILLS = 6  # each part twice
BROKER_AWAY_S = 0.3
POLL_S = 0.05
CATCH_UP_S = 0.5  # for what is still on its way to the observer


class Havoc:
    """Kills gateway, worker and broker with SIGKILL. `killed` counts how often each was."""

    def __init__(
        self,
        seed: int,
        total: int | None,
        observer: Observer,
        broker: EmbeddedBroker,
        worker: WorkerProcess,
        gateway: GatewayProcess,
        say: Callable[[str], None],
    ) -> None:
        self._rng = random.Random(f"havoc {seed}")
        self._every = max(1, (total or 30) // (KILLS + 2))  # final verdicts between two kills, about
        self._observer, self._broker, self._worker, self._gateway = observer, broker, worker, gateway
        self._say = say
        self.killed = {"gateway": 0, "worker": 0, "broker": 0}

    async def pass_bakes(self, items: AsyncIterator[SourceItem], outbox: Path) -> None:
        """Pass all bakes through the line while its parts are killed. Raises CrustwatchError when one does not start.

        A verdict that a dying broker had acknowledged and not delivered is read from the gateway's database.
        """
        with own_error_alone():
            async with asyncio.TaskGroup() as tasks:  # a broker that does not come back ends the demo
                wreaking = tasks.create_task(self._wreak(), name="demo chaos")
                await self._gateway.pass_bakes(items, self._observer.has_seen)
                wreaking.cancel()
        await asyncio.sleep(CATCH_UP_S)
        with contextlib.closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as database:
            for (payload,) in database.execute("SELECT verdict FROM decided"):
                verdict = decode(payload, LineVerdict, str(outbox))
                if verdict.id not in self._observer.bakes or self._observer.bakes[verdict.id].final is None:
                    self._say(f"{verdict.bake}: its final verdict was seen in the database only")
                    self._observer.note(verdict)

    async def _wreak(self) -> None:
        victims: list[str] = []
        for _ in range(KILLS // len(self.killed)):  # each part once, before the next round
            parts = list(self.killed)
            self._rng.shuffle(parts)
            victims += parts
        for number, victim in enumerate(victims):
            after = max(1, number * self._every + self._rng.randint(1, self._every))
            while self._observer.finals < after:
                await asyncio.sleep(POLL_S)
            await asyncio.sleep(self._rng.uniform(0.0, 0.5))  # not always right after a verdict
            while not self._is_up(victim):
                await asyncio.sleep(POLL_S)
            await self._kill(victim)

    def _is_up(self, victim: str) -> bool:
        """A worker that loads its model is left alone: killed again and again, it would never get to work."""
        if victim == "gateway":
            return self._gateway.pid is not None
        return victim == "broker" or (self._worker.pid is not None and self._worker.name in self._observer.workers)

    async def _kill(self, victim: str) -> None:
        pid = {"gateway": self._gateway.pid, "worker": self._worker.pid, "broker": self._broker.pid}[victim]
        assert pid is not None, "it was up"  # noqa: S101
        self.killed[victim] += 1
        self._say(f"chaos: kill -9 of the {victim}, pid {pid}")
        if victim == "broker":
            self._broker.kill()
            await asyncio.sleep(BROKER_AWAY_S)
            self._broker.start()
            self._say(f"broker {self._broker.kind}: pid {self._broker.pid}, {self._broker.address}")
        else:
            os.kill(pid, signal.SIGKILL)
