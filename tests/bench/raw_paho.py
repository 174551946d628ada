"""Request and response with nothing but paho-mqtt: what `make bench-link` holds our stack against.

Both sides do what a careful user of paho does: a process each, a loop thread, TCP_NODELAY, QoS 1 both ways, MQTT 5
response topic and correlation, the answer published from `on_message`. Nothing is kept, checked, retried or announced.
`requester.user` adds user properties, so that a message may carry the same as one of ours.

    python tests/bench/raw_paho.py PORT      # the answering side, as a process of its own
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

REQUESTS = "raw/req"
RESPONSES = "raw/rsp"
ANSWER = bytes(400)  # about as long as a Response with its verdict
WAIT_S = 30.0


def new_client(name: str) -> paho.Client:
    """A client with TCP_NODELAY."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
    client.on_socket_open = lambda c, d, opened: opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def respond(port: int) -> None:
    """Answer every request, for ever."""
    client = new_client("raw-responder")

    def answer(c: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        properties.CorrelationData = message.properties.CorrelationData
        c.publish(message.properties.ResponseTopic, ANSWER, qos=1, properties=properties)

    client.on_message = answer
    client.on_connect = lambda c, *rest: c.subscribe(REQUESTS, qos=1)
    client.connect("127.0.0.1", port)
    client.loop_forever()


class RawRequester:
    """Publishes requests and is told of each answer."""

    def __init__(self, port: int) -> None:
        self._client = new_client("raw-requester")
        self._sent: dict[bytes, float] = {}
        self._heard: Callable[[float], None] = lambda seconds: None
        self._count = 0
        self.user: dict[str, str] = {}  # user properties of each request
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *rest: subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(RESPONSES, qos=1)
        self._client.loop_start()
        if not subscribed.wait(WAIT_S):
            raise TimeoutError("raw paho: no SUBACK")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        now_s = time.perf_counter()
        self._heard(now_s - self._sent.pop(message.properties.CorrelationData))

    def _send(self, payload: bytes) -> None:
        self._count += 1
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = RESPONSES
        properties.CorrelationData = self._count.to_bytes(16, "big")
        if self.user:
            properties.UserProperty = list(self.user.items())
        self._sent[properties.CorrelationData] = time.perf_counter()
        self._client.publish(REQUESTS, payload, qos=1, properties=properties)

    def request(self, payload: bytes) -> float:
        """Seconds from one request to its response."""
        done, taken = threading.Event(), []

        def heard(seconds: float) -> None:
            taken.append(seconds)
            done.set()

        self._heard = heard
        self._send(payload)
        if not done.wait(WAIT_S):
            raise TimeoutError("raw paho: no answer")
        return taken[0]

    def saturate(self, payload: bytes, count: int, window: int) -> float:
        """Seconds for `count` requests of which `window` are under way at any time."""
        room, done, left = threading.Semaphore(window), threading.Event(), [count]

        def heard(seconds: float) -> None:
            left[0] -= 1
            room.release()
            if not left[0]:
                done.set()

        self._heard = heard
        started_s = time.perf_counter()
        for _ in range(count):
            if not room.acquire(timeout=WAIT_S):
                raise TimeoutError("raw paho: no answer")
            self._send(payload)
        if not done.wait(WAIT_S):
            raise TimeoutError("raw paho: no answer")
        return time.perf_counter() - started_s


if __name__ == "__main__":
    respond(int(sys.argv[1]))
