"""What the state topics say at the moment, of every line and worker. Knows no sockets and no terminal."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import TypeVar

from shared.errors import BadInputError
from shared.messages import GatewayStats, GatewayStatus, LineVerdict, WorkerStatus, decode
from shared.mqtt import Incoming
from shared.seal import Seal
from shared.topics import ROOT, worker_status_filter

FILTERS = (f"{ROOT}/+/+/status", f"{ROOT}/+/+/stats", f"{ROOT}/+/+/+/verdict", worker_status_filter())
Kind = TypeVar("Kind", WorkerStatus, GatewayStatus, GatewayStats)

MAX_LINES = 1000  # of each kind; what comes beyond is not shown
LATEST = 12


@dataclass(slots=True)
class CameraView:
    """The present verdict of one camera."""

    line: str  # site/gateway
    camera: str
    verdict: LineVerdict


@dataclass(slots=True)
class Overview:
    """All lines and workers that the broker knows of."""

    gateways: dict[str, GatewayStatus] = field(default_factory=dict)  # by site/gateway
    stats: dict[str, GatewayStats] = field(default_factory=dict)
    cameras: dict[str, CameraView] = field(default_factory=dict)  # by topic
    workers: dict[str, WorkerStatus] = field(default_factory=dict)  # by name
    latest: deque[CameraView] = field(default_factory=lambda: deque(maxlen=LATEST))  # verdicts, newest first
    refused: int = 0  # messages that were not what their topic promises, or not sealed by its gateway
    seal: Seal | None = None  # to check verdicts by; without one they are believed

    def note(self, message: Incoming) -> None:
        """Take in a message of one of FILTERS; what cannot be read is counted."""
        try:
            self._note(message)
        except BadInputError:
            self.refused += 1

    def _note(self, message: Incoming) -> None:
        match message.topic.split("/")[2:]:
            case ["worker", name, "status"]:
                _put(self.workers, name, message, WorkerStatus)
            case [site, gateway, "status"]:
                _put(self.gateways, f"{site}/{gateway}", message, GatewayStatus)
            case [site, gateway, "stats"]:
                _put(self.stats, f"{site}/{gateway}", message, GatewayStats)
            case [site, gateway, camera, "verdict"]:
                if self.seal is not None:
                    digest = hashlib.sha256(message.payload).digest()
                    self.seal.check(message.topic, digest, message.properties, f"gateway/{site}/{gateway}")
                view = CameraView(f"{site}/{gateway}", camera, decode(message.payload, LineVerdict, message.topic))
                if message.topic in self.cameras or len(self.cameras) < MAX_LINES:
                    self.cameras[message.topic] = view
                self.latest.appendleft(view)
            case _:
                raise BadInputError(f"{message.topic}: not a topic of this dashboard")


def _put(known: dict[str, Kind], name: str, message: Incoming, kind: type[Kind]) -> None:
    if not message.payload:  # an empty retained message deletes the topic
        known.pop(name, None)
    elif name in known or len(known) < MAX_LINES:
        known[name] = decode(message.payload, kind, message.topic)
