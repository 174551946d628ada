"""Configuration of one MQTT client, units in the field names."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.mqtt.address import BrokerAddress
from shared.mqtt.backoff import Backoff


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained at QoS 1, when this client vanishes without saying goodbye."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """One client. Sessions are always clean: what must survive is kept in the outbox, not in the broker."""

    address: BrokerAddress
    client_id: str
    will: Will | None = None
    tls_context: Callable[[], ssl.SSLContext] | None = None  # asked at each connection: a renewed certificate counts
    keepalive_s: int = 15  # a broker declares a silent client dead after 1.5 times this
    connect_timeout_s: float = 5.0  # TCP, TLS and CONNACK each
    ack_timeout_s: float = 60.0  # a broker that leaves a QoS 1 message or a subscription unanswered for so long is gone
    receive_maximum: int = 16  # QoS 1 messages that the broker may send ahead of our acknowledgements
    incoming_limit: int = 64  # messages held in memory; beyond it the socket is no longer read
    backoff: Backoff = field(default_factory=Backoff)
