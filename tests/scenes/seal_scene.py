"""Identities of one site with clocks that tests set."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from shared.escalation import Request
from shared.mqtt import Incoming, Properties
from shared.pki.authority import Authority, utc_now
from shared.pki.identity import Identity
from shared.pki.trust import Trust
from shared.seal import Checker, Seal, Signer
from shared.topics import Line

START = utc_now()
ONE, TWO = Line.of("plant", "oven-1"), Line.of("plant", "oven-2")


@dataclasses.dataclass
class Clock:
    """Microseconds since the epoch, as tests set them."""

    us: int = int(START.timestamp() * 1e6)

    def __call__(self) -> int:
        return self.us

    def forward(self, by: timedelta) -> None:
        self.us += int(by.total_seconds() * 1e6)


@cache
def authority(name: str) -> Authority:
    return Authority.create(Path(tempfile.mkdtemp(prefix="crustwatch-test-")) / "pki", name, START - timedelta(days=90))


def seal(role: str, name: str, clock: Clock | None = None, of: str = "plant", issued: datetime = START) -> Seal:
    """A seal with a key of its own, valid for 30 days from `issued`."""
    signer = Signer(*authority(of).certify(Identity.of(role, name), issued, 30))
    return Seal(signer, Checker(Trust.load(authority(of).folder / "ca.pem")), clock or Clock())


def request(line: Line = ONE, **changes: object) -> Request:
    fields = {"id": bytes(range(16)), "attempt": 1, "task": "pizza", "priority": "high", "line": line}
    return Request(**{**fields, "clip": b"clip", "model": "m", "expiry_s": 30, **changes})  # type: ignore[arg-type]


def message(sent: Request, properties: Properties, **changes: object) -> Incoming:
    """The request as it arrives."""
    return dataclasses.replace(Incoming(sent.topic, sent.clip, False, properties), **changes)  # type: ignore[arg-type]


def digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()
