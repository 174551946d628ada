"""From a connection's bytes to whole MQTT packets: small ones by the bufferful, a large one straight into its place.

Knows no sockets: `room` says where the next bytes are to go, `took` how many came.
"""

from __future__ import annotations

from collections.abc import Iterator

from paho.mqtt.exception import MalformedPacket

from shared.mqtt.message import variable_byte_integer

MAX_PACKET_BYTES = 16 * 1024 * 1024  # MQTT 5 Maximum Packet Size that we announce: twice the largest clip
STAGING_BYTES = 16 * 1024  # a process may host many connections
_LONGEST_HEAD = 5  # packet type and up to four bytes of length (2.1)


class PacketBuffer:
    """Holds what is not whole yet: at most STAGING_BYTES, and one packet of at most MAX_PACKET_BYTES."""

    def __init__(self) -> None:
        self._staging = memoryview(bytearray(STAGING_BYTES))
        self._start = self._end = 0  # of what is staged
        self._large: bytearray | None = None  # a packet that does not fit there ...
        self._filled = 0  # ... how much of it has come ...
        self._command = 0  # ... and its first byte

    @property
    def is_filling(self) -> bool:
        """Whether the rest of a large packet is to come."""
        return self._large is not None

    def room(self) -> memoryview:
        """Where the next bytes are to be written; never empty once `packets` is exhausted."""
        if self._large is not None:
            return memoryview(self._large)[self._filled :]
        if self._start:
            left = self._end - self._start
            self._staging[:left] = bytes(self._staging[self._start : self._end])
            self._start, self._end = 0, left
        return self._staging[self._end :]

    def took(self, count: int) -> None:
        """So many bytes were written into `room`."""
        if self._large is not None:
            self._filled += count
        else:
            self._end += count

    def packets(self) -> Iterator[tuple[int, bytes | bytearray]]:
        """The first byte of each whole packet, and what follows its length.

        Raises MalformedPacket for a length of five bytes or beyond MAX_PACKET_BYTES (MQTT 5, 3.1.2.11.4).
        """
        if self._large is not None:
            if self._filled < len(self._large):
                return
            body, self._large = self._large, None
            yield self._command, body
        while (head := self._head()) is not None:
            command, start, length = head
            if length > MAX_PACKET_BYTES:
                raise MalformedPacket(f"a packet of {length} bytes")
            if start + length <= self._end:
                self._start = start + length
                yield command, bytes(self._staging[start : start + length])
                continue
            if length + _LONGEST_HEAD > STAGING_BYTES:
                self._large, self._command = bytearray(length), command
                self._filled = self._end - start
                self._large[: self._filled] = self._staging[start : self._end]
                self._start = self._end = 0
            return

    def _head(self) -> tuple[int, int, int] | None:
        """First byte, start and length of the packet that begins what is staged; None until these have come."""
        staged = self._staging[self._start : min(self._end, self._start + _LONGEST_HEAD)]
        if not staged:
            return None
        try:
            length, at = variable_byte_integer(staged, 1)
        except IndexError:
            return None
        return staged[0], self._start + at, length
