"""What a peer may make the MQTT client do: heads are taken apart alone, and huge ones are dropped."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.client import MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from shared.mqtt import Properties
from shared.mqtt.guarded import MAX_PACKET_BYTES, GuardedClient, head_length
from shared.mqtt.message import packed_length
from shared.mqtt.packet_buffer import STAGING_BYTES

V5 = MQTTProtocolVersion.MQTTv5


def publish(topic: bytes, qos: int, properties: bytes, payload: bytes) -> bytes:
    """What follows the remaining length of a PUBLISH."""
    mid = b"\x00\x07" if qos else b""
    return struct.pack(">H", len(topic)) + topic + mid + properties + payload


def packed(user: dict[str, str]) -> bytes:
    return Properties("cw/1/rsp/a/b", bytes(16), 30, "x/y", user).pack()


@given(st.dictionaries(st.text("abc", max_size=9), st.text("xyz", max_size=300), max_size=9), st.binary(max_size=64))
def test_the_head_ends_where_paho_says(user: dict[str, str], payload: bytes) -> None:
    for qos in (0, 1):
        packet = publish(b"cw/1/x", qos, packed(user), payload)
        at, size = head_length(packet, qos)
        assert packet[at:] == payload
        whole = _packet.decode_publish(0x30 | qos << 1, packet, V5)
        head = _packet.decode_publish(0x30 | qos << 1, packet[:at], V5)
        assert (whole.payload, whole.topic, whole.mid) == (payload, head.topic, head.mid)
        assert str(whole.properties) == str(head.properties)
        assert Properties.unpack(packet[at - size : at]).user == user
        assert size == len(packed(user)) - (1 if size < 128 else 2)


def test_every_cut_head_is_malformed() -> None:
    packet = publish(b"cw/1/x", 1, packed({"schema": "1.0"}), b"")
    for length in range(len(packet)):
        with pytest.raises(MalformedPacket):
            head_length(packet[:length], 1)


@given(st.binary(max_size=200), st.sampled_from((0, 1)))
def test_rubbish_is_malformed_or_a_head(packet: bytes, qos: int) -> None:
    try:
        at, size = head_length(packet, qos)
        Properties.unpack(packet[at - size : at])
    except MalformedPacket:
        return
    assert 0 <= size <= at <= len(packet)


def test_a_claim_of_more_properties_than_there_are_is_malformed() -> None:
    with pytest.raises(MalformedPacket, match="claims 268435455 bytes"):
        head_length(publish(b"t", 1, b"\xff\xff\xff\x7f", b"x"), 1)
    with pytest.raises(MalformedPacket, match="more than four bytes"):
        head_length(publish(b"t", 1, b"\xff\xff\xff\xff\x7f", b"x"), 1)


def test_properties_of_the_library_are_as_we_think() -> None:
    """The private parts of paho that the client stands on; an update that renames them fails here."""
    assert PahoProperties(PacketTypes.PUBLISH).pack() == b"\x00"  # type: ignore[no-untyped-call]
    client, wire = connected(b"")
    client.disconnect()
    assert wire.sent == b"\xe0\x00"
    for name in ("_out_packet", "_in_packet", "_sock", "_last_msg_out", "_last_bytes_received"):
        assert hasattr(client, name)


class Wire:
    """A socket that has some bytes to read, a few at a time, and takes a few at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self.data, self.step, self.sent = data, step, b""

    def recv_into(self, room: memoryview) -> int:
        if not self.data:
            raise BlockingIOError
        count = min(self.step, len(room), len(self.data))
        room[:count], self.data = self.data[:count], self.data[count:]
        return count

    def send(self, data: memoryview) -> int:
        self.sent += bytes(data[: self.step])
        return min(len(data), self.step)

    def sendmsg(self, parts: list[memoryview]) -> int:
        return self.send(memoryview(b"".join(parts)))

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


def connected(data: bytes, step: int = 100_000) -> tuple[GuardedClient, Wire]:
    """A client whose broker says `data`."""
    client = GuardedClient(CallbackAPIVersion.VERSION2, client_id="x", protocol=MQTTv5, manual_ack=True)
    wire = Wire(data, step)
    client._sock = wire  # type: ignore[assignment]
    return client, wire


def framed(command: int, body: bytes) -> bytes:
    return bytes((command,)) + packed_length(len(body)) + body


SIZES = st.sampled_from((0, 1, 100, 5_000, STAGING_BYTES - 60, STAGING_BYTES, STAGING_BYTES + 1, 70_000))


@settings(deadline=None)
@given(st.lists(st.tuples(SIZES, st.sampled_from((0, 1))), max_size=6), st.sampled_from((1_000, 4_096, 100_000)))
def test_what_is_published_is_received_however_it_is_cut(messages: list[tuple[int, int]], step: int) -> None:
    client, wire = connected(b"", step)
    client.acknowledged = lambda packet, code: acknowledged.append(packet)
    acknowledged: list[int] = []
    properties = Properties("cw/1/rsp/a/b", bytes(16), 30, "x/y", {"schema": "1.0"})
    sent = []
    for number, (size, qos) in enumerate(messages):
        payload = bytes([number]) * size
        mid = client.send_publish(f"t/{number}", payload, qos, bool(number % 2), properties)
        sent.append((f"t/{number}", payload, mid or None, bool(number % 2), properties))
    while client.want_write():
        client.loop_write()
    received: list[object] = []
    reader, other = connected(wire.sent, step)
    reader.received = lambda *message: received.append(message)
    while other.data:
        assert reader.loop_read() == 0
    assert received == sent
    mids = [mid for _, _, mid, _, _ in sent if mid is not None]
    for mid in mids:
        reader.send_puback(mid)
    reader.loop_write()
    wire.data = b"".join(framed(0x40, mid.to_bytes(2, "big")) for mid in mids)
    assert other.sent == wire.data[: len(other.sent)]
    while wire.data:
        client.loop_read()
    assert acknowledged == mids


def test_the_broker_is_sent_no_more_than_it_takes() -> None:
    client, wire = connected(b"")
    client.window, acknowledged = 2, []
    client.acknowledged = lambda packet, code: acknowledged.append((packet, code))
    mids = [client.send_publish("t", b"x", 1, False, None) for _ in range(4)]
    client.loop_write()
    assert wire.sent.count(b"\x00\x01t") == 2
    wire.data = framed(0x40, mids[0].to_bytes(2, "big")) + framed(0x40, mids[0].to_bytes(2, "big"))  # one repeated
    client.loop_read()
    client.loop_write()
    assert wire.sent.count(b"\x00\x01t") == 3
    wire.data = b"".join(framed(0x40, mid.to_bytes(2, "big") + b"\x10\x00") for mid in mids[1:3])
    client.loop_read()
    client.loop_write()
    assert wire.sent.count(b"\x00\x01t") == 4
    assert acknowledged == [(mids[0], 0), (mids[1], 16), (mids[2], 16)]


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        framed(0x30, b"")[:1] + packed_length(MAX_PACKET_BYTES + 1),
        framed(0x30, b"\x00"),
        framed(0x34, b"\x00\x01t\x00\x01\x00x"),  # QoS 2
        framed(0x40, b"\x00"),
        framed(0x32, b"\x00\x01\xff\x00\x01\x00x"),
    ],
)
def test_a_packet_that_cannot_be_read_ends_the_connection(data: bytes) -> None:
    client, _ = connected(data)
    assert client._packet_read() == MQTTErrorCode.MQTT_ERR_PROTOCOL
