"""The worker's program: subscribe, answer one request after another, acknowledge each after the work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Literal

from cloud.worker.answers import AnswerCache, Engine, compute, response, unable
from shared import __version__
from shared.errors import BadInputError, CrustwatchError
from shared.escalation import Sender, read_request, sender_of
from shared.messages import SCHEMA, BakeVerdict, WorkerStatus, encode
from shared.mqtt import BrokerAddress, Incoming, MqttClient, MqttConfig, Properties, Will
from shared.task import Task
from shared.topics import shared_requests, worker_status

log = logging.getLogger(__name__)

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


class Worker:
    """Answers requests until it is stopped; the engine runs in a thread, one request at a time."""

    def __init__(
        self,
        config: WorkerConfig,
        engine: Engine,
        client: MqttClient,
        cache: AnswerCache | None = None,
    ) -> None:
        self._config = config
        self._engine = engine
        self._client = client
        self._cache = cache or AnswerCache()
        self._in_hand = False  # a request is being worked on
        self.answered = 0  # answers published
        self.expired = 0  # requests that came to their turn too late
        self.refused = 0  # requests that broke the protocol

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; the request in hand is finished and answered first."""
        connections = asyncio.Event()
        self._client.on_up = connections.set
        if self._client.connected:
            connections.set()
        await self._client.subscribe(shared_requests(self._config.task.name))
        try:
            async with asyncio.TaskGroup() as tasks:
                showing = tasks.create_task(self._show_status(connections), name="worker status")
                serving = tasks.create_task(self._serve(stop), name="worker requests")
                await stop.wait()
                showing.cancel()
                if not self._in_hand:
                    serving.cancel()
        finally:
            if self._client.connected:  # else the will has said so
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LEAVE_S):
                        await self._say("offline")

    async def _serve(self, stop: asyncio.Event) -> None:
        async for message in self._client.messages():
            self._in_hand = True
            try:
                await self._answer(message)
            except CrustwatchError as error:  # the link broke under the answer: the gateway asks again
                log.warning("%s", error)
            self._client.acknowledge(message)
            self._in_hand = False
            if stop.is_set():
                return

    async def _answer(self, message: Incoming) -> None:
        try:
            sender = sender_of(message)
        except BadInputError as error:
            self.refused += 1
            log.warning("dropped: %s", error)
            return
        now, expiry_s = asyncio.get_running_loop().time, message.properties.expiry_s
        if expiry_s is not None and now() - message.received_s > expiry_s:
            self.expired += 1
            log.info("bake %s: expired before its turn, not computed", sender.id.hex())
            return
        verdict = await self._verdict(message, sender)
        properties = Properties(
            correlation=sender.id, content_type="application/json", user={"schema": SCHEMA, "worker": self._config.name}
        )
        payload = response(sender, self._config.name, verdict)
        await self._client.publish(sender.line.response, payload, properties=properties)
        self.answered += 1
        said = "cannot tell" if verdict.cannot_tell else verdict.doneness
        log.info(
            "bake %s of %s: %s after %.2f s", sender.id.hex(), sender.line.prefix, said, now() - message.received_s
        )

    async def _verdict(self, message: Incoming, sender: Sender) -> BakeVerdict:
        try:
            request = read_request(message)
            verdict = self._cache.get(request)
            if verdict is None:
                verdict = await asyncio.to_thread(compute, self._engine, self._config.task, request)
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
