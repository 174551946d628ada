"""The boot ROM by high-level emulation: the tables that firmware reads, own Thumb code, and markers served by Python.

No ROM image of the vendor is used. Memory and bit functions and core 1's hand-over are this project's Thumb code
(rom/code.S); float and flash functions and the way to the USB boot loader are one marker instruction each, whose
execution calls `BootRom.call`. Layout and codes: RP2040 datasheet 2.8.3. Docs: decision 0080.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from firmware_sim.rp2040.layout import CARRY, CYCLES, LR, NZ, OVERFLOW, PC, ROM_SIZE, WORD, Memory, State
from firmware_sim.rp2040.rom import code
from firmware_sim.rp2040.rom.flash_functions import FlashFunctions
from firmware_sim.rp2040.rom.float_tables import ENTRIES, VERSION_1_ENTRIES
from firmware_sim.rp2040.rom.soft_float import DOUBLE, SINGLE

MAGIC, FUNCTION_POINTER, DATA_POINTER, LOOKUP_POINTER = 0x10, 0x14, 0x16, 0x18
FUNCTION_TABLE, DATA_TABLE, COPYRIGHT_TEXT, REVISION, FLOAT_COUNT = 0x40, 0xA0, 0xD0, 0xF8, 0xFC
FLOAT_TABLE, DOUBLE_TABLE = 0x100, 0x180
MARKERS = 0x800
MARKER = 0xDE00  # permanently undefined instruction; the low byte is the function's number
NO_FUNCTION = 0xFF  # where the ROM is empty: a jump there faults
COPYRIGHT = b"crustwatch emulated boot ROM\0"
GIT_REVISION = 0x63777631
STACK_TOP = 0x20041F00  # the ROM's stack pointer at reset
# Codes of the function table whose functions are Thumb code.
CODE_FUNCTIONS = {
    "P3": "popcount32",
    "R3": "reverse32",
    "L3": "clz32",
    "T3": "ctz32",
    "MS": "memset",
    "S4": "memset4",
    "MC": "memcpy",
    "C4": "memcpy44",
    "DT": "debug_trampoline",
    "DE": "debug_trampoline_end",
    "WV": "wait_for_vector",
}
CARRY_SET = 1 << 32


class BootRom:
    """One chip's boot ROM. `version` is the ROM's: 1 (chip B0), 2 (B1) or 3 (B2).

    `usb_boot()` is called when the firmware asks for the USB boot loader, `restart()` when it jumps to the ROM's entry.
    """

    def __init__(
        self,
        S: State,
        mem: Memory,
        flash: FlashFunctions,
        usb_boot: Callable[[], None],
        restart: Callable[[], None],
        version: int = 3,
    ) -> None:
        self.S = S
        self.mem = mem
        self.version = version
        self._functions: list[Callable[[int, int], None]] = []
        self._names: dict[str, int] = {}
        entries = ENTRIES[:VERSION_1_ENTRIES] if version == 1 else ENTRIES
        for form in (SINGLE,) if version == 1 else (SINGLE, DOUBLE):
            for entry in entries:
                routine = entry.make(form)
                cycles = entry.cycles[form is DOUBLE]
                self._add(f"{form.code}{entry.name}", self._float(routine, cycles, entry.flags))
        for name, function in flash.functions.items():
            self._add(name, function)
        self._add("UB", lambda core, cycle: usb_boot())
        self._add("restart", lambda core, cycle: restart())
        self.entries = len(entries)

    def _add(self, name: str, function: Callable[[int, int], None]) -> None:
        self._names[name] = len(self._functions)
        self._functions.append(function)

    def address(self, name: str) -> int:
        """Where a function begins: a code of the function table, `f` or `d` and a float routine, or `restart`."""
        if name in CODE_FUNCTIONS:
            return code.LABELS[CODE_FUNCTIONS[name]]
        return MARKERS + 4 * self._names[name]

    def write_image(self) -> None:
        """Put vectors, magic, tables, code and markers at address 0."""
        rom = bytearray(ROM_SIZE)
        code_end = code.CODE_BASE + 2 * len(code.CODE)
        rom[code_end:] = struct.pack("<H", MARKER | NO_FUNCTION) * ((ROM_SIZE - code_end) // 2)
        dead = code.LABELS["dead"] | 1
        struct.pack_into("<4I", rom, 0, STACK_TOP, self.address("restart") | 1, dead, dead)
        rom[MAGIC : MAGIC + 4] = b"Mu\x01" + bytes([self.version])
        struct.pack_into("<4H", rom, FUNCTION_POINTER, FUNCTION_TABLE, DATA_TABLE, code.LABELS["lookup"] | 1, 0)
        names = [*CODE_FUNCTIONS, "IF", "EX", "RE", "RP", "FC", "CX", "UB"]
        for i, name in enumerate(names):
            struct.pack_into("<2sH", rom, FUNCTION_TABLE + 4 * i, name.encode(), self.address(name) | 1)
        data = {"GR": REVISION, "CR": COPYRIGHT_TEXT, "SF": FLOAT_TABLE, "FS": MARKERS, "FE": MARKERS}
        if self.version > 1:
            data |= {"SD": DOUBLE_TABLE, "FZ": FLOAT_COUNT, "DS": MARKERS, "DE": MARKERS}
        for i, (name, target) in enumerate(data.items()):
            struct.pack_into("<2sH", rom, DATA_TABLE + 4 * i, name.encode(), target)
        rom[COPYRIGHT_TEXT : COPYRIGHT_TEXT + len(COPYRIGHT)] = COPYRIGHT
        struct.pack_into("<IB", rom, REVISION, GIT_REVISION, self.entries)
        for table, letter in ((FLOAT_TABLE, "f"), (DOUBLE_TABLE, "d")):
            for i, entry in enumerate(ENTRIES[: self.entries]):
                if letter + entry.name in self._names:
                    struct.pack_into("<I", rom, table + 4 * i, self.address(letter + entry.name) | 1)
        struct.pack_into(f"<{len(code.CODE)}H", rom, code.CODE_BASE, *code.CODE)
        for number in range(len(self._functions)):
            struct.pack_into("<H", rom, MARKERS + 4 * number, MARKER | number)
        self.mem.bytes[:ROM_SIZE] = np.frombuffer(rom, np.uint8)

    def call(self, core: int, number: int, cycle: int) -> bool:
        """Run function `number` for the core whose state begins at `core`; False when there is none.

        A function returns to LR, or leaves PC at its marker to be called again: so a long one lets interrupts in.
        """
        if number >= len(self._functions):
            return False
        self._functions[number](core, cycle)
        return True

    def _float(
        self, routine: Callable[[int, int, int, int], tuple[int, ...]], cycles: int, flags: bool
    ) -> Callable[[int, int], None]:
        """A function that computes and returns to its caller."""
        S = self.S

        def run(core: int, cycle: int) -> None:
            r0, r1, r2, r3 = S[core : core + 4].tolist()
            result = routine(r0, r1, r2, r3)
            S[core : core + len(result)] = result
            if flags:  # as SUBS r0, #0 leaves them
                S[core + NZ], S[core + CARRY], S[core + OVERFLOW] = result[0], CARRY_SET, 0
            S[core + PC] = S[core + LR] & (WORD - 1)
            S[core + CYCLES] += cycles

        return run
