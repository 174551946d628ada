"""The serial flash chip beside the RP2040: a W25Q16JV, 2 MB. Commands as its pins see them, and what they take.

Times are the typical ones of its datasheet (Winbond W25Q16JV, "AC Electrical Characteristics"). Programming only
clears bits and wraps inside its page; erasing sets them; both show in the memory when they are done, and leave a
half-way state when the power goes away before (`interrupt`). Decision 0081.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from firmware_sim.rp2040.layout import CLK_SYS_HZ, FLASH_OFFSET, FLASH_SIZE, NEVER, XIP_OFF, Memory, State
from firmware_sim.rp2040.registers import RegisterBlock

PAGE, SECTOR = 256, 4096
WRITE_ENABLE, WRITE_DISABLE, READ, FAST_READ, PAGE_PROGRAM = 0x06, 0x04, 0x03, 0x0B, 0x02
WRITE_STATUS = {0x01: 0, 0x31: 1, 0x11: 2}  # command: first status register that it writes
READ_STATUS = {0x05: 0, 0x35: 1, 0x15: 2}
ERASE_BYTES = {0x20: SECTOR, 0x52: 32768, 0xD8: 65536, 0xC7: FLASH_SIZE, 0x60: FLASH_SIZE}
ERASE_US = {SECTOR: 45_000, 32768: 120_000, 65536: 150_000, FLASH_SIZE: 5_000_000}
PROGRAM_US, FIRST_BYTE_US, NEXT_BYTE_US = 400.0, 30.0, 2.5  # a full page; shorter ones by their bytes
STATUS_WRITE_US = 10_000
BUSY, WRITE_ENABLED = 1, 2  # status register 1
STATUS_RESET = (0x00, 0x02, 0x60)  # quad enabled, as on the Pico; 25 % drive strength
MANUFACTURER, DEVICE, JEDEC_ID = 0xEF, 0x14, (0xEF, 0x40, 0x15)
UNIQUE_ID = bytes((0x43, 0x57, 0, 0, 0, 0, 0, 1))
IDS: dict[int, tuple[int, ...]] = {
    0x9F: JEDEC_ID,
    0x90: (0, 0, 0, MANUFACTURER, DEVICE),
    0x4B: (0,),
    0xAB: (0, 0, 0, DEVICE),
}
SILENT = {0x50, 0x66, 0x99, 0xB9, 0xFF}  # volatile write enable, reset in two steps, power-down, end of a mode
XIP_OFF_BUSY = 2  # bit of S[XIP_OFF]
PREPARE = 0.25  # share of an erase in which the chip first clears all bits (modelled; not in the datasheet)


@dataclass(frozen=True)
class Operation:
    """A program or erase that runs inside the chip: bytes [address, address + size), cycles [start, end)."""

    address: int
    size: int
    data: bytes | None  # None: erase
    start: int
    end: int


class FlashChip(RegisterBlock):
    """The chip's state. `changed(offset, size)` is called with the bytes that are different now."""

    remembers = ("status", "operation", "continuous", "unique_id", "written", "_command", "_sent", "_selected")

    def __init__(self, S: State, mem: Memory, warn: Callable[[str], None], changed: Callable[[int, int], None]) -> None:
        self.cells = mem.bytes[FLASH_OFFSET : FLASH_OFFSET + FLASH_SIZE]  # uint8 [FLASH_SIZE]
        self.unique_id = UNIQUE_ID
        self.operation: Operation | None = None
        self.written: list[tuple[int, int]] = []  # offset and size of what changed since XIP was on
        self.warn = warn
        self._changed = changed
        super().__init__("FLASH", {}, S, lambda name, offset: None)

    def reset(self) -> None:
        """The RP2040 restarts; its boot ROM waits for what the flash chip is at and ends the read mode."""
        super().reset()
        if self.operation is not None:
            self.settle(self.operation.end)
        self.status = list(STATUS_RESET)
        self.continuous = False  # each read goes on without a command byte, so nothing else is understood
        self._command: int | None = None
        self._sent = bytearray()
        self._selected = False

    @property
    def busy(self) -> bool:
        """Whether an operation runs."""
        return self.operation is not None

    # --- the serial interface ---
    def select(self, cycle: int) -> None:
        """Chip select goes low: a command begins."""
        self.settle(cycle)
        self._command, self._sent, self._selected = None, bytearray(), True

    def exchange(self, byte: int, cycle: int) -> int:
        """One byte in, one out."""
        self.settle(cycle)
        if self.continuous:
            if byte == 0xFF:
                self.continuous = False
            elif byte:
                self.warn(
                    f"the flash chip is in continuous read mode and did not understand command 0x{byte:02x}: "
                    "call flash_exit_xip first"
                )
            return 0xFF
        if self._command is None:
            self._command = byte
            if self.busy and byte not in READ_STATUS:
                self._command = 0xFF  # ignored
            return 0xFF
        answer = self._answer(len(self._sent))
        self._sent.append(byte)
        return answer

    def _answer(self, index: int) -> int:
        """The byte that leaves the chip while data byte `index` comes in."""
        command, sent = self._command or 0, self._sent
        if command in READ_STATUS:
            return self.status[READ_STATUS[command]] | (BUSY if command == 0x05 and self.busy else 0)
        if command in IDS:
            answer: tuple[int, ...] = (0, 0, 0, 0, *self.unique_id) if command == 0x4B else IDS[command]
            return int(answer[min(index, len(answer) - 1)])
        header = 4 if command == FAST_READ else 3
        if command in (READ, FAST_READ) and index >= header:
            address = int.from_bytes(sent[:3], "big") + index - header
            return int(self.cells[address % FLASH_SIZE])
        return 0xFF

    def deselect(self, cycle: int) -> None:
        """Chip select goes high: writing commands take effect."""
        command, sent, self._selected = self._command, bytes(self._sent), False
        self._command = None
        if command is None or self.continuous:
            return
        if command == WRITE_ENABLE:
            self.status[0] |= WRITE_ENABLED
        elif command == WRITE_DISABLE:
            self.status[0] &= ~WRITE_ENABLED
        elif command in WRITE_STATUS and sent:
            self._write_status(WRITE_STATUS[command], sent, cycle)
        elif command == PAGE_PROGRAM and len(sent) > 3:
            self.start_program(int.from_bytes(sent[:3], "big"), sent[3:], cycle)
        elif command in ERASE_BYTES and (len(sent) == 3 or ERASE_BYTES[command] == FLASH_SIZE):
            self.start_erase(int.from_bytes(sent, "big"), ERASE_BYTES[command], cycle)
        elif command not in {READ, FAST_READ, PAGE_PROGRAM, *READ_STATUS, *IDS, *SILENT, *ERASE_BYTES, *WRITE_STATUS}:
            self.warn(f"flash command 0x{command:02x} is not modelled: it reads 0xff and does nothing")

    def _write_status(self, first: int, sent: bytes, cycle: int) -> None:
        if self.status[0] & WRITE_ENABLED:
            for i, value in enumerate(sent[: 3 - first]):
                self.status[first + i] = value & ~(BUSY | WRITE_ENABLED) if first + i == 0 else value
            self.status[0] &= ~WRITE_ENABLED
            self._begin(Operation(0, 0, b"", cycle, cycle + self.cycles(STATUS_WRITE_US)))

    # --- programming and erasing ---
    def cycles(self, us: float) -> int:
        """Cycles of clk_sys at its present frequency."""
        return round(us * int(self.S[CLK_SYS_HZ]) / 1_000_000)

    def start_program(self, address: int, data: bytes, cycle: int) -> None:
        """Program up to a page; more bytes wrap around in it. Nothing happens without write enable."""
        if not self._may_write():
            return
        base = address % FLASH_SIZE & -PAGE
        page = bytearray(b"\xff" * PAGE)
        for i, byte in enumerate(data):
            page[(address + i) % PAGE] = byte
        us = min(PROGRAM_US, FIRST_BYTE_US + NEXT_BYTE_US * (len(data) - 1))
        self._begin(Operation(base, PAGE, bytes(page), cycle, cycle + self.cycles(us)))

    def start_erase(self, address: int, size: int, cycle: int) -> None:
        """Erase the block of `size` bytes around an address. Nothing happens without write enable."""
        if self._may_write():
            end = cycle + self.cycles(ERASE_US[size])
            self._begin(Operation(address % FLASH_SIZE & -size, size, None, cycle, end))

    def _may_write(self) -> bool:
        enabled = bool(self.status[0] & WRITE_ENABLED)
        self.status[0] &= ~WRITE_ENABLED
        return enabled and not self.busy

    def _begin(self, operation: Operation) -> None:
        self.operation = operation
        self.S[XIP_OFF] |= XIP_OFF_BUSY

    def settle(self, cycle: int) -> None:
        """Finish the operation whose time is over."""
        operation = self.operation
        if operation is None or cycle < operation.end:
            return
        self._end()
        where = slice(operation.address, operation.address + operation.size)
        if operation.data is None:
            self.cells[where] = 0xFF
        else:
            self.cells[where] &= np.frombuffer(operation.data, np.uint8)
        if operation.size:
            self.written.append((operation.address, operation.size))
            self._changed(operation.address, operation.size)

    def _end(self) -> None:
        self.operation = None
        self.S[XIP_OFF] &= ~XIP_OFF_BUSY

    def interrupt(self, cycle: int, seed: int) -> Operation | None:
        """The power goes away: leave what the operation has done so far, by `seed`, and say which it was.

        Each bit has its own moment in the operation, uniformly distributed: programming clears it there. An erase
        clears all bits in its first quarter (a chip does that so that all cells start alike) and sets them in the
        rest.
        """
        self.settle(cycle)
        operation = self.operation
        if operation is None:
            return None
        self._end()
        done = (cycle - operation.start) / max(1, operation.end - operation.start)
        where = slice(operation.address, operation.address + operation.size)
        moments = np.random.RandomState(np.array([seed & 0xFFFFFFFF, operation.address], np.uint32))
        moment = moments.random_sample((operation.size, 8))  # [bytes, bits]
        old = self.cells[where].copy()
        if operation.data is not None:
            passed = np.packbits(moment < done, axis=1)[:, 0]
            self.cells[where] = old & (np.frombuffer(operation.data, np.uint8) | ~passed)
        elif done < PREPARE:
            self.cells[where] = old & ~np.packbits(moment < done / PREPARE, axis=1)[:, 0]
        else:
            self.cells[where] = np.packbits(moment < (done - PREPARE) / (1 - PREPARE), axis=1)[:, 0]
        if operation.size:
            self._changed(operation.address, operation.size)
        return operation

    def due(self, cycle: int) -> None:
        """An operation is done."""
        self.settle(cycle)

    def next_event(self) -> int | None:
        """When the operation is done."""
        return NEVER if self.operation is None else self.operation.end
