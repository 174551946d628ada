"""The host's end of a UART of the chip."""

from __future__ import annotations

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.blocks import uart
from firmware_sim.rp2040.chip import Chip
from firmware_sim.rp2040.machine import poll_uart, set_uart_cts
from shared.errors import BadInputError

ERRORS = {"framing": uart.FE, "parity": uart.PE, "break": uart.BE | uart.FE}


class SerialPort:
    """UART0 or UART1 seen from the host: bytes in and out, at the baud rate that the firmware set."""

    def __init__(self, chip: Chip, index: int) -> None:
        self._chip = chip
        self._index = index
        self.name = f"UART{index}"
        self._u = layout.UART + index * layout.UART_STRIDE
        self._buffer = index * layout.UART_BUFFER
        self._waiting = bytearray()  # host -> chip, what the ring could not take yet: pairs of byte and line errors
        self._unread = bytearray()
        self.sent = bytearray()  # everything that the chip sent since power-on

    def write(self, data: bytes, *, error: str | None = None) -> None:
        """Send to the chip. Bytes wait until the firmware has enabled its receiver, then come at its baud rate.

        `error` damages each of them on the line: "parity", "framing" or "break". Raises BadInputError for others.
        """
        if error is not None and error not in ERRORS:
            raise BadInputError(f"a line error is one of {', '.join(ERRORS)}, not {error}")
        flags = ERRORS[error] if error is not None else 0
        for byte in self._chip.faults.line(self._index, 0, data):
            self._waiting += bytes((byte, flags))
        self.refill()

    def send_break(self) -> None:
        """Hold the line low for longer than a character: one zero with the break and framing bits."""
        self.write(b"\0", error="break")

    def set_clear_to_send(self, level: bool) -> None:
        """Give or take the chip's CTS; a firmware that set CTSEN then stops sending after the present character."""
        set_uart_cts(self._chip.S, self._u, 0 if level else 1, self._chip.S[layout.CYCLES])

    def read(self) -> bytes:
        """What the chip sent since the last read."""
        data = bytes(self._unread)
        self._unread.clear()
        return data

    @property
    def pending(self) -> int:
        """Bytes written here that have not arrived at the chip's receiver yet."""
        S = self._chip.S
        used = int(S[self._u + uart.IN_TAIL] - S[self._u + uart.IN_HEAD]) % layout.UART_IN_ENTRIES
        return used + len(self._waiting) // 2

    @property
    def baud(self) -> float:
        """Baud rate that the firmware set; 0 while the UART is not enabled and clocked."""
        S, u = self._chip.S, self._u
        divisor = int(S[u + uart.DIVISOR])
        if not divisor or not S[u + uart.CR] & uart.ENABLE:
            return 0.0
        return int(S[layout.CLK_PERI_HZ]) * 4 / divisor

    def refill(self) -> None:
        """Move waiting bytes into the ring that compiled code reads."""
        S, u, ring = self._chip.S, self._u, self._chip.mem.uarts
        tail = int(S[u + uart.IN_TAIL])
        room = layout.UART_IN_ENTRIES - 1 - (tail - int(S[u + uart.IN_HEAD])) % layout.UART_IN_ENTRIES
        chunk = self._waiting[: 2 * room]
        del self._waiting[: 2 * room]
        start = self._buffer + layout.UART_OUT_BYTES
        for i, byte in enumerate(chunk):
            ring[start + (2 * tail + i) % layout.UART_IN_BYTES] = byte
        S[u + uart.IN_TAIL] = (tail + len(chunk) // 2) % layout.UART_IN_ENTRIES
        poll_uart(S, u, S[layout.CYCLES])

    def finish_sending(self) -> None:
        """The core is halted, the UART is not: what is in the shift register and the FIFO still goes out."""
        S, u = self._chip.S, self._u
        ring, start = self._chip.mem.uarts, self._buffer + int(S[u + uart.OUT_COUNT])
        queued = [int(S[u + uart.TX_BYTE])] if S[u + uart.TX_BUSY] else []
        head, count = int(S[u + uart.TX_HEAD]), int(S[u + uart.TX_COUNT])
        queued += [int(S[u + uart.TX_FIFO + (head + i) % 32]) for i in range(count)]
        ring[start : start + len(queued)] = queued
        S[u + uart.OUT_COUNT] += len(queued)
        S[u + uart.TX_COUNT], S[u + uart.TX_BUSY], S[u + uart.TX_EVENT] = 0, 0, layout.NEVER

    def drain(self) -> bytes:
        """Take what the chip sent since the last drain."""
        S, u = self._chip.S, self._u
        count = int(S[u + uart.OUT_COUNT])
        data = self._chip.mem.uarts[self._buffer : self._buffer + count].tobytes()
        S[u + uart.OUT_COUNT] = 0
        data = self._chip.faults.line(self._index, 1, data)
        self._unread += data
        self.sent += data
        if S[u + uart.WARNED] == 1:
            S[u + uart.WARNED] = 2
            self._chip.warn(
                f"{self.name} was written before it was enabled, clocked (clk_peri) and given a baud rate: "
                "a board would send nothing"
            )
        return data

    def queues(self) -> tuple[bytes, bytes, bytes]:
        """What waits for the chip, what nobody has read, and all that was sent: for a snapshot."""
        return bytes(self._waiting), bytes(self._unread), bytes(self.sent)

    def set_queues(self, queues: tuple[bytes, bytes, bytes]) -> None:
        """Inverse of `queues`."""
        self._waiting, self._unread, self.sent = (bytearray(queue) for queue in queues)
