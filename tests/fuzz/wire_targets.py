"""Bytes from the serial line, the network and the debugger."""

from __future__ import annotations

import contextlib
import struct
import zlib

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket

from firmware_sim.rp2040.gdb_packets import PacketReader
from shared.clip import ClipFrame, decode_clip, encode_clip
from shared.errors import BadInputError
from shared.escalation import Request
from shared.images import decode_jpeg, encode_jpeg
from shared.mqtt import Properties, parse_address
from shared.mqtt.guarded import GuardedClient, head_length
from shared.topics import Line
from shared.uart.codec import decode_body
from shared.uart.framing import PacketDecoder, encode_packet
from shared.uart.messages import MESSAGES


def uart(data: bytes) -> None:
    """Packets of the serial line: raw bytes, or a body behind a right checksum, in two pieces."""
    how, rest = how_and_rest(data)
    if how & 1:
        with contextlib.suppress(BadInputError):
            rest = encode_packet(rest)
    decoder, cut = PacketDecoder(), len(rest) * (how >> 1) // 127
    for part in (rest[:cut], rest[cut:]):
        for packet in decoder.feed(part):
            if packet.body is not None:
                with contextlib.suppress(BadInputError):
                    decode_body(packet.body)


def uart_seeds() -> list[bytes]:
    bodies = [bytes((kind, 7)) + bytes(size) for kind in MESSAGES for size in (0, 4, 16, 64)]
    return [b"\x01" + body for body in bodies] + [b"\x40" + encode_packet(body) for body in bodies]


def clip(data: bytes) -> None:
    """The clip container: as it is, or with a checksum that fits."""
    how, rest = how_and_rest(data)
    if how & 1 and len(rest) >= 12:
        rest = rest[:-8] + struct.pack("<I", zlib.crc32(rest[:-8])) + b"CWCL"
    for frame in decode_clip(rest):
        assert frame.jpeg.startswith(b"\xff\xd8")


def clip_seeds() -> list[bytes]:
    jpeg = b"\xff\xd8\xff\xd9"
    clips = [encode_clip([ClipFrame(jpeg * (1 + number), number) for number in range(n)]) for n in (1, 2, 6)]
    return [bytes((how,)) + packed for how in (0, 1) for packed in clips]


def how_and_rest(data: bytes) -> tuple[int, bytes]:
    """The first byte of an input, which says how the rest is wrapped."""
    return (data[0], data[1:]) if data else (0, b"")


class _Wire:
    """A socket that has received `data` and then hears nothing more."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def recv_into(self, room: memoryview) -> int:
        if not self._data:
            raise BlockingIOError
        count = min(len(room), len(self._data))
        room[:count], self._data = self._data[:count], self._data[count:]
        return count

    def send(self, data: bytes) -> int:
        return len(data)

    def sendmsg(self, parts: list[bytes]) -> int:
        return sum(map(len, parts))

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


def packet(data: bytes) -> None:
    """What a broker sends: MQTT 5 packets, read until one is refused."""
    client = GuardedClient(CallbackAPIVersion.VERSION2, client_id="fuzz", protocol=paho.MQTTv5, manual_ack=True)
    client.received = lambda *message: None
    client.acknowledged = lambda *reply: None
    client._sock = _Wire(data)  # type: ignore[assignment]
    for _ in range(64):
        if client._sock is None or client._packet_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return


def packet_seeds() -> list[bytes]:
    p = Request(b"x" * 16, 1, "pizza", "high", Line.of("a", "b"), b"clip", "model", 30).properties().pack()
    topic = b"\x00\x03a/b"
    publish = topic + b"\x00\x01" + p + b"payload"
    bare = topic + b"\x00\x00\x00\x00"
    return [
        b"\x32" + _remaining(publish),
        b"\x30" + _remaining(topic + p + b"x") * 2,
        b"\x32" + _remaining(bare),
        b"\x40\x02\x00\x01\x40\x03\x00\x02\x10\x40\x04\x00\x03\x00\x00",
        b"\x90\x04\x00\x01\x00\x01\x90\x05\x00\x01\x00\x01\x87",
        b"\x20\x03\x00\x00\x00\x20\x06\x00\x00\x03\x21\x00\x14",
        b"\xe0\x00\xe0\x02\x8e\x00\xd0\x00",
    ]


def _remaining(body: bytes) -> bytes:
    assert len(body) < 128 * 128
    return (bytes((len(body) % 128 | 128, len(body) // 128)) if len(body) > 127 else bytes((len(body),))) + body


def jpeg(data: bytes) -> None:
    """JPEG frames under the pixel cap."""
    decode_jpeg(data, max_pixels=65_536)


def jpeg_seeds() -> list[bytes]:
    ramp = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)  # [H, W, 3]
    return [encode_jpeg(ramp), encode_jpeg(ramp, 30), encode_jpeg(ramp[:3, :5])]


def address(data: bytes) -> None:
    """Broker addresses."""
    str(parse_address(data.decode("utf-8", "replace")))


def debugger(data: bytes) -> None:
    """Packets of the GDB remote protocol, in pieces."""
    how, rest = how_and_rest(data)
    reader, cut = PacketReader(), len(rest) * how // 255
    reader.feed(rest[:cut])
    reader.feed(rest[cut:])


def publish(data: bytes) -> None:
    """Heads of PUBLISH packets and the properties in them."""
    how, rest = how_and_rest(data)
    qos = how & 1
    try:
        at, size = head_length(rest, qos)
        Properties.unpack(rest[at - size : at])
    except MalformedPacket as error:
        raise BadInputError(str(error)) from None


def publish_seeds() -> list[bytes]:
    packed = Properties("cw/1/rsp/a/b", bytes(16), 30, "x/y", {"schema": "1.0"}).pack()
    return [b"\x00\x00\x06cw/1/x" + packed + b"y", b"\x01\x00\x06cw/1/x\x00\x07" + packed]


def address_seeds() -> list[bytes]:
    return [b"mqtt://u:p@[::1]:1884", b"mqtts://h"]


def debugger_seeds() -> list[bytes]:
    return [b"\x80+$qSupported:a#37$m0,4#fd\x03", b"\x00$X0,1:}\x03#aa"]
