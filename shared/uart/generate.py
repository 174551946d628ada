"""Writes what both ends of the line are compiled from: `python -m shared.uart.generate [--c-header PATH]`.

Without the option only shared/uart/messages.py is written; `make -C firmware_sim/firmware protocol` writes both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from shared.uart.layout import Field
from shared.uart.schema import Constant, Enum, Message, Protocol, load_protocol

_BANNER = "Generated from shared/uart/protocol.toml by shared/uart/generate.py; do not edit."
_C_TYPES = {"u8": "uint8_t", "u16": "uint16_t", "u32": "uint32_t", "u64": "uint64_t", "i8": "int8_t"}


def class_name(message: str) -> str:
    """`frame_begin` -> `FrameBegin`."""
    return "".join(word.capitalize() for word in message.split("_"))


def _python_type(field: Field) -> str:
    if field.size is None:
        return "int"
    return "bytes" if field.scalar == "u8" else "tuple[int, ...]"


def _python_enum(enum: Enum) -> list[str]:
    lines = [f"class {class_name(enum.name)}(IntEnum):", f'    """{enum.doc}"""', ""]
    for value in enum.values:
        lines.append(f"    {value.name.upper()} = {value.value}")
        lines.append(f'    """{value.doc[0].upper()}{value.doc[1:]}."""')
    return [*lines, "", ""]


def _python_message(message: Message) -> list[str]:
    lines = [f"class {class_name(message.name)}(msgspec.Struct, frozen=True):", f'    """{message.doc}']
    if message.fields:
        lines += ["", *(f"    {field.name}: {field.doc}." for field in message.fields)]
        lines.append('    """')
    else:
        lines[-1] += '"""'
    lines += ["", *(f"    {field.name}: {_python_type(field)}" for field in message.fields)]
    if message.fields:
        lines.append("")
    layout = [f'Field("{field.name}", "{field.scalar}", {field.size}, {field.listed}),' for field in message.fields]
    lines.append(f"    TYPE: ClassVar[int] = 0x{message.id:02X}")
    if len(layout) < 2:
        lines.append(f"    LAYOUT: ClassVar[tuple[Field, ...]] = ({''.join(layout)})")
    else:
        lines += ["    LAYOUT: ClassVar[tuple[Field, ...]] = (", *(f"        {field}" for field in layout), "    )"]
    return [*lines, "", ""]


def python_messages(protocol: Protocol) -> str:
    """The text of shared/uart/messages.py."""
    lines = [
        f'"""{_BANNER}"""',
        "",
        "from __future__ import annotations",
        "",
        "from enum import IntEnum",
        "from typing import ClassVar",
        "",
        "import msgspec",
        "",
        "from shared.uart.layout import Field",
        "",
        f"PROTOCOL_VERSION = {protocol.version}",
        f"BAUD = {protocol.baud}",
        f"PACKET_MAX = {protocol.packet_max}  # bytes before COBS: the longest body and its CRC-32",
    ]
    lines += [f"{c.name.upper()} = {c.value}  # {c.unit}: {c.doc}" for c in protocol.limits]
    lines += [
        "",
        "",
    ]
    for enum in protocol.enums:
        lines += _python_enum(enum)
    for message in protocol.messages:
        lines += _python_message(message)
    names = [class_name(message.name) for message in protocol.messages]
    lines += ["Message = (", f"    {names[0]}", *(f"    | {name}" for name in names[1:]), ")", ""]
    lines.append("MESSAGES: dict[int, type[Message]] = {")
    lines += [f"    {name}.TYPE: {name}," for name in names]
    return "\n".join([*lines, "}"]) + "\n"


def _c_constants(prefix: str, constants: tuple[Constant, ...]) -> list[str]:
    return [
        f"#define {prefix}{c.name.upper()} {c.value} /* {c.unit + ': ' if c.unit else ''}{c.doc} */" for c in constants
    ]


def _is_view(field: Field) -> bool:
    """Whether C keeps a pointer into the packet for this field in place of a copy."""
    return field.listed and field.scalar == "u8"


def _c_struct(message: Message) -> list[str]:
    lines = [f"/* {message.doc} */", f"struct cw_{message.name} {{"]
    for field in message.fields:
        kind, note = _C_TYPES[field.scalar], f" /* {field.doc} */"
        if field.size is None:
            lines.append(f"    {kind} {field.name};{note}")
            continue
        if field.listed:
            lines.append(f"    uint16_t {field.name}_count;")
        if _is_view(field):
            lines.append(f"    const uint8_t *{field.name};{note}")
        else:
            lines.append(f"    {kind} {field.name}[{field.size}];{note}")
    if not message.fields:
        lines.append("    uint8_t unused; /* C wants a member */")
    return [*lines, "};", ""]


def _c_pack(message: Message) -> list[str]:
    lines = [
        f"static inline uint32_t cw_{message.name}_pack(const struct cw_{message.name} *m, uint8_t *out)",
        "{",
        "    uint8_t *p = out;",
    ]
    if not message.fields:
        lines.append("    (void)m;")
    for field in message.fields:
        width, name = field.width, field.name
        if field.size is None:
            lines.append(f"    p = cw_put(p, (uint64_t)m->{name}, {width});")
            continue
        size = f"m->{name}_count" if field.listed else f"{field.size}u"
        if field.listed:
            lines.append(f"    p = cw_put(p, {size}, {field.count_bytes});")
        lines.append(f"    for (uint32_t i = 0; i < {size}; i++)")
        lines.append(f"        p = cw_put(p, (uint64_t)m->{name}[i], {width});")
    return [*lines, "    return (uint32_t)(p - out);", "}", ""]


def _c_unpack(message: Message) -> list[str]:
    lines = [
        f"static inline bool cw_{message.name}_unpack(const uint8_t *p, uint32_t size, struct cw_{message.name} *m)",
        "{",
        "    const uint8_t *end = p + size;",
    ]
    if not message.fields:
        lines.append("    (void)m;")
    for field in message.fields:
        width, name, kind = field.width, field.name, _C_TYPES[field.scalar]
        if field.size is None:
            lines += [
                f"    if (end - p < {width})",
                "        return false;",
                f"    m->{name} = ({kind})cw_get(&p, {width});",
            ]
            continue
        size = f"{field.size}u"
        if field.listed:
            size = f"m->{name}_count"
            lines += [
                f"    if (end - p < {field.count_bytes})",
                "        return false;",
                f"    {size} = (uint16_t)cw_get(&p, {field.count_bytes});",
                f"    if ({size} > {field.size}u)",
                "        return false;",
            ]
        span = size if width == 1 else f"{size} * {width}u"
        lines += [f"    if ((uint32_t)(end - p) < {span})", "        return false;"]
        if _is_view(field):
            lines += [f"    m->{name} = p;", f"    p += {size};"]
        else:
            lines += [
                f"    for (uint32_t i = 0; i < {size}; i++)",
                f"        m->{name}[i] = ({kind})cw_get(&p, {width});",
            ]
    return [*lines, "    return p == end;", "}", ""]


def c_header(protocol: Protocol) -> str:
    """The text of the firmware's protocol.h. Messages of the board are packed there, the host's unpacked."""
    lines = [
        f"/* {_BANNER} */",
        "#ifndef CRUSTWATCH_PROTOCOL_H",
        "#define CRUSTWATCH_PROTOCOL_H",
        "",
        "#include <stdbool.h>",
        "#include <stdint.h>",
        "",
        f"#define CW_PROTOCOL_VERSION {protocol.version}",
        f"#define CW_BAUD {protocol.baud}",
        f"#define CW_PACKET_MAX {protocol.packet_max} /* bytes before COBS: the longest body and its CRC-32 */",
        *_c_constants("CW_", protocol.limits),
        "",
    ]
    for enum in protocol.enums:
        lines += [f"/* {enum.name}: {enum.doc} */", *_c_constants(f"CW_{enum.name.upper()}_", enum.values), ""]
    lines += [f"#define CW_TYPE_{message.name.upper()} {message.id:#04x}" for message in protocol.messages]
    lines += [
        "",
        "static inline uint8_t *cw_put(uint8_t *p, uint64_t value, uint32_t bytes)",
        "{",
        "    for (; bytes; bytes--, value >>= 8)",
        "        *p++ = (uint8_t)value;",
        "    return p;",
        "}",
        "",
        "static inline uint64_t cw_get(const uint8_t **p, uint32_t bytes)",
        "{",
        "    uint64_t value = 0;",
        "    for (uint32_t i = 0; i < bytes; i++)",
        "        value |= (uint64_t)*(*p)++ << (8 * i);",
        "    return value;",
        "}",
        "",
    ]
    for message in protocol.messages:
        lines += _c_struct(message)
        lines += _c_pack(message) if message.id & 0x80 else _c_unpack(message)
    return "\n".join([*lines, "#endif"]) + "\n"


def main() -> None:
    """Write the generated files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--c-header", type=Path, help="also write the firmware's header to this file")
    arguments = parser.parse_args()
    protocol = load_protocol()
    Path(__file__).with_name("messages.py").write_text(python_messages(protocol), encoding="utf-8")
    if arguments.c_header is not None:
        arguments.c_header.write_text(c_header(protocol), encoding="utf-8")


if __name__ == "__main__":
    main()
