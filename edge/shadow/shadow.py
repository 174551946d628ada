"""Runs a challenger on the frames that the champion decides on, in a thread of its own. It never holds the line up.

A bake is settled when it has its answer: at once when the edge decides it, and with the cloud's word otherwise. Its
record is written when it is settled and the challenger has spoken. Trouble with the challenger costs evidence and
nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.devices import Device
from edge.shadow.record import ShadowRecord
from edge.watch.guard import Guard
from shared.errors import CrustwatchError
from shared.messages import Classification, Decision, LineVerdict, ShadowStats

log = logging.getLogger(__name__)

MOST_WAITING = 64  # frames that the challenger is behind: more are passed by
MOST_OPEN = 4096  # bakes that wait for the cloud's word: the oldest is then settled without one

Write = Callable[[ShadowRecord], None]


@dataclass(slots=True)
class _Open:
    """A bake whose record is not complete."""

    champion: LineVerdict
    decision: str
    found: Classification | None = None
    would: Decision = "unsure"
    settled: bool = False
    cloud_label: str | None = None


@dataclass(slots=True)
class _Counts:
    bakes: int = 0
    agreed: int = 0
    would_escalate: int = 0
    champion_escalated: int = 0
    resolved: int = 0
    challenger_right: int = 0
    champion_right: int = 0
    passed_by: int = 0


@dataclass(slots=True)
class Shadow:
    """One challenger. `device` and `guard` are its own; `champion` is the SHA-256 of the model that decides.

    Use it from one event loop; `finish` closes the device.
    """

    champion: str
    device: Device
    guard: Guard
    write: Write = lambda record: None
    _challenger: str = ""
    _counts: _Counts = field(default_factory=_Counts)
    _open: dict[str, _Open] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="shadow"))
    _is_ill: bool = False

    def __post_init__(self) -> None:
        self._challenger = self.device.hello().model_sha256

    def show(self, verdict: LineVerdict, decision: str, seen: NDArray[np.uint8]) -> None:
        """The champion's word on a frame, uint8 [S, S, 3], and what became of the bake: a Decision, or `budget`."""
        if len(self._tasks) >= MOST_WAITING:
            self._counts.passed_by += 1
            return
        self._open[verdict.id] = _Open(verdict, decision, settled=decision in ("sure", "budget"))
        if len(self._open) > MOST_OPEN:
            self._give_up(next(iter(self._open)))
        task = asyncio.create_task(self._look(verdict.id, seen), name="gateway shadow")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def answered(self, bake_id: str, label: str | None) -> None:
        """The cloud's word on a bake; None when it cannot tell."""
        if (bake := self._open.get(bake_id)) is not None and not bake.settled:
            bake.settled, bake.cloud_label = True, label
            self._record(bake_id)

    def stats(self) -> ShadowStats:
        """What is known of the challenger by now."""
        counts = self._counts
        return ShadowStats(
            challenger=self._challenger,
            device=self.device.kind,
            bakes=counts.bakes,
            agreed=counts.agreed,
            would_escalate=counts.would_escalate,
            champion_escalated=counts.champion_escalated,
            resolved=counts.resolved,
            challenger_right=counts.challenger_right,
            champion_right=counts.champion_right,
            passed_by=counts.passed_by,
        )

    async def caught_up(self) -> None:
        """Wait until the challenger has spoken on all that it was shown."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def finish(self) -> None:
        """Wait for the challenger, write what has no answer as it is, and close the device."""
        await self.caught_up()
        for bake_id in list(self._open):
            self._give_up(bake_id)
        self._thread.shutdown()
        self.device.close()

    def _give_up(self, bake_id: str) -> None:
        self._open[bake_id].settled = True
        self._record(bake_id)
        self._open.pop(bake_id, None)

    async def _look(self, bake_id: str, seen: NDArray[np.uint8]) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, self.device.classify, seen)
        except CrustwatchError as error:
            if not self._is_ill:
                log.warning("shadow: %s; the line goes on without it", error)
            self._is_ill = True
            self._counts.passed_by += 1
            self._open.pop(bake_id, None)
            return
        self._is_ill = False
        if (bake := self._open.get(bake_id)) is None:
            return  # given up meanwhile
        bake.found, bake.would = found, self.guard.rule(found, seen).decision
        self._count(bake)
        self._record(bake_id)

    def _count(self, bake: _Open) -> None:
        counts = self._counts
        counts.bakes += 1
        counts.agreed += bake.found is not None and bake.found.label == bake.champion.edge.label
        counts.would_escalate += bake.would != "sure"
        counts.champion_escalated += bake.decision != "sure"

    def _record(self, bake_id: str) -> None:
        bake = self._open[bake_id]
        if bake.found is None or not bake.settled:
            return
        del self._open[bake_id]
        champion, challenger = bake.champion.edge.label, bake.found.label
        if bake.cloud_label is not None and champion != challenger:
            self._counts.resolved += 1
            self._counts.challenger_right += challenger == bake.cloud_label
            self._counts.champion_right += champion == bake.cloud_label
        record = ShadowRecord(
            id=bake_id,
            bake=bake.champion.bake,
            at_s=bake.champion.decided_at,
            champion_model=self.champion,
            challenger_model=self._challenger,
            champion_label=champion,
            champion_decision=bake.decision,
            challenger_label=challenger,
            challenger_decision=bake.would,
            challenger_probability=bake.found.probability,
            cloud_label=bake.cloud_label,
        )
        self._thread.submit(self._write, record)  # a disk may be slow

    def _write(self, record: ShadowRecord) -> None:
        try:
            self.write(record)
        except CrustwatchError as error:
            log.warning("shadow: a record is lost: %s", error)
