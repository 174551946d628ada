"""paho's client with the hot path its own: PUBLISH and PUBACK are read and written here, the rest by paho-mqtt 2.2.0.

Why (decision 0111): paho reads each packet by its first byte, its length byte by byte, and then the rest; copies a
payload four times; and keeps locks and objects for its threads and retries, of which nothing here has use. Reading is
bounded in what a peer may make it do: `Properties.unpack` of paho copies everything behind a property, payload
included, about three times for each, so that 10,000 user properties stop the event loop for minutes. A message with
more than MAX_PROPERTY_BYTES of properties is acknowledged and dropped.
"""

from __future__ import annotations

import logging
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MalformedPacket, MQTTException

from shared.mqtt.message import Properties, packed_length, variable_byte_integer
from shared.mqtt.packet_buffer import MAX_PACKET_BYTES, PacketBuffer

__all__ = ["MAX_PACKET_BYTES", "GuardedClient", "head_length"]

log = logging.getLogger(__name__)

MAX_PROPERTY_BYTES = 16 * 1024  # ours have about 1 KB
MAX_IN_FLIGHT = 64  # our unacknowledged QoS 1 publications, unless the broker allows fewer; the rest waits here
JOINED_BYTES = (
    16 * 1024
)  # a payload up to this is copied behind its head, a larger one is handed to the kernel in place
GATHERED_BYTES = 1024 * 1024  # of waiting packets go to the kernel in one call ...
GATHERED_PACKETS = 64  # ... and so many (IOV_MAX is 1024)
_PUBLISH, _PUBACK, _DISCONNECT = 0x30, 0x40, 0xE0  # packet types (2.1.2)
_QOS = 0x06
_PUBLISH_PREFIX = 2  # bytes of the topic's length
_MID_BYTES = 2
_NO_PROPERTIES = Properties().pack()


def head_length(packet: bytes | bytearray, qos: int) -> tuple[int, int]:
    """Where the payload of a PUBLISH begins, and how many bytes its properties have (MQTT 5, 3.3.2).

    `packet` is what follows the remaining length. Raises MalformedPacket when it ends before its head does.
    """
    try:
        at = _PUBLISH_PREFIX + int.from_bytes(packet[:_PUBLISH_PREFIX], "big") + (_MID_BYTES if qos else 0)
        size, at = variable_byte_integer(packet, at)
    except IndexError:
        raise MalformedPacket("a PUBLISH that ends in its head") from None
    if at + size > len(packet):
        raise MalformedPacket(f"a PUBLISH of {len(packet)} bytes claims {size} bytes of properties")
    return at + size, size


class GuardedClient(paho.Client):
    """A paho client for MQTT 5 on an event loop; `dropped` counts messages that are not read.

    `received` is called with topic, payload, packet id (None at QoS 0), retain flag and properties of each message, and
    `acknowledged` with packet id and reason code of each PUBACK.
    """

    dropped = 0
    window = MAX_IN_FLIGHT
    received: Callable[[str, bytes, int | None, bool, Properties], None]
    acknowledged: Callable[[int, int], None]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """As paho's."""
        super().__init__(*arguments, **named)
        self._buffer = PacketBuffer()
        self._flying: set[int] = set()  # packet ids of QoS 1 publications that the broker has not acknowledged
        self._waiting: deque[tuple[int, bytes, bytes]] = deque()  # id, head and payload of those without room

    # What is published.

    def send_publish(self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None) -> int:
        """Queue a PUBLISH; returns its packet id, 0 at QoS 0. Raises ValueError for what no packet can hold."""
        name = topic.encode()
        if not name or len(name) > 65_535 or "#" in topic or "+" in topic:
            raise ValueError(f"not a topic to publish to: {topic[:120]!r}")
        mid = self._free_mid() if qos else 0
        packed = _NO_PROPERTIES if properties is None else properties.pack()
        length = len(name) + len(packed) + len(payload) + _PUBLISH_PREFIX + (_MID_BYTES if qos else 0)
        head = b"".join(
            (
                bytes((_PUBLISH | qos << 1 | retain,)),
                packed_length(length),
                len(name).to_bytes(_PUBLISH_PREFIX, "big"),
                name,
                mid.to_bytes(_MID_BYTES, "big") if qos else b"",
                packed,
            )
        )
        if qos and len(self._flying) >= self.window:
            self._waiting.append((mid, head, payload))
        else:
            self._launch(mid, head, payload)
        return mid

    def _free_mid(self) -> int:
        taken = {mid for mid, _, _ in self._waiting} if self._waiting else ()
        while True:
            mid = self._mid_generate()
            if mid not in self._flying and mid not in taken:
                return mid

    def _launch(self, mid: int, head: bytes, payload: bytes) -> None:
        if mid:
            self._flying.add(mid)
        if len(payload) <= JOINED_BYTES:
            self._queue(head + payload)
        else:
            self._queue(head)
            self._queue(payload)

    def send_puback(self, mid: int) -> None:
        """Queue a PUBACK with reason 0 (3.4.2.1)."""
        self._queue(b"\x40\x02" + mid.to_bytes(_MID_BYTES, "big"))

    def _queue(self, data: bytes) -> None:
        # paho looks only at DISCONNECT and at PUBLISH of QoS 0, which has somebody to tell: 0 is neither.
        waiting = {"command": 0, "mid": 0, "qos": 0, "pos": 0, "to_process": len(data), "packet": data, "info": None}
        self._out_packet.append(waiting)  # type: ignore[arg-type]
        self._call_socket_register_write()

    def _packet_write(self) -> MQTTErrorCode:
        out = self._out_packet
        while out:
            if out[0]["command"] & 0xF0 == _DISCONNECT:
                return super()._packet_write()
            try:
                sent = self._send_some()
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self._call_socket_register_write()
                return MQTTErrorCode.MQTT_ERR_AGAIN
            except OSError as error:
                log.debug("failed to send: %s", error)
                return MQTTErrorCode.MQTT_ERR_CONN_LOST
            while sent:
                first = out[0]
                part = min(sent, first["to_process"])
                sent -= part
                first["pos"] += part
                first["to_process"] -= part
                if not first["to_process"]:
                    out.popleft()
        self._last_msg_out = time.monotonic()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _send_some(self) -> int:
        """Hand waiting bytes to the kernel, from as many packets as one call takes; how many it took."""
        opened: Any = self._sock
        if opened is None:
            raise ConnectionError("no socket")
        parts, size = [], 0
        for packet in self._out_packet:
            if packet["command"] & 0xF0 == _DISCONNECT:
                break
            part = memoryview(packet["packet"])[packet["pos"] :]
            parts.append(part)
            size += len(part)
            if len(parts) == GATHERED_PACKETS or size > GATHERED_BYTES or isinstance(opened, ssl.SSLSocket):
                break
        return int(opened.send(parts[0]) if len(parts) == 1 else opened.sendmsg(parts))

    # What is received.

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read once, and handle all packets that are whole by then: the selector calls again while there is more.

        Where that was the head of a large packet, its rest is read, too: most often it is there already.
        """
        if self._sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        result = self._packet_read()
        if result == MQTTErrorCode.MQTT_ERR_SUCCESS and self._buffer.is_filling and self._sock is not None:
            result = self._packet_read()
        if result == MQTTErrorCode.MQTT_ERR_AGAIN:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        if result > 0:
            return self._loop_rc_handle(result)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _packet_read(self) -> MQTTErrorCode:
        opened: Any = self._sock
        try:
            count = opened.recv_into(self._buffer.room())
        except (BlockingIOError, ssl.SSLWantReadError):
            return MQTTErrorCode.MQTT_ERR_AGAIN
        except ssl.SSLWantWriteError:
            self._call_socket_register_write()
            return MQTTErrorCode.MQTT_ERR_AGAIN
        except OSError as error:
            log.debug("failed to receive: %s", error)
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        if not count:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        self._last_bytes_received = time.monotonic()
        self._buffer.took(count)
        try:
            for command, body in self._buffer.packets():
                if (result := self._handle(command, body)) > 0:
                    return result
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            AssertionError,
            struct.error,
            MQTTException,
        ) as error:
            # An exception in the loop's callback would leave half a packet behind, and the connection would hang.
            log.info("a packet that cannot be read: %s: %s", type(error).__name__, str(error))
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle(self, command: int, body: bytes | bytearray) -> MQTTErrorCode:
        if command & 0xF0 == _PUBLISH:
            return self._take_publish(command, body)
        if command == _PUBACK:
            return self._take_puback(body)
        self._in_packet = {
            "command": command,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        return self._packet_handle()

    def _handle_pubackcomp(self, cmd: object) -> MQTTErrorCode:
        return MQTTErrorCode.MQTT_ERR_PROTOCOL  # nothing here publishes at QoS 2

    def _take_puback(self, body: bytes | bytearray) -> MQTTErrorCode:
        if len(body) < _MID_BYTES:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        mid = int.from_bytes(body[:_MID_BYTES], "big")
        if mid in self._flying:
            self._flying.remove(mid)
            self.acknowledged(mid, body[_MID_BYTES] if len(body) > _MID_BYTES else 0)  # 0 is left out (3.4.2.1)
            while self._waiting and len(self._flying) < self.window:
                self._launch(*self._waiting.popleft())
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _take_publish(self, command: int, body: bytes | bytearray) -> MQTTErrorCode:
        qos = (command & _QOS) >> 1
        if qos > 1:  # nothing here subscribes at QoS 2
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        payload_at, property_bytes = head_length(body, qos)
        name_end = _PUBLISH_PREFIX + int.from_bytes(body[:_PUBLISH_PREFIX], "big")
        mid = int.from_bytes(body[name_end : name_end + _MID_BYTES], "big") if qos else None
        if property_bytes > MAX_PROPERTY_BYTES:
            return self._drop(mid, f"{property_bytes} bytes of properties")
        try:
            topic = body[_PUBLISH_PREFIX:name_end].decode()
        except UnicodeDecodeError:
            raise MalformedPacket("a topic that is not UTF-8 (1.5.4)") from None
        if not topic.isprintable():  # line breaks and escape codes would end up in logs and on terminals
            return self._drop(mid, "control characters in its topic")
        properties = Properties.unpack(bytes(body[payload_at - property_bytes : payload_at]))
        if isinstance(body, bytearray):  # a large one, nobody else's: cutting off its head moves nothing
            del body[:payload_at]
            payload = cast("bytes", body)
        else:
            payload = body[payload_at:]
        self.received(topic, payload, mid, bool(command & 1), properties)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _drop(self, mid: int | None, reason: str) -> MQTTErrorCode:
        self.dropped += 1
        log.warning("dropped a message with %s", reason)
        if mid is not None:
            self.send_puback(mid)
        return MQTTErrorCode.MQTT_ERR_SUCCESS
