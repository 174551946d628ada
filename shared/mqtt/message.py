"""MQTT 5 messages and the properties that crustwatch uses, as small value objects around paho's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MAX_USER_PROPERTIES = 64  # of an incoming message; the rest is dropped, nothing of ours has so many


@dataclass(frozen=True, slots=True)
class Properties:
    """The properties of one PUBLISH (MQTT 5, 3.3.2.3); absent ones are None or empty."""

    response_topic: str | None = None
    correlation: bytes | None = None
    expiry_s: int | None = None
    content_type: str | None = None
    user: dict[str, str] = field(default_factory=dict)

    def pack(self) -> bytes:
        """As they stand in a PUBLISH, their length first (2.2.2): what paho asks of the properties it publishes.

        Raises ValueError for a text that is too long for its two bytes of length. paho's own objects take ten times
        as long for this.
        """
        parts = []
        if self.expiry_s is not None:
            parts.append(b"\x02" + self.expiry_s.to_bytes(4, "big"))
        if self.content_type is not None:
            parts.append(b"\x03" + _sized(self.content_type.encode()))
        if self.response_topic is not None:
            parts.append(b"\x08" + _sized(self.response_topic.encode()))
        if self.correlation is not None:
            parts.append(b"\x09" + _sized(self.correlation))
        parts += [b"\x26" + _sized(key.encode()) + _sized(value.encode()) for key, value in self.user.items()]
        body = b"".join(parts)
        return _variable_byte_integer(len(body)) + body

    @classmethod
    def from_paho(cls, paho: Any) -> Properties:
        """From the properties of a received message; the first of repeated user properties counts."""
        user: dict[str, str] = {}
        for key, value in getattr(paho, "UserProperty", [])[:MAX_USER_PROPERTIES]:
            user.setdefault(key, value)
        return cls(
            response_topic=getattr(paho, "ResponseTopic", None),
            correlation=getattr(paho, "CorrelationData", None),
            expiry_s=getattr(paho, "MessageExpiryInterval", None),
            content_type=getattr(paho, "ContentType", None),
            user=user,
        )


def _sized(data: bytes) -> bytes:
    """UTF-8 text or binary data behind its length in two bytes (1.5.4, 1.5.6)."""
    if len(data) > 65_535:
        raise ValueError(f"{len(data)} bytes do not fit a property")
    return len(data).to_bytes(2, "big") + data


def _variable_byte_integer(value: int) -> bytes:
    """Seven bits a byte, the lowest first (1.5.5)."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | 0x80 if value else low)
        if not value:
            return bytes(out)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A received message. `ack_key` names the connection and packet to acknowledge, None for QoS 0."""

    topic: str
    payload: bytes
    retain: bool
    properties: Properties
    ack_key: tuple[int, int] | None = None
    received_s: float = 0.0  # on the event loop's clock
