"""What an outsider sees: the demo's figures come from the MQTT topics alone, never from inside the gateway."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.clock import NowUs
from shared.messages import GatewayStats, LineVerdict, WorkerStatus, decode
from shared.mqtt import Incoming, MqttClient
from shared.seal import Seal
from shared.topics import Line, worker_status_filter


@dataclass(slots=True)
class Seen:
    """All that was published about one bake."""

    first: LineVerdict
    finals: list[LineVerdict] = field(default_factory=list)
    corrections: list[LineVerdict] = field(default_factory=list)
    final_seen_us: int | None = None  # when the first final arrived here

    @property
    def final(self) -> LineVerdict | None:
        """The first final verdict."""
        return self.finals[0] if self.finals else None

    @property
    def e2e_s(self) -> float | None:
        """Seconds from the item's last frame to its final verdict on the topic."""
        if self.final_seen_us is None:
            return None
        return self.final_seen_us / 1e6 - self.first.captured_at


class Observer:
    """Follows one line's verdicts and the workers' status."""

    def __init__(self, line: Line, now_us: NowUs, seal: Seal | None = None) -> None:
        """With a `seal`, a verdict that the line's gateway has not sealed raises SealError."""
        self._seal = seal
        self._line = line
        self._now_us = now_us
        self.bakes: dict[str, Seen] = {}  # by id
        self._names: set[str] = set()
        self.workers: set[str] = set()  # names of those online
        self.stats: GatewayStats | None = None  # the gateway's latest counters
        self.on_change: Callable[[], None] = lambda: None
        self.on_final: Callable[[Seen], None] = lambda seen: None

    async def follow(self, client: MqttClient) -> None:
        """For ever: read the topics."""
        await client.subscribe(f"{self._line.prefix}/+/verdict")
        await client.subscribe(self._line.stats)
        await client.subscribe(worker_status_filter())
        async for message in client.messages():
            client.acknowledge(message)
            if message.retain and message.topic.startswith(self._line.prefix):
                continue  # of an earlier run
            if message.topic.endswith("/verdict"):
                self._note_verdict(message)
            elif message.topic == self._line.stats:
                self.stats = decode(message.payload, GatewayStats, message.topic)
            else:
                self._note_worker(message)
            self.on_change()

    def _note_verdict(self, message: Incoming) -> None:
        if self._seal is not None:
            digest = hashlib.sha256(message.payload).digest()
            self._seal.check(
                message.topic, digest, message.properties, f"gateway/{self._line.site}/{self._line.gateway}"
            )
        self.note(decode(message.payload, LineVerdict, message.topic))

    def note(self, verdict: LineVerdict) -> None:
        """A verdict was seen; the same again is none, as brokers and gateways repeat after a crash."""
        self._names.add(verdict.bake)
        seen = self.bakes.setdefault(verdict.id, Seen(verdict))
        if verdict in seen.finals or verdict in seen.corrections:
            return
        if verdict.state == "correction":
            seen.corrections.append(verdict)
        elif verdict.state == "final":
            seen.finals.append(verdict)
            if seen.final_seen_us is None:
                seen.final_seen_us = self._now_us()
                self.on_final(seen)

    def _note_worker(self, message: Incoming) -> None:
        name = message.topic.split("/")[-2]
        online = bool(message.payload) and decode(message.payload, WorkerStatus, message.topic).status != "offline"
        (self.workers.add if online else self.workers.discard)(name)

    def has_seen(self, name: str) -> bool:
        """Whether anything was published about the bake of that name."""
        return name in self._names

    @property
    def finals(self) -> int:
        """Bakes with a final verdict."""
        return sum(bool(seen.finals) for seen in self.bakes.values())

    @property
    def duplicates(self) -> int:
        """Final verdicts that differ from the first of their bake."""
        return sum(max(0, len(seen.finals) - 1) for seen in self.bakes.values())
