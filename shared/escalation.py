"""The escalation request on the wire: a clip as payload, everything else as MQTT 5 properties. Knows no sockets.

| property          | value                                                                 |
| ----------------- | --------------------------------------------------------------------- |
| ResponseTopic     | `cw/1/rsp/<site>/<gateway>`, the line of the request's own topic       |
| CorrelationData   | the 16-byte id of the bake                                            |
| MessageExpiry     | seconds until the edge's verdict becomes final, rounded up            |
| ContentType       | `application/vnd.crustwatch.clip`                                     |
| user `schema`     | `1.<minor>`: a reader of version 1 takes any minor                    |
| user `model`      | the on-device model that was unsure                                   |
| user `sha256`     | of the payload, 64 hex digits                                         |
| user `attempt`    | 1, 2, ...: the same id and payload, sent again                        |
| user `seal`       | the gateway's signature over all of the above (`shared/seal`)         |
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared import topics
from shared.clip import MAX_CLIP_BYTES
from shared.errors import BadInputError
from shared.messages import SCHEMA
from shared.mqtt.message import Incoming, Properties

if TYPE_CHECKING:
    from shared.seal.seal import Seal

CONTENT_TYPE = "application/vnd.crustwatch.clip"
ID_BYTES = 16
MAX_ATTEMPT = 1_000_000
MAX_EXPIRY_S = 7 * 86_400


class BadRequestError(BadInputError):
    """A request that names its sender but breaks the protocol: it gets an answer that says so."""


@dataclass(frozen=True, slots=True)
class Request:
    """One escalation, as the gateway sends it and the worker reads it."""

    id: bytes  # 16 bytes
    attempt: int
    task: str
    priority: str
    line: topics.Line
    clip: bytes  # shared.clip container
    model: str
    expiry_s: int
    sha256: str = ""  # of the clip, 64 hex digits; computed when it is not given

    def __post_init__(self) -> None:
        """Hash the clip once: at 300 KB that costs as much as the rest of a request."""
        if not self.sha256:
            object.__setattr__(self, "sha256", hashlib.sha256(self.clip).hexdigest())

    @property
    def topic(self) -> str:
        """Where it is published."""
        return self.line.request(self.task, self.priority)

    def properties(self) -> Properties:
        """Its MQTT 5 properties."""
        return Properties(
            response_topic=self.line.response,
            correlation=self.id,
            expiry_s=self.expiry_s,
            content_type=CONTENT_TYPE,
            user={
                "schema": SCHEMA,
                "model": self.model,
                "sha256": self.sha256,
                "attempt": str(self.attempt),
            },
        )

    def sealed(self, seal: Seal | None) -> Properties:
        """Its properties with the gateway's seal; without a seal the request is unsigned."""
        if seal is None:
            return self.properties()
        until_us = seal.now_us() + self.expiry_s * 1_000_000
        return seal.sign(self.topic, bytes.fromhex(self.sha256), self.properties(), until_us)


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom to answer: taken from the topic, which the broker's access rules vouch for, and the correlation."""

    line: topics.Line
    id: bytes
    attempt: int  # 1 when the request does not say

    @property
    def gateway(self) -> str:
        """The identity that alone may send on this line."""
        return f"gateway/{self.line.site}/{self.line.gateway}"


def sender_of(message: Incoming) -> Sender:
    """Who sent a request. Raises BadInputError when nobody can be answered: strange topic or no 16-byte id."""
    line = topics.parse_request(message.topic).line
    correlation = message.properties.correlation
    if correlation is None or len(correlation) != ID_BYTES:
        raise BadInputError(f"{message.topic}: CorrelationData must be the {ID_BYTES}-byte id of the bake")
    try:
        attempt = _attempt(message.properties.user)
    except BadRequestError:
        attempt = 1
    return Sender(line, bytes(correlation), attempt)


def read_request(message: Incoming, sha256: str | None = None) -> Request:
    """The request in a message that `sender_of` accepted. Raises BadRequestError with a reason for the sender.

    `sha256` is of the payload, for a caller that has it.
    """
    where = topics.parse_request(message.topic)
    properties = message.properties
    user = properties.user
    if properties.response_topic != where.line.response:
        raise BadRequestError(f"ResponseTopic must be {where.line.response}: answers go nowhere else")
    if properties.content_type != CONTENT_TYPE:
        raise BadRequestError(f"ContentType must be {CONTENT_TYPE}")
    if user.get("schema", "").split(".")[0] != SCHEMA.split(".")[0]:
        raise BadRequestError(f"schema {user.get('schema', '')[:20]!r} is not understood: this worker reads {SCHEMA}")
    if len(message.payload) > MAX_CLIP_BYTES:
        raise BadRequestError(f"a clip has at most {MAX_CLIP_BYTES} bytes, not {len(message.payload)}")
    sha256 = sha256 or hashlib.sha256(message.payload).hexdigest()
    if user.get("sha256") != sha256:
        raise BadRequestError("the payload does not match its sha256 property")
    return Request(
        id=bytes(properties.correlation or b""),
        attempt=_attempt(user),
        task=where.task,
        priority=where.priority,
        line=where.line,
        clip=message.payload,
        model=user.get("model", "")[:120],
        expiry_s=min(properties.expiry_s if properties.expiry_s is not None else MAX_EXPIRY_S, MAX_EXPIRY_S),
        sha256=sha256,
    )


def _attempt(user: dict[str, str]) -> int:
    text = user.get("attempt", "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 7 and 1 <= int(text) <= MAX_ATTEMPT):
        raise BadRequestError(f"the property attempt must be 1 to {MAX_ATTEMPT}, not {text[:20]!r}")
    return int(text)
