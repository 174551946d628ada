"""Carries requests from the outbox to the workers and their answers back into it."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
from collections.abc import Awaitable, Callable

from edge.gateway.config import GatewayConfig
from edge.gateway.counters import Counters
from edge.gateway.durability import Durability
from edge.gateway.outbox import Due, Outbox
from edge.gateway.troubles import Troubles
from shared.answer import read_answer
from shared.clock import NowUs, SteadyClock
from shared.errors import BadInputError
from shared.escalation import Request
from shared.messages import BakeVerdict, LineVerdict, WorkerStatus, decode
from shared.mqtt import Confirmation, Incoming, LinkDownError, MqttClient, RefusedError
from shared.seal import Seal, SealError
from shared.task import Priority
from shared.topics import worker_status_filter

log = logging.getLogger(__name__)

Answered = Callable[[bytes, BakeVerdict, str, int], Awaitable[None]]
"""Of a bake's id, the cloud's verdict, the digest of the clip that it judged, and the wall clock's time in us."""

NOBODY_LISTENS_US = 1_000_000  # when the broker says that no worker subscribes, the next look
REFUSED_US = 10_000_000  # when the broker refuses a request (quota, access rules)
MAX_WORKERS = 1000  # whose names are kept; a broker may invent any number


class Courier:
    """Sends what is due, applies what comes back, and lets the deadline decide what did not."""

    def __init__(
        self,
        config: GatewayConfig,
        outbox: Outbox,
        client: MqttClient,
        model: str,
        counters: Counters,
        clock: SteadyClock,
        troubles: Troubles,
        changed: Callable[[], None],
        learned: Callable[[LineVerdict, BakeVerdict], None],
        durability: Durability,
        seal: Seal | None = None,
        answered: Answered | None = None,
    ) -> None:
        self._config = config
        self._outbox = outbox
        self._client = client
        self._model = model
        self._counters = counters
        self._clock = clock
        self._now_us = clock.now_us
        self._troubles = troubles
        self._changed = changed  # called after each change of the outbox
        self._learned = learned  # called with what the cloud's first answer to a bake replaces, and that answer
        self._durability = durability
        self._lessons: list[tuple[LineVerdict, BakeVerdict]] = []  # not told to `learned` yet
        self._taught = asyncio.Event()  # there are some
        self._seal = seal
        self._answered = answered  # awaited with each answer before it is applied
        self._more = asyncio.Event()  # something may be due
        self._unconfirmed = 0  # requests sent without an acknowledgement
        self._failed: asyncio.Queue[tuple[bytes, int]] = asyncio.Queue()  # of them, and when they are sent again
        self._next_send_us = self._next_deadline_us = math.inf  # what `send` and `expire` wait for
        self._full = True  # all requests that may be in flight were, when `send` last looked
        self._earlier = asyncio.Event()  # a deadline has come that is earlier than the one waited for
        self._workers: set[str] = set()
        self._up_us = 0  # when the link came up, in steady time

    @property
    def cloud_link(self) -> bool:
        """True while the broker is connected and some worker says that it is online."""
        return self._client.connected and bool(self._workers)

    def accepted(self, deadline_us: int, ahead: bool) -> None:
        """The outbox holds a new bake, whose first request was sent `ahead` or not.

        Wakes only whom it concerns: most deadlines are later than the one waited for, as most retries are.
        """
        if not ahead or self._now_us() + self._config.outbox.first_retry_us < self._next_send_us:
            self._more.set()
        if deadline_us < self._next_deadline_us:
            self._earlier.set()

    async def subscribe(self) -> None:
        """Ask for answers and for the status of workers."""
        await self._client.subscribe(self._config.line.response)
        await self._client.subscribe(worker_status_filter())

    async def reconnected(self) -> None:
        """After each connection: answers to what was in flight may be lost, so it is sent again."""
        self._up_us = self._now_us()
        await self._retry_all()

    async def _retry_all(self) -> None:
        await self._troubles.patiently(self._outbox.retry_all, self._now_us())
        self._more.set()

    def disconnected(self) -> None:
        """Nothing is known of the workers while the link is down."""
        self._workers.clear()
        self._changed()

    def send_ahead(self, provisional: LineVerdict, clip: bytes, priority: Priority, deadline_us: int) -> bool:
        """Send a bake's first request before the outbox has committed it, where it would go out at once anyway.

        While fewer bakes wait than may be in flight, it overtakes none and takes no slot from any. Should the gateway
        die before the commit, the bake was not accepted, and the answer finds no bake that it could change.
        """
        in_flight = self._config.outbox.in_flight
        if not self._client.connected or max(self._outbox.backlog(), self._unconfirmed) >= in_flight:
            return False
        bake_id, sha256 = bytes.fromhex(provisional.id), provisional.clip_sha256 or ""
        self._hand_over(Due(bake_id, self._config.camera, priority, 1, deadline_us, clip, sha256))
        return True

    async def send(self) -> None:
        """For ever: hand over what is due, most urgent first."""
        while True:
            await self._client.wait_connected()
            self._more.clear()
            self._full = True
            if self._unconfirmed >= self._config.outbox.in_flight:  # a broker that takes its time: clips would pile up
                await self._more.wait()
                continue
            for due in await self._take_due():
                self._hand_over(due)
            self._full = not await self._troubles.patiently(self._outbox.has_free_slot, self._now_us())
            wake_us = await self._troubles.patiently(self._outbox.next_send_us, self._now_us())
            self._next_send_us = math.inf if wake_us is None else wake_us
            await _wait(self._more, wake_us, self._now_us)

    async def _take_due(self) -> list[Due]:
        before, now_us, wall_us = self._outbox.spoiled, self._now_us(), self._clock.wall_us()
        found = await self._troubles.patiently(self._outbox.take_due, now_us, self._up_us, wall_us)
        if spoiled := self._outbox.spoiled - before:
            self._counters.finals += spoiled
            self._troubles.begin(
                "clips", f"{self._outbox.spoiled} could not be read back: the edge decided these bakes"
            )
            self._more.set()
            self._changed()
        return found

    def _hand_over(self, due: Due) -> None:
        now_us = self._now_us()
        if now_us >= due.deadline_us:  # while those before it were handed over
            return
        request = Request(
            id=due.id,
            attempt=due.attempt,
            task=self._config.task.name,
            priority=due.priority,
            line=self._config.line,
            clip=due.clip,
            model=self._model,
            expiry_s=max(1, math.ceil((due.deadline_us - now_us) / 1e6)),
            sha256=due.sha256,
        )
        self._unconfirmed += 1
        try:
            confirmation = self._client.send(request.topic, request.clip, properties=request.sealed(self._seal))
        except LinkDownError:
            self._unconfirmed -= 1
            self._failed.put_nowait((due.id, now_us))
        else:
            confirmation.then(functools.partial(self._confirmed, due.id, now_us))

    def _confirmed(self, bake_id: bytes, sent_us: int, confirmation: Confirmation) -> None:
        """What the broker says to a request is known."""
        if self._unconfirmed >= self._config.outbox.in_flight:
            self._more.set()
        self._unconfirmed -= 1
        try:
            if not confirmation.outcome():
                self._failed.put_nowait((bake_id, sent_us + NOBODY_LISTENS_US))
        except LinkDownError:
            self._failed.put_nowait((bake_id, sent_us))
        except RefusedError as error:
            log.warning("bake %s: %s", bake_id.hex(), error)
            self._failed.put_nowait((bake_id, sent_us + REFUSED_US))

    async def confirm(self) -> None:
        """For ever: note when requests that did not reach a worker are sent again."""
        while True:
            await self._troubles.patiently(self._outbox.retry_at, *await self._failed.get())
            self._more.set()

    async def expire(self) -> None:
        """For ever: make the edge's verdict final at the deadline, whether or not there is a link."""
        while True:
            self._earlier.clear()
            expired = await self._troubles.patiently(self._outbox.expire, self._now_us(), self._clock.wall_us())
            if expired:
                self._counters.timeouts += expired
                self._counters.finals += expired
                self._more.set()
                self._changed()
            wake_us = await self._troubles.patiently(self._outbox.next_deadline_us)
            self._next_deadline_us = math.inf if wake_us is None else wake_us
            await _wait(self._earlier, wake_us, self._now_us)

    async def receive(self) -> None:
        """For ever: apply answers; acknowledge each once it is in the outbox."""
        async for message in self._client.messages():
            try:
                if message.topic == self._config.line.response:
                    await self._apply(message)
                else:
                    await self._note_worker(message)
            except BadInputError as error:
                self._counters.refused += 1
                log.warning("%s", error)
                if isinstance(error, SealError):
                    self._troubles.begin("answers", f"ignored: {error}")
            self._client.acknowledge(message)

    async def _apply(self, message: Incoming) -> None:
        response, clip_sha256 = read_answer(message, self._seal)
        self._troubles.end("answers")
        verdict = response.verdict
        if not verdict.cannot_tell and verdict.doneness is not None:
            self._config.task.index(verdict.doneness)
        try:
            bake_id = bytes.fromhex(response.id)
        except ValueError:
            raise BadInputError(f"{message.topic}: the id is not hexadecimal") from None
        now_us, wall_us = self._now_us(), self._clock.wall_us()
        if self._answered is not None:
            await self._answered(bake_id, verdict, clip_sha256, wall_us)
        apply = self._outbox.apply
        applied = await self._troubles.patiently(apply, bake_id, verdict, now_us, wall_us, clip_sha256)
        match applied.outcome:
            case "final":
                self._counters.finals += 1
            case "correction":
                self._counters.corrections += 1
            case "duplicate":
                self._counters.duplicates += 1
                return
            case "unknown":
                raise BadInputError(f"{message.topic}: an answer for the unknown bake or clip {response.id}")
        if applied.earlier is not None:
            self._lessons.append((applied.earlier, verdict))
            self._taught.set()
        if verdict.provenance is not None:
            self._counters.last_cloud_s = verdict.provenance.seconds
        if self._full:
            self._more.set()
        self._changed()

    async def learn(self) -> None:
        """For ever: tell what the cloud's answers teach."""
        while True:
            await self._taught.wait()
            await self.learn_rest()

    async def learn_rest(self) -> None:
        """Tell what the answers so far teach, once they are on the disk: a power cut would have them applied again."""
        self._taught.clear()
        lessons = len(self._lessons)
        await self._durability.reached()
        told, self._lessons = self._lessons[:lessons], self._lessons[lessons:]
        for earlier, verdict in told:
            self._learned(earlier, verdict)
        if told:
            self._changed()

    async def _note_worker(self, message: Incoming) -> None:
        known = message.topic in self._workers
        online = bool(message.payload) and self._serves_us(decode(message.payload, WorkerStatus, message.topic))
        if online == known or (online and len(self._workers) >= MAX_WORKERS):
            return
        (self._workers.add if online else self._workers.discard)(message.topic)
        # What a dead worker held is lost with its session, and a new one has seen nothing: send it all again.
        # A request that is still being worked on is answered once more from that worker's cache.
        await self._retry_all()
        self._changed()

    def _serves_us(self, worker: WorkerStatus) -> bool:
        return worker.status != "offline" and worker.task in ("", self._config.task.name)


async def _wait(event: asyncio.Event, until_us: int | None, now_us: NowUs) -> None:
    """Wait for `event`, at most until the clock says `until_us`."""
    timeout_s = None if until_us is None else max(0.0, (until_us - now_us()) / 1e6)
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
