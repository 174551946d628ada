"""The boot ROM by high-level emulation: lookup tables that firmware reads, and functions served by Python.

No ROM image of the vendor is used. The memory at 0 holds magic, tables and one marker instruction a function; running
a marker calls `BootRom.call`. RP2040 datasheet 2.8.3. Vectors are 0, so that exceptions before the firmware sets VTOR
find no handler. Cycles charged are rough figures of the same order as the ROM's own routines.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from firmware_sim.rp2040.layout import CYCLES as CYCLE_INDEX
from firmware_sim.rp2040.layout import (
    FLASH_OFFSET,
    FLASH_SIZE,
    LR,
    PC,
    ROM_SIZE,
    WORD,
    Memory,
    State,
)
from firmware_sim.rp2040.memory_map import locate

MAGIC, FUNCTION_POINTER, DATA_POINTER, LOOKUP_POINTER = 0x10, 0x14, 0x16, 0x18
FUNCTION_TABLE, DATA_TABLE, DATA, MARKERS = 0x40, 0x100, 0x140, 0x200
MARKER = 0xDE00  # permanently undefined instruction; the low byte is the function's number
COPYRIGHT = b"crustwatch emulated boot ROM\0"
SECTOR = 4096


class BootRom:
    """`usb_boot()` is called when the firmware asks for the USB boot loader; `flash_changed()` after a flash write."""

    def __init__(self, S: State, mem: Memory, usb_boot: Callable[[], None], flash_changed: Callable[[], None]) -> None:
        self.S = S
        self.mem = mem
        self._usb_boot = usb_boot
        self._flash_changed = flash_changed
        self._functions: list[tuple[str, Callable[[], int]]] = [
            ("", self._lookup),
            ("P3", lambda: self._answer(self._r(0).bit_count(), 21)),
            ("R3", lambda: self._answer(int(f"{self._r(0):032b}"[::-1], 2), 17)),
            ("L3", lambda: self._answer(32 - self._r(0).bit_length(), 17)),
            (
                "T3",
                lambda: self._answer(min(32, (self._r(0) & -self._r(0)).bit_length() - 1) if self._r(0) else 32, 17),
            ),
            ("MS", self._memset),
            ("S4", self._memset),
            ("MC", self._memcpy),
            ("C4", self._memcpy),
            ("UB", self._reset_to_usb),
            ("IF", lambda: 100),
            ("EX", lambda: 100),
            ("RE", self._flash_erase),
            ("RP", self._flash_program),
            ("FC", lambda: 100),
            ("CX", lambda: 100),
        ]

    def write_image(self) -> None:
        """Put magic, tables and markers at address 0."""
        rom = bytearray(ROM_SIZE)
        rom[MAGIC : MAGIC + 4] = b"Mu\x01\x02"
        address = {name: MARKERS + 4 * i for i, (name, _) in enumerate(self._functions)}
        struct.pack_into("<HHH", rom, FUNCTION_POINTER, FUNCTION_TABLE, DATA_TABLE, address[""] | 1)
        at = FUNCTION_TABLE
        for i, (name, _) in enumerate(self._functions):
            struct.pack_into("<H", rom, MARKERS + 4 * i, MARKER | i)
            if name:
                struct.pack_into("<2sH", rom, at, name.encode(), address[name] | 1)
                at += 4
        struct.pack_into("<2sH2sH", rom, DATA_TABLE, b"CR", DATA, b"GR", DATA + 32)
        rom[DATA : DATA + len(COPYRIGHT)] = COPYRIGHT
        rom[-2:] = struct.pack("<H", MARKER | 0xFF)  # running off the end is not a function
        self.mem.bytes[:ROM_SIZE] = np.frombuffer(rom, np.uint8)

    def call(self, number: int) -> bool:
        """Run function `number` for core 0 and return to LR; False when there is none."""
        if number >= len(self._functions):
            return False
        cycles = self._functions[number][1]()
        self.S[PC] = self.S[LR] & ~1
        self.S[CYCLE_INDEX] += cycles
        return True

    def _r(self, index: int) -> int:
        return int(self.S[index])

    def _answer(self, value: int, cycles: int) -> int:
        self.S[0] = value & WORD
        return cycles

    def _offset(self, address: int, size: int) -> int | None:
        """Offset of [address, address + size) in the memory; None when it is not all there."""
        where = locate(address, size)
        return where.start if isinstance(where, slice) else None

    def _lookup(self) -> int:
        """rom_table_lookup(table, code)."""
        table, code = self._r(0), self._r(1) & 0xFFFF
        result = 0
        for at in range(table, ROM_SIZE - 4, 4):
            key, pointer = struct.unpack("<HH", self.mem.bytes[at : at + 4].tobytes())
            if key == code:
                result = pointer
            if key in (code, 0):
                break
        return self._answer(result, 60)

    def _memset(self) -> int:
        """memset(target, byte, count): returns target."""
        target, count = self._offset(self._r(0), self._r(2)), self._r(2)
        if target is None or target >= FLASH_OFFSET:
            return 20
        self.mem.bytes[target : target + count] = self._r(1) & 0xFF
        self._forget(target, count)
        return 20 + count // 2

    def _memcpy(self) -> int:
        """memcpy(target, source, count): returns target."""
        count = self._r(2)
        target, source = self._offset(self._r(0), count), self._offset(self._r(1), count)
        if target is None or source is None or target >= FLASH_OFFSET:
            return 20
        self.mem.bytes[target : target + count] = self.mem.bytes[source : source + count].copy()
        self._forget(target, count)
        return 20 + count

    def _forget(self, offset: int, count: int) -> None:
        """Code may have been overwritten."""
        self.mem.decoded[max(0, (offset >> 1) - 1) : (offset + count + 1) >> 1] = 0

    def _reset_to_usb(self) -> int:
        self._usb_boot()
        return 0

    def _flash_erase(self) -> int:
        """flash_range_erase(address, count, block_size, block_command): whole sectors to 0xFF."""
        first, count = self._r(0) & -SECTOR, self._r(1)
        last = min(FLASH_SIZE, (self._r(0) + count + SECTOR - 1) & -SECTOR)
        self.mem.bytes[FLASH_OFFSET + first : FLASH_OFFSET + last] = 0xFF
        self._flash_changed()
        return 6_000_000 * max(1, (last - first) // SECTOR)  # 45 ms a sector at 125 MHz

    def _flash_program(self) -> int:
        """flash_range_program(address, data, count): programming clears bits only."""
        address, count = self._r(0), self._r(2)
        source = self._offset(self._r(1), count)
        if source is None or address + count > FLASH_SIZE:
            return 20
        target = FLASH_OFFSET + address
        self.mem.bytes[target : target + count] &= self.mem.bytes[source : source + count]
        self._flash_changed()
        return 50_000 * ((count + 255) // 256)  # 0.4 ms a page at 125 MHz
