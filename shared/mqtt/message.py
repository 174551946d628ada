"""MQTT 5 messages and the properties that crustwatch uses, as small value objects. Knows no sockets."""

from __future__ import annotations

from dataclasses import dataclass, field

from paho.mqtt.exception import MalformedPacket

MAX_USER_PROPERTIES = 64  # of an incoming message; the rest is dropped, nothing of ours has so many

# Identifiers of the properties that a PUBLISH may have (2.2.2.2).
_FORMAT, _EXPIRY, _CONTENT_TYPE, _RESPONSE_TOPIC, _CORRELATION, _SUBSCRIPTION = 0x01, 0x02, 0x03, 0x08, 0x09, 0x0B
_USER = 0x26
_SIZES = {_FORMAT: 1, _EXPIRY: 4}  # bytes of those of a fixed size
_SIZED = {_CONTENT_TYPE, _RESPONSE_TOPIC, _CORRELATION}  # behind a length; topic aliases were not announced


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
        return packed_length(len(body)) + body

    @classmethod
    def unpack(cls, data: bytes) -> Properties:
        """From the properties of a received PUBLISH, without their length.

        The first of repeated user properties counts. Raises MalformedPacket for what may not stand there (3.3.2.3).
        """
        singles: dict[int, bytes] = {}
        user: dict[str, str] = {}
        at, pairs = 0, 0
        while at < len(data):
            kind = data[at]
            if kind == _USER:
                key, at = _text(data, at + 1)
                value, at = _text(data, at)
                pairs += 1
                if pairs <= MAX_USER_PROPERTIES:
                    user.setdefault(key, value)
            elif kind in _SIZES:
                end = at + 1 + _SIZES[kind]
                singles[kind], at = _once(singles, kind, data[at + 1 : end]), end
            elif kind in _SIZED:
                value_bytes, at = _binary(data, at + 1)
                singles[kind] = _once(singles, kind, value_bytes)
            elif kind == _SUBSCRIPTION:
                try:
                    _, at = variable_byte_integer(data, at + 1)
                except IndexError:
                    raise MalformedPacket("a property that is not whole") from None
            else:
                raise MalformedPacket(f"property 0x{kind:02x} in a PUBLISH")
        if at != len(data):
            raise MalformedPacket("properties that end in the middle of one")
        expiry, correlation = singles.get(_EXPIRY), singles.get(_CORRELATION)
        return cls(
            response_topic=_utf8(singles[_RESPONSE_TOPIC]) if _RESPONSE_TOPIC in singles else None,
            correlation=correlation,
            expiry_s=None if expiry is None else int.from_bytes(expiry, "big"),
            content_type=_utf8(singles[_CONTENT_TYPE]) if _CONTENT_TYPE in singles else None,
            user=user,
        )


def _once(seen: dict[int, bytes], kind: int, value: bytes) -> bytes:
    if kind in seen:
        raise MalformedPacket(f"property 0x{kind:02x} twice")
    return value


def _binary(data: bytes, at: int) -> tuple[bytes, int]:
    """Binary data behind its length (1.5.6), and where it ends."""
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    if end > len(data):
        raise MalformedPacket("a property that is not whole")
    return data[at + 2 : end], end


def _text(data: bytes, at: int) -> tuple[str, int]:
    found, end = _binary(data, at)
    return _utf8(found), end


def _utf8(data: bytes) -> str:
    """Text (1.5.4): no surrogates, no U+0000, and no byte order mark, which some readers would drop."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise MalformedPacket("a text that is not UTF-8") from None
    if "\0" in text or "\ufeff" in text:
        raise MalformedPacket("a text with U+0000 or U+FEFF")
    return text


def variable_byte_integer(data: bytes | bytearray | memoryview, at: int) -> tuple[int, int]:
    """The number at `at` (1.5.5), and where it ends.

    Raises MalformedPacket when it has more than four bytes, IndexError when `data` ends first.
    """
    value = 0
    for shift in (0, 7, 14, 21):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise MalformedPacket("a length of more than four bytes")


def _sized(data: bytes) -> bytes:
    """UTF-8 text or binary data behind its length in two bytes (1.5.4, 1.5.6)."""
    if len(data) > 65_535:
        raise ValueError(f"{len(data)} bytes do not fit a property")
    return len(data).to_bytes(2, "big") + data


def packed_length(value: int) -> bytes:
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
    payload: bytes  # a large one is a bytearray, in which it was received
    retain: bool
    properties: Properties
    ack_key: tuple[int, int] | None = None
    received_s: float = 0.0  # on the event loop's clock
