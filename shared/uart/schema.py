"""Reads protocol.toml into checked values, for the generator of the C header and of the Python messages."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from typing import Any, NamedTuple

from shared.errors import BadInputError
from shared.uart.layout import Field

_FIELD_TYPE = re.compile(r"(u8|u16|u32|u64|i8)(?:\[(<=)?(\w+)\])?")


class Constant(NamedTuple):
    """A named number with its meaning; `unit` is empty for the values of an enum."""

    name: str
    value: int
    unit: str
    doc: str


class Enum(NamedTuple):
    """Numbers that stand for something in a u8 field."""

    name: str
    doc: str
    values: tuple[Constant, ...]


class Message(NamedTuple):
    """One message: `id` is its type byte."""

    name: str
    id: int
    doc: str
    fields: tuple[Field, ...]

    @property
    def max_bytes(self) -> int:
        """The longest body: type, sequence and fields."""
        return 2 + sum(field.max_bytes for field in self.fields)


class Protocol(NamedTuple):
    """All that protocol.toml says."""

    version: int
    baud: int
    limits: tuple[Constant, ...]
    enums: tuple[Enum, ...]
    messages: tuple[Message, ...]

    @property
    def packet_max(self) -> int:
        """The longest packet before COBS: body and CRC-32."""
        return max(message.max_bytes for message in self.messages) + 4


def _field(raw: dict[str, Any], limits: dict[str, int], where: str) -> Field:
    match = _FIELD_TYPE.fullmatch(raw["type"])
    if match is None:
        raise BadInputError(f"{where}.{raw['name']}: unknown type {raw['type']!r}")
    scalar, listed, size = match.groups()
    count = None if size is None else int(size) if size.isdigit() else limits.get(size, 0)
    if count is not None and not 0 < count < 65_536:
        raise BadInputError(f"{where}.{raw['name']}: {size} is not a limit between 1 and 65535")
    return Field(raw["name"], scalar, count, bool(listed), raw["doc"])


def parse_protocol(text: str) -> Protocol:
    """Read a protocol from TOML text. Raises BadInputError when ids or names repeat or a type is unknown."""
    raw = tomllib.loads(text)
    limits = tuple(Constant(name, item["value"], item["unit"], item["doc"]) for name, item in raw["limits"].items())
    sizes = {limit.name: limit.value for limit in limits}
    enums = tuple(
        Enum(
            name,
            items["doc"],
            tuple(Constant(key, item["value"], "", item["doc"]) for key, item in items.items() if key != "doc"),
        )
        for name, items in raw["enums"].items()
    )
    messages = tuple(
        Message(
            item["name"],
            item["id"],
            item["doc"],
            tuple(_field(field, sizes, item["name"]) for field in item["fields"]),
        )
        for item in raw["message"]
    )
    if len({message.id for message in messages}) != len(messages):
        raise BadInputError("protocol.toml: two messages share an id")
    if len({message.name for message in messages}) != len(messages):
        raise BadInputError("protocol.toml: two messages share a name")
    return Protocol(raw["version"], raw["baud"], limits, enums, messages)


def load_protocol() -> Protocol:
    """The protocol of this version of crustwatch."""
    return parse_protocol((resources.files("shared.uart") / "protocol.toml").read_text(encoding="utf-8"))
