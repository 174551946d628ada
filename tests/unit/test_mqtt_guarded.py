"""What a peer may make the MQTT client do: heads are taken apart alone, and huge ones are dropped."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from shared.mqtt import Properties
from shared.mqtt.guarded import head_length

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
        _packet.decode_publish(0x30 | qos << 1, packet[:at], V5)
    except MalformedPacket:
        return
    assert 0 <= size <= at <= len(packet)


def test_a_claim_of_more_properties_than_there_are_is_malformed() -> None:
    with pytest.raises(MalformedPacket, match="claims 268435455 bytes"):
        head_length(publish(b"t", 1, b"\xff\xff\xff\x7f", b"x"), 1)
    with pytest.raises(MalformedPacket, match="more than four bytes"):
        head_length(publish(b"t", 1, b"\xff\xff\xff\xff\x7f", b"x"), 1)


def test_properties_of_the_library_are_as_we_think() -> None:
    """The private parts of paho that the guard stands on; an update that renames them fails here."""
    assert PahoProperties(PacketTypes.PUBLISH).pack() == b"\x00"  # type: ignore[no-untyped-call]
    assert _packet.decode_publish(0x32, publish(b"t", 1, b"\x00", b"x"), V5).mid == 7
