"""Packets on a serial line: COBS with a zero behind each, CRC-32 inside. Bytes in, bodies out; no I/O."""

from __future__ import annotations

import zlib
from enum import Enum
from typing import NamedTuple

from shared.errors import BadInputError
from shared.uart.messages import PACKET_MAX

CRC_BYTES = 4
_RUN = 254  # data bytes that one COBS code byte covers at most


def cobs_encode(data: bytes) -> bytes:
    """`data` without any zero byte, one code byte a run of 254 longer; the zero that ends a packet is not added."""
    out = bytearray()
    for run in data.split(b"\0"):
        while len(run) >= _RUN:
            out += b"\xff" + run[:_RUN]
            run = run[_RUN:]
        out += bytes([len(run) + 1]) + run
    return bytes(out)


def cobs_decode(encoded: bytes) -> bytes:
    """The reverse. Raises BadInputError for text that `cobs_encode` cannot have written."""
    out = bytearray()
    at = 0
    while at < len(encoded):
        code = encoded[at]
        run = encoded[at + 1 : at + code]
        if code == 0 or len(run) != code - 1 or 0 in run:
            raise BadInputError(f"not COBS: the code {code} at byte {at} does not fit")
        out += run
        at += code
        if code != _RUN + 1 and at < len(encoded):
            out.append(0)
    return bytes(out)


def encode_packet(body: bytes) -> bytes:
    """`body` (type, sequence, fields) as it goes on the line. Raises BadInputError when it is too long."""
    if not 2 <= len(body) <= PACKET_MAX - CRC_BYTES:
        raise BadInputError(f"a packet's body has 2 to {PACKET_MAX - CRC_BYTES} bytes, not {len(body)}")
    return cobs_encode(body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")) + b"\0"


class Damage(Enum):
    """What was wrong with a packet."""

    BAD_CRC = "its CRC-32 does not match"
    BAD_FRAMING = "it is not COBS, or too short"
    TOO_LONG = "it is longer than any message"


class Packet(NamedTuple):
    """One packet from the line: its body, or None and the damage."""

    body: bytes | None
    damage: Damage | None


class PacketDecoder:
    """Cuts a stream of bytes into packets. Holds at most one packet; whatever comes in, the next zero ends it."""

    # COBS adds one byte a started run of 254, so this is the longest text of a packet that is not too long.
    _ENCODED_MAX = PACKET_MAX + PACKET_MAX // _RUN + 1

    def __init__(self) -> None:
        self._pending = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that `data` completed, damaged ones included."""
        packets = []
        *complete, rest = data.split(b"\0")
        for part in complete:
            self._append(part)
            if self._too_long:
                packets.append(Packet(None, Damage.TOO_LONG))
            elif self._pending:
                packets.append(_open(bytes(self._pending)))
            self.reset()
        self._append(rest)
        return packets

    def reset(self) -> None:
        """Forget a half-received packet, as after a reconnection."""
        self._pending.clear()
        self._too_long = False

    def _append(self, part: bytes) -> None:
        self._too_long = self._too_long or len(self._pending) + len(part) > self._ENCODED_MAX
        if self._too_long:
            self._pending.clear()
        else:
            self._pending += part


def _open(encoded: bytes) -> Packet:
    try:
        packet = cobs_decode(encoded)
    except BadInputError:
        return Packet(None, Damage.BAD_FRAMING)
    if len(packet) < 2 + CRC_BYTES:
        return Packet(None, Damage.BAD_FRAMING)
    if len(packet) > PACKET_MAX:
        return Packet(None, Damage.TOO_LONG)
    body, crc = packet[:-CRC_BYTES], packet[-CRC_BYTES:]
    if zlib.crc32(body).to_bytes(CRC_BYTES, "little") != crc:
        return Packet(None, Damage.BAD_CRC)
    return Packet(body, None)
