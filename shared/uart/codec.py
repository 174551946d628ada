"""Messages to packet bodies and back, by the layouts that were generated from protocol.toml."""

from __future__ import annotations

from typing import Any, NamedTuple

from shared.errors import BadInputError
from shared.uart.framing import encode_packet
from shared.uart.layout import Field
from shared.uart.messages import MESSAGES, Message


class Envelope(NamedTuple):
    """A message with its sequence number (0 when it answers a request that could not be read)."""

    sequence: int
    message: Message


def _encode_field(field: Field, value: Any, where: str) -> bytes:
    values = (value,) if field.size is None else tuple(value)
    if field.size is not None and (len(values) > field.size or (not field.listed and len(values) != field.size)):
        raise BadInputError(f"{where}: {'at most ' if field.listed else ''}{field.size} values, not {len(values)}")
    try:
        body = b"".join(int(item).to_bytes(field.width, "little", signed=field.signed) for item in values)
    except OverflowError:
        raise BadInputError(f"{where}: a value does not fit {field.scalar}") from None
    return len(values).to_bytes(field.count_bytes, "little") + body if field.listed else body


def encode_body(message: Message, sequence: int) -> bytes:
    """Type, sequence and fields. Raises BadInputError when a value does not fit its field."""
    if not 0 <= sequence <= 255:
        raise BadInputError(f"a sequence number is 0 to 255, not {sequence}")
    name = type(message).__name__
    fields = (_encode_field(field, getattr(message, field.name), f"{name}.{field.name}") for field in message.LAYOUT)
    return bytes([message.TYPE, sequence]) + b"".join(fields)


def encode(message: Message, sequence: int) -> bytes:
    """The bytes that go on the line, the closing zero included."""
    return encode_packet(encode_body(message, sequence))


class _Reader:
    """Takes fields off a body; a field that is cut short raises BadInputError."""

    def __init__(self, data: bytes, where: str) -> None:
        self._data, self._at, self._where = data, 0, where

    def take(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        if len(part) != size:
            raise BadInputError(f"{self._where}: cut short, {size - len(part)} bytes are missing")
        self._at += size
        return part

    def field(self, field: Field) -> int | bytes | tuple[int, ...]:
        width, signed = field.width, field.signed
        if field.size is None:
            return int.from_bytes(self.take(width), "little", signed=signed)
        count = int.from_bytes(self.take(field.count_bytes), "little") if field.listed else field.size
        if count > field.size:
            raise BadInputError(f"{self._where}.{field.name}: {count} values, at most {field.size} are allowed")
        raw = self.take(count * width)
        if field.scalar == "u8":
            return raw
        return tuple(int.from_bytes(raw[at : at + width], "little", signed=signed) for at in range(0, len(raw), width))

    def finish(self) -> None:
        if self._at != len(self._data):
            raise BadInputError(f"{self._where}: {len(self._data) - self._at} bytes too many")


def decode_body(body: bytes) -> Envelope:
    """The message in a packet's body. Raises BadInputError for an unknown type or fields that do not fit."""
    if len(body) < 2:
        raise BadInputError("a packet's body has at least type and sequence")
    kind = MESSAGES.get(body[0])
    if kind is None:
        raise BadInputError(f"unknown message type {body[0]:#04x}")
    reader = _Reader(body[2:], kind.__name__)
    values: dict[str, Any] = {field.name: reader.field(field) for field in kind.LAYOUT}
    reader.finish()
    return Envelope(body[1], kind(**values))
