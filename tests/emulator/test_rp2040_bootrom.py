"""The emulated boot ROM as firmware uses it: look a function up by its two letters, call it."""

from __future__ import annotations

import random
import struct

import pytest

from firmware_sim.rp2040 import Board, Stop

BASE, CODE, DATA = 0x20000000, 0x20000100, 0x20008000
FLASH = 0x10000000
BLX_R4_BKPT = [0x47A0, 0xBE00]


class Caller:
    """A board whose program calls the address in r4 and stops."""

    def __init__(self) -> None:
        self.board = Board()
        table = struct.pack("<64I", 0x20040000, CODE | 1, *[0] * 62)
        self.board.load(table + struct.pack("<2H", *BLX_R4_BKPT), address=BASE)

    def call(self, address: int, *arguments: int) -> Stop:
        S = self.board.chip.S
        S[: len(arguments)] = arguments
        S[4], S[15] = address, CODE
        return self.board.run(max_cycles=500_000_000)

    def half(self, address: int) -> int:
        return int.from_bytes(self.board.read_memory(address, 2), "little")

    def lookup(self, name: str) -> int:
        """rom_table_lookup(function table, code), as pico-sdk does it."""
        return self.call(self.half(0x18), self.half(0x14), ord(name[0]) | ord(name[1]) << 8).r0


@pytest.fixture
def rom() -> Caller:
    return Caller()


def test_magic_and_version(rom: Caller) -> None:
    assert rom.board.read_memory(0x10, 4) == b"Mu\x01\x02"


def test_unknown_functions_are_0(rom: Caller) -> None:
    assert rom.lookup("??") == 0


def test_bit_functions(rom: Caller) -> None:
    rng = random.Random(3)
    for value in (0, 1, 0x80000000, 0xFFFFFFFF, *(rng.getrandbits(32) for _ in range(20))):
        bits = f"{value:032b}"
        assert rom.call(rom.lookup("P3"), value).r0 == bits.count("1")
        assert rom.call(rom.lookup("R3"), value).r0 == int(bits[::-1], 2)
        assert rom.call(rom.lookup("L3"), value).r0 == len(bits) - len(bits.lstrip("0"))
        assert rom.call(rom.lookup("T3"), value).r0 == len(bits) - len(bits.rstrip("0"))


def test_memory_functions(rom: Caller) -> None:
    rom.board.write_memory(DATA, bytes(range(100)))
    assert rom.call(rom.lookup("MC"), DATA + 200, DATA, 100).r0 == DATA + 200
    assert rom.board.read_memory(DATA + 200, 100) == bytes(range(100))
    assert rom.call(rom.lookup("MS"), DATA, 0x1A5, 7).r0 == DATA
    assert rom.board.read_memory(DATA, 8) == b"\xa5" * 7 + b"\x07"


def test_copied_code_is_decoded_anew(rom: Caller) -> None:
    for value in (5, 6):
        rom.board.write_memory(DATA, struct.pack("<2H", 0x2000 | value, 0x4770))  # movs r0, #value; bx lr
        rom.call(rom.lookup("MC"), DATA + 0x100, DATA, 4)
        assert rom.call(DATA + 0x101).r0 == value


def test_flash_erase_and_program(rom: Caller) -> None:
    rom.board.write_memory(DATA, bytes(range(256)))
    rom.board.write_memory(FLASH + 0x3000, bytes(0x2000))
    rom.call(rom.lookup("RE"), 0x3000, 4096, 1 << 16, 0xD8)
    assert rom.board.read_memory(FLASH + 0x3000, 0x2000) == b"\xff" * 0x1000 + bytes(0x1000)
    rom.call(rom.lookup("RP"), 0x3000, DATA, 256)
    assert rom.board.read_memory(FLASH + 0x3000, 256) == bytes(range(256))
    rom.board.write_memory(DATA, b"\xf0" * 256)
    rom.call(rom.lookup("RP"), 0x3000, DATA, 256)  # bits only fall
    assert rom.board.read_memory(FLASH + 0x3000, 256) == bytes(i & 0xF0 for i in range(256))


def test_reset_to_usb_ends_the_run(rom: Caller) -> None:
    assert rom.call(rom.lookup("UB"), 0, 0).reason == "usb_boot"
