"""GDB's remote serial protocol as bytes: packets in, packets out. Knows no sockets and no chip.

Source: the GDB manual, appendix "GDB Remote Serial Protocol".
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_PACKET_BYTES = 16384
START, END, ESCAPE = b"$", b"#", 0x7D
ACK, NACK, INTERRUPT = b"+", b"-", b"\x03"
ESCAPED = b"#$*}"


@dataclass(frozen=True)
class Packet:
    """What one packet said, unescaped."""

    data: bytes


@dataclass(frozen=True)
class Damaged:
    """A packet whose checksum is wrong: ask for it again with NACK."""


@dataclass(frozen=True)
class Interrupt:
    """Ctrl-C in the debugger."""


Event = Packet | Damaged | Interrupt


class PacketReader:
    """Cuts a stream of bytes into events; what is no packet is skipped, and a packet that never ends is dropped."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes; the events that they complete."""
        self._waiting += data
        events: list[Event] = []
        while (event := self._next()) is not None:
            events.append(event)
        return events

    def _next(self) -> Event | None:
        waiting = self._waiting
        while waiting:
            if waiting[:1] == INTERRUPT:
                del waiting[:1]
                return Interrupt()
            if waiting[:1] == START:
                break
            del waiting[:1]  # acknowledgements, and noise
        end = waiting.find(END)
        if end < 0:
            if len(waiting) > MAX_PACKET_BYTES:
                waiting.clear()
                return Damaged()
            return None
        if len(waiting) < end + 3:
            return None
        body, check = bytes(waiting[1:end]), bytes(waiting[end + 1 : end + 3])
        del waiting[: end + 3]
        if len(body) > MAX_PACKET_BYTES or check.lower() != checksum(body):
            return Damaged()
        return Packet(unescape(body))


def checksum(body: bytes) -> bytes:
    """Sum of the bytes as two hexadecimal digits."""
    return b"%02x" % (sum(body) & 0xFF)


def escape(data: bytes) -> bytes:
    """Binary data with the four special characters escaped."""
    return b"".join(bytes((ESCAPE, byte ^ 0x20)) if byte in ESCAPED else bytes((byte,)) for byte in data)


def unescape(body: bytes) -> bytes:
    """Inverse of `escape`."""
    out = bytearray()
    position = 0
    while position < len(body):
        byte = body[position]
        if byte == ESCAPE and position + 1 < len(body):
            position += 1
            byte = body[position] ^ 0x20
        out.append(byte)
        position += 1
    return bytes(out)


def frame(data: bytes) -> bytes:
    """A packet around `data`, which is escaped."""
    body = escape(data)
    return START + body + END + checksum(body)
