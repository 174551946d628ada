"""The worker's program: subscribe, answer one request after another, acknowledge each after the work.

Three stages, each a task, each taking requests in the order in which they came: `_admit` believes a request or drops
it, `_compute` answers it, `_finish` acknowledges it once the broker has the answer. While the engine looks at one
request, one more is admitted; the rest waits in the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cloud.worker.answers import AnswerCache, Decode, Engine, compute, response, traced, unable
from cloud.worker.archive import Archive, Decision, Sent
from shared import __version__
from shared.answer import answer_properties
from shared.clock import system_now_us
from shared.errors import BadInputError, CrustwatchError
from shared.escalation import Sender, read_request, sender_of
from shared.images import decode_jpeg
from shared.messages import BakeVerdict, WorkerStatus, encode
from shared.mqtt import BrokerAddress, Confirmation, Incoming, MqttClient, MqttConfig, Will
from shared.seal import ReplayGuard, Seal, SealError
from shared.seal.checker import is_stale
from shared.task import Task
from shared.task_errors import own_error_alone
from shared.topics import shared_requests, worker_status

log = logging.getLogger(__name__)

STALE = "this request expired more than a day ago by the worker's clock: check the clocks of gateway and worker"
PURGE_S = 60.0  # how often the archive looks for what has expired
LEAVE_S = 1.0  # for the last words; a broker that hangs must not hold up the end
RECEIVE_MAXIMUM = 4  # requests held here: few, so that other workers of the group get the rest


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """One worker."""

    name: str
    task: Task
    model: str


def client_config(address: BrokerAddress, config: WorkerConfig) -> MqttConfig:
    """The MQTT client of a worker: a clean session, and a will that says offline."""
    gone = encode(WorkerStatus("offline", __version__, config.model, 0, config.task.name))
    return MqttConfig(
        address=address,
        client_id=f"cw-worker-{config.name}",
        will=Will(worker_status(config.name), gone),
        receive_maximum=RECEIVE_MAXIMUM,
        incoming_limit=4 * RECEIVE_MAXIMUM,  # iotcore ignores the receive maximum
        keepalive_s=60,  # longer than an answer takes, as a full queue stops the reading
    )


class _Admitted(NamedTuple):
    """A request that its gateway has sealed, or one to be acknowledged without an answer: `sender` is None."""

    request: Incoming
    sender: Sender | None = None
    sha256: str = ""  # of its clip
    stale: bool = False


class _Answered(NamedTuple):
    """A request whose answer is on its way; both None when there is none."""

    request: Incoming
    confirmed: Confirmation | None = None  # that the broker has the answer
    decision: Decision | None = None  # for the archive


class Worker:
    """Answers requests until it is stopped; the engine runs in a thread, one request at a time."""

    def __init__(
        self,
        config: WorkerConfig,
        engine: Engine,
        client: MqttClient,
        cache: AnswerCache | None = None,
        seal: Seal | None = None,
        archive: Archive | None = None,
        decode: Decode = decode_jpeg,
    ) -> None:
        """Without a `seal` anybody's requests are answered and no answer is signed: for programs told to do so."""
        self._decode = decode
        self._config = config
        self._engine = engine
        self._client = client
        self._cache = cache or AnswerCache()
        self._seal = seal
        self._replays = ReplayGuard()
        self._archive = archive
        self._admitted: asyncio.Queue[_Admitted] = asyncio.Queue(1)
        self._unfinished: asyncio.Queue[_Answered] = asyncio.Queue(RECEIVE_MAXIMUM)  # in the order of the requests
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")  # neither engine nor decoder takes more
        self.answered = 0  # answers published
        self.expired = 0  # requests that came to their turn too late
        self.refused = 0  # requests that broke the protocol or were not sealed by their gateway
        self.replayed = 0  # attempts that came a second time

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; the request in hand is finished and answered first."""
        connections = asyncio.Event()
        self._client.on_up = connections.set
        if self._client.connected:
            connections.set()
        await self._client.subscribe(shared_requests(self._config.task.name))
        try:
            with own_error_alone():
                async with asyncio.TaskGroup() as tasks:
                    until_stop = [
                        tasks.create_task(work, name=f"worker {name}")
                        for name, work in (
                            ("status", self._show_status(connections)),
                            ("requests", self._admit()),
                            ("archive", self._tidy()),
                        )
                    ]
                    computing = tasks.create_task(self._compute(stop), name="worker engine")
                    finishing = tasks.create_task(self._finish(), name="worker answers")
                    await stop.wait()
                    for task in until_stop:
                        task.cancel()
                    await self._admitted.join()  # the one in hand; the one behind it is the next worker's
                    await self._unfinished.join()
                    computing.cancel()
                    finishing.cancel()
        finally:
            self._thread.shutdown(wait=False)
            if self._client.connected:  # else the will has said so
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LEAVE_S):
                        await self._say("offline")

    async def _admit(self) -> None:
        """For ever: take requests from the broker, and believe their gateways or not."""
        async for message in self._client.messages():
            await self._admitted.put(self._believed(message))

    async def _compute(self, stop: asyncio.Event) -> None:
        """For ever: answer what was admitted; after `stop` nothing more."""
        while True:
            admitted = await self._admitted.get()
            answered = _Answered(admitted.request)
            try:
                if admitted.sender is not None and not stop.is_set():
                    answered = await self._answer(admitted, admitted.sender)
            except CrustwatchError as error:  # the link broke under the answer: the gateway asks again
                log.warning("%s", error)
            if not stop.is_set() or admitted.sender is None or answered.confirmed is not None:
                await self._unfinished.put(answered)
            self._admitted.task_done()

    async def _finish(self) -> None:
        """For ever: once the broker has an answer, keep the decision and acknowledge the request."""
        while True:
            request, confirmed, decision = await self._unfinished.get()
            try:
                if confirmed is not None:
                    await confirmed
                    self.answered += 1
                if decision is not None:
                    await self._keep(request.payload, decision)
            except CrustwatchError as error:
                log.warning("%s", error)
            self._client.acknowledge(request)
            self._unfinished.task_done()

    def _believed(self, message: Incoming) -> _Admitted:
        """What a message asks; without a sender when nobody is to be answered."""
        nobody = _Admitted(message)
        try:
            sender = sender_of(message)
        except BadInputError as error:
            self.refused += 1
            log.warning("dropped: %s", error)
            return nobody
        sha256 = hashlib.sha256(message.payload)
        if self._seal is None:
            return _Admitted(message, sender, sha256.hexdigest())
        try:
            sealed = self._seal.check(message.topic, sha256.digest(), message.properties, sender.gateway)
        except SealError as error:  # whoever sent it, it is not the gateway that an answer would go to
            self.refused += 1
            log.warning("dropped: %s", error)
            return nobody
        if not self._replays.admit(sender.line, sender.id, sender.attempt, sealed.sent_us):
            self.replayed += 1
            log.warning("dropped: attempt %d of bake %s came before", sender.attempt, sender.id.hex())
            return nobody
        return _Admitted(message, sender, sha256.hexdigest(), is_stale(sealed, self._seal.now_us()))

    async def _answer(self, admitted: _Admitted, sender: Sender) -> _Answered:
        message, sha256 = admitted.request, admitted.sha256
        now, expiry_s = asyncio.get_running_loop().time, message.properties.expiry_s
        if expiry_s is not None and now() - message.received_s > expiry_s:
            self.expired += 1
            log.info("bake %s: expired before its turn, not computed", sender.id.hex())
            return _Answered(message)
        verdict = unable(STALE) if admitted.stale else await self._verdict(message, sender, sha256)
        payload = response(sender, self._config.name, verdict)
        properties = answer_properties(sender, self._config.name, sha256, payload, self._seal)
        confirmed = self._client.send(sender.line.response, payload, properties=properties)
        said = "cannot tell" if verdict.cannot_tell else verdict.doneness
        log.info(
            "bake %s of %s: %s after %.2f s", sender.id.hex(), sender.line.prefix, said, now() - message.received_s
        )
        if self._archive is None:
            return _Answered(message, confirmed)
        request = Sent(message.topic, message.properties, sha256)
        answer = Sent(sender.line.response, properties, hashlib.sha256(payload).hexdigest(), payload.decode())
        return _Answered(message, confirmed, Decision(system_now_us(), request, answer))

    async def _keep(self, clip: bytes, decision: Decision) -> None:
        assert self._archive is not None  # noqa: S101
        try:
            await asyncio.to_thread(self._archive.keep, clip, decision)
        except OSError as error:
            log.warning("not in the archive: %s", error)

    async def _tidy(self) -> None:
        """For ever: images expire on a line that stands still, too."""
        while self._archive is not None:
            try:
                await asyncio.to_thread(self._archive.purge, system_now_us() / 1e6)
            except BadInputError as error:
                log.warning("not purged: %s", error)
            await asyncio.sleep(PURGE_S)

    async def _verdict(self, message: Incoming, sender: Sender, sha256: str) -> BakeVerdict:
        try:
            request = read_request(message, sha256)
            verdict = self._cache.get(request)
            if verdict is None:
                loop = asyncio.get_running_loop()
                computed = await loop.run_in_executor(
                    self._thread, compute, self._engine, self._config.task, request, self._decode
                )
                verdict = traced(computed, request, self._config.name)
                self._cache.put(request, verdict)
        except BadInputError as error:
            self.refused += 1
            log.warning("bake %s of %s: %s", sender.id.hex(), sender.line.prefix, error)
            return unable(str(error))
        except Exception:  # the model failed: one bad clip must not end the service for all the others
            log.exception("bake %s of %s: the engine failed", sender.id.hex(), sender.line.prefix)
            return unable("the engine failed on this clip; the worker's log says why")
        return verdict

    async def _show_status(self, connections: asyncio.Event) -> None:
        while True:
            await connections.wait()
            connections.clear()
            await self._say("online")

    async def _say(self, status: Literal["online", "offline"]) -> None:
        config = self._config
        message = WorkerStatus(status, __version__, config.model, self.answered, config.task.name)
        try:
            await self._client.publish(worker_status(self._config.name), encode(message), retain=True)
        except CrustwatchError as error:
            log.warning("%s", error)
