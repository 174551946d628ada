"""MQTT 5 messages and the properties that crustwatch uses, as small value objects around paho's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

MAX_USER_PROPERTIES = 64  # of an incoming message; the rest is dropped, nothing of ours has so many


@dataclass(frozen=True, slots=True)
class Properties:
    """The properties of one PUBLISH (MQTT 5, 3.3.2.3); absent ones are None or empty."""

    response_topic: str | None = None
    correlation: bytes | None = None
    expiry_s: int | None = None
    content_type: str | None = None
    user: dict[str, str] = field(default_factory=dict)

    def to_paho(self) -> PahoProperties:
        """The same for paho's `publish`."""
        paho = PahoProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if self.response_topic is not None:
            paho.ResponseTopic = self.response_topic
        if self.correlation is not None:
            paho.CorrelationData = self.correlation
        if self.expiry_s is not None:
            paho.MessageExpiryInterval = self.expiry_s
        if self.content_type is not None:
            paho.ContentType = self.content_type
        if self.user:
            paho.UserProperty = list(self.user.items())
        return paho

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


@dataclass(frozen=True, slots=True)
class Incoming:
    """A received message. `ack_key` names the connection and packet to acknowledge, None for QoS 0."""

    topic: str
    payload: bytes
    retain: bool
    properties: Properties
    ack_key: tuple[int, int] | None = None
    received_s: float = 0.0  # on the event loop's clock
