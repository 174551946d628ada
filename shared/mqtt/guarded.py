"""paho's client with bounds on what a peer may make it do while it takes a message apart.

`Properties.unpack` of paho-mqtt 2.2.0 copies everything behind a property, payload included, about three times for each
property: seven properties on a 300 KB clip copy 8 MB, and 10,000 user properties stop the event loop for minutes. Here
the head is taken apart alone, so that the payload is copied once, and a message with more than MAX_PROPERTY_BYTES of
properties is acknowledged and dropped. A packet beyond the announced maximum ends the connection (MQTT 5, 3.1.2.11.4).
A PUBACK without properties, which is every one, is read without paho's objects for reason and properties: a sixth of
the CPU time of a small publication.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from typing import Literal

import paho.mqtt.client as paho
from paho.mqtt import _packet
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MalformedPacket, MQTTException

log = logging.getLogger(__name__)

MAX_PACKET_BYTES = 16 * 1024 * 1024  # MQTT 5 Maximum Packet Size that we announce: twice the largest clip
MAX_PROPERTY_BYTES = 16 * 1024  # ours have about 1 KB
_QOS = 0x06
_PUBLISH_PREFIX = 2  # bytes of the topic's length
_MID_BYTES = 2


def head_length(packet: bytes | bytearray, qos: int) -> tuple[int, int]:
    """Where the payload of a PUBLISH begins, and how many bytes its properties have (MQTT 5, 3.3.2).

    `packet` is what follows the remaining length. Raises MalformedPacket when it ends before its head does.
    """
    try:
        at = _PUBLISH_PREFIX + int.from_bytes(packet[:_PUBLISH_PREFIX], "big") + (2 if qos else 0)
        size = shift = 0
        for _ in range(4):  # a variable byte integer has at most four (1.5.5)
            byte = packet[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        else:
            raise MalformedPacket("the length of the properties has more than four bytes")
    except IndexError:
        raise MalformedPacket("a PUBLISH that ends in its head") from None
    if at + size > len(packet):
        raise MalformedPacket(f"a PUBLISH of {len(packet)} bytes claims {size} bytes of properties")
    return at + size, size


class GuardedClient(paho.Client):
    """A paho client for MQTT 5; `dropped` counts messages that are not read.

    `acknowledged` is called with packet id and reason code of each PUBACK, instead of paho's `on_publish`.
    """

    dropped = 0
    acknowledged: Callable[[int, int], None] = staticmethod(lambda packet, code: None)

    def _packet_read(self) -> MQTTErrorCode:
        if self._in_packet["have_remaining"] and self._in_packet["remaining_length"] > MAX_PACKET_BYTES:
            log.warning("a packet of %d bytes: disconnecting", self._in_packet["remaining_length"])
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        try:
            return super()._packet_read()
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
            log.warning("a packet that cannot be read: %s: %s", type(error).__name__, error)
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if cmd == "PUBCOMP" or len(packet) < _MID_BYTES:  # nothing here publishes at QoS 2
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        mid = int.from_bytes(packet[:_MID_BYTES], "big")
        with self._out_message_mutex:
            if self._out_messages.pop(mid, None) is None:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            self._inflight_messages -= 1
            self.acknowledged(mid, packet[_MID_BYTES] if len(packet) > _MID_BYTES else 0)  # 0 is left out (3.4.2.1)
            if len(self._out_messages) > self._inflight_messages:  # some wait for room
                return self._update_inflight()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_publish(self) -> MQTTErrorCode:
        command, packet = self._in_packet["command"], self._in_packet["packet"]
        qos = (command & _QOS) >> 1
        payload_at, property_bytes = head_length(packet, qos)
        if property_bytes > MAX_PROPERTY_BYTES:
            mid_at = _PUBLISH_PREFIX + int.from_bytes(packet[:_PUBLISH_PREFIX], "big")
            mid = int.from_bytes(packet[mid_at : mid_at + _MID_BYTES], "big")
            return self._drop(qos, mid, f"{property_bytes} bytes of properties")
        head = _packet.decode_publish(command, bytes(packet[:payload_at]), self._protocol)
        try:
            topic = head.topic.decode()
        except UnicodeDecodeError:
            raise MalformedPacket("a topic that is not UTF-8 (1.5.4)") from None
        if not topic.isprintable():  # line breaks and escape codes would end up in logs and on terminals
            return self._drop(qos, head.mid, "control characters in its topic")
        message = paho.MQTTMessage(mid=head.mid, topic=head.topic)
        message.dup, message.qos, message.retain = head.dup, head.qos, head.retain
        message.properties = head.properties
        message.payload = bytes(memoryview(packet)[payload_at:])
        if qos > 1:  # nothing here subscribes at QoS 2
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._handle_on_message(message)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _drop(self, qos: int, mid: int, reason: str) -> MQTTErrorCode:
        self.dropped += 1
        log.warning("dropped a message with %s", reason)
        return self._send_puback(mid) if qos == 1 else MQTTErrorCode.MQTT_ERR_SUCCESS
