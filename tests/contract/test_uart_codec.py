"""The serial protocol's codec: round trips, truncation, garbage, and that the generated files are up to date."""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import BadInputError
from shared.uart import messages
from shared.uart.codec import Envelope, decode_body, encode, encode_body
from shared.uart.framing import Damage, PacketDecoder, cobs_decode, cobs_encode, encode_packet
from shared.uart.generate import c_header, python_messages
from shared.uart.layout import Field
from shared.uart.messages import MESSAGES, PACKET_MAX, Hello, Message, Statistics
from shared.uart.schema import load_protocol, parse_protocol

ROOT = Path(__file__).parents[2]
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines may be busy


def values_of(field: Field) -> st.SearchStrategy[Any]:
    low = -(1 << 8 * field.width - 1) if field.signed else 0
    scalar = st.integers(low, low + (1 << 8 * field.width) - 1)
    if field.size is None:
        return scalar
    fewest = 0 if field.listed else field.size
    if field.scalar == "u8":
        return st.binary(min_size=fewest, max_size=field.size)
    return st.lists(scalar, min_size=fewest, max_size=field.size).map(tuple)


@st.composite
def any_message(draw: st.DrawFn) -> Message:
    kind = draw(st.sampled_from(list(MESSAGES.values())))
    return kind(**{field.name: draw(values_of(field)) for field in kind.LAYOUT})


def bodies(decoder: PacketDecoder, data: bytes) -> list[bytes]:
    return [packet.body for packet in decoder.feed(data) if packet.body is not None]


@patient
@given(any_message(), st.integers(0, 255), st.lists(st.integers(0, 1200), max_size=4))
def test_round_trip_whatever_the_reads(message: Message, sequence: int, cuts: list[int]) -> None:
    data = encode(message, sequence)
    assert data.count(0) == 1
    assert data[-1] == 0
    decoder = PacketDecoder()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[a:b] for a, b in itertools.pairwise(edges)]
    found = [body for part in parts for body in bodies(decoder, part)]
    assert [decode_body(body) for body in found] == [Envelope(sequence, message)]


@patient
@given(any_message())
def test_every_truncated_body_is_refused(message: Message) -> None:
    body = encode_body(message, 7)
    for size in range(len(body)):
        with pytest.raises(BadInputError):
            decode_body(body[:size])
    with pytest.raises(BadInputError, match="too many"):
        decode_body(body + b"\0")


@patient
@given(any_message())
def test_every_truncated_packet_is_damaged_and_the_next_one_is_read(message: Message) -> None:
    data, next_one = encode(message, 7), encode(Hello(1), 8)
    for size in range(1, len(data) - 1):
        first, second = PacketDecoder().feed(data[:size] + b"\0" + next_one)
        assert first.damage in (Damage.BAD_CRC, Damage.BAD_FRAMING)
        assert second.body is not None
        assert decode_body(second.body) == Envelope(8, Hello(1))


@patient
@given(st.binary(max_size=2000), any_message())
def test_garbage_costs_nothing_behind_the_next_zero(garbage: bytes, message: Message) -> None:
    decoder = PacketDecoder()
    decoder.feed(garbage)
    found = bodies(decoder, b"\0" + encode(message, 9))
    assert decode_body(found[-1]) == Envelope(9, message)


@patient
@given(st.binary(max_size=700))
def test_cobs(data: bytes) -> None:
    encoded = cobs_encode(data)
    assert 0 not in encoded
    assert len(encoded) <= len(data) + len(data) // 254 + 1
    assert cobs_decode(encoded) == data


def test_cobs_by_the_paper() -> None:
    """Examples of Cheshire and Baker's paper and of the 254-byte boundary."""
    assert cobs_encode(b"") == b"\x01"
    assert cobs_encode(b"\0") == b"\x01\x01"
    assert cobs_encode(b"\x11\x22\0\x33") == b"\x03\x11\x22\x02\x33"
    run = bytes(range(1, 255))
    assert cobs_encode(run) == b"\xff" + run + b"\x01"
    assert cobs_decode(b"\xff" + run) == run  # encoders may leave the empty last run out
    assert cobs_encode(run + b"\0") == b"\xff" + run + b"\x01\x01"


@patient
@given(st.binary(min_size=1, max_size=64), st.integers(0), st.integers(1, 255))
def test_a_changed_byte_never_passes(body: bytes, place: int, change: int) -> None:
    data = bytearray(encode_packet(b"\x01" + body))
    place %= len(data)
    data[place] ^= change
    found = bodies(PacketDecoder(), bytes(data) + b"\0")
    assert b"\x01" + body not in found
    assert found == []


def test_hostile_lengths_are_capped() -> None:
    decoder = PacketDecoder()
    for _ in range(100):
        assert decoder.feed(b"\x7f" * 10_000) == []
        assert len(decoder._pending) <= PACKET_MAX + PACKET_MAX // 254 + 1
    assert [packet.damage for packet in decoder.feed(b"\0")] == [Damage.TOO_LONG]
    long = b"\x01" * (PACKET_MAX + 1)
    assert [packet.damage for packet in decoder.feed(cobs_encode(long) + b"\0")] == [Damage.TOO_LONG]
    assert bodies(decoder, encode(Hello(1), 1)) == [encode_body(Hello(1), 1)]


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInputError, match="u8"):
        encode(Hello(256), 1)
    with pytest.raises(BadInputError, match="at most 16"):
        encode(messages.SetThresholds((0,) * 17), 1)
    with pytest.raises(BadInputError, match="11 values"):
        encode(Statistics(0, 0, 0, 0, (1, 2), 0), 1)
    with pytest.raises(BadInputError, match="0 to 255"):
        encode(Hello(1), 256)
    with pytest.raises(BadInputError, match="unknown message"):
        decode_body(b"\x70\x01")
    with pytest.raises(BadInputError, match="17 values"):
        decode_body(bytes([messages.SetThresholds.TYPE, 1, 17]) + bytes(34))


def test_the_crc_is_that_of_zlib() -> None:
    packet = cobs_decode(encode_packet(b"\x01\x02\x03")[:-1])
    assert int.from_bytes(packet[-4:], "little") == zlib.crc32(b"\x01\x02\x03")


def test_generated_files_are_up_to_date() -> None:
    protocol = load_protocol()
    assert (ROOT / "shared/uart/messages.py").read_text() == python_messages(protocol)
    assert (ROOT / "firmware_sim/firmware/src/protocol.h").read_text() == c_header(protocol)


def test_error_kinds_and_bitmap_follow_from_the_description() -> None:
    protocol = load_protocol()
    limits = {limit.name: limit.value for limit in protocol.limits}
    codes = next(enum for enum in protocol.enums if enum.name == "error_code")
    assert sorted(code.value for code in codes.values) == list(range(1, limits["error_kinds"] + 1))
    assert limits["bitmap_max"] * 8 * limits["chunk_unit"] == limits["frame_max"]
    assert limits["chunk_max"] % limits["chunk_unit"] == 0


def test_a_faulty_description_is_refused() -> None:
    text = (ROOT / "shared/uart/protocol.toml").read_text()
    with pytest.raises(BadInputError, match="share an id"):
        parse_protocol(text.replace("id = 0x02", "id = 0x01"))
    with pytest.raises(BadInputError, match="unknown type"):
        parse_protocol(text.replace('type = "u64"', 'type = "f64"'))
    with pytest.raises(BadInputError, match="not a limit"):
        parse_protocol(text.replace("u8[<=chunk_max]", "u8[<=no_such]"))
