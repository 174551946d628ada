"""The flash chip: through the boot ROM's functions, through raw commands, over a power cut, and in its file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
from pathlib import Path

import numpy as np
import pytest

from firmware_sim.rp2040 import Board, Stop
from firmware_sim.rp2040.chip import Chip
from firmware_sim.rp2040.flash_chip import PREPARE, UNIQUE_ID
from firmware_sim.rp2040.layout import CLK_SYS_HZ, CYCLES, FLASH_OFFSET, FLASH_SIZE, PRIMASK, XIP_OFF
from shared.errors import BadInputError

BASE, CODE, DATA, HANDLER = 0x20000000, 0x20000100, 0x20008000, 0x20000200
FLASH = 0x10000000
SSI, SS_CTRL, TIMER = 0x18000000, 0x4001800C, 0x40054000
SPEED = 1_000_000  # Hz of clk_sys in these tests: cycles are microseconds


class Caller:
    """A program that calls the address in r4 and stops; SysTick's handler counts in r11's word."""

    def __init__(self, flash: Path | None = None) -> None:
        self.board = Board(flash=flash)
        vectors = [0x20040000, CODE | 1, *[0] * 13, HANDLER | 1, *[0] * 48]
        program = bytearray(0x300)
        struct.pack_into("<64I", program, 0, *vectors)
        struct.pack_into("<2H", program, CODE - BASE, 0x47A0, 0xBE00)  # blx r4; bkpt
        # ldr r0, =0x20009000; ldr r1, [r0]; adds r1, #1; str r1, [r0]; bx lr
        struct.pack_into("<5H", program, HANDLER - BASE, 0x4802, 0x6801, 0x3101, 0x6001, 0x4770)
        struct.pack_into("<I", program, HANDLER - BASE + 12, 0x20009000)
        self.board.load(bytes(program), address=BASE)
        self.board.chip.S[CLK_SYS_HZ] = SPEED
        names = ("IF", "EX", "RE", "RP", "FC", "CX")
        self.functions = {name: self.lookup(name) for name in names}

    def lookup(self, name: str) -> int:
        half = [int.from_bytes(self.board.read_memory(address, 2), "little") for address in (0x18, 0x14)]
        return self.call(half[0], half[1], ord(name[0]) | ord(name[1]) << 8).r0

    def call(self, address: int, *arguments: int, until_cycle: int | None = None) -> Stop:
        S = self.board.chip.S
        S[: len(arguments)] = arguments
        S[4], S[15] = address, CODE
        return self.board.run(max_cycles=500_000_000, until_cycle=until_cycle)

    def rom(self, name: str, *arguments: int) -> int:
        """Call a flash function; the cycles that it took."""
        before = int(self.board.chip.S[CYCLES])
        stop = self.call(self.functions[name], *arguments)
        assert stop.reason == "bkpt"
        return stop.cycles - before - 2

    def open(self) -> None:
        self.rom("IF")
        self.rom("EX")

    def close(self) -> None:
        self.rom("FC")
        self.rom("CX")


@pytest.fixture
def rom() -> Caller:
    return Caller()


def test_program_clears_bits_and_erase_sets_them(rom: Caller) -> None:
    flash = rom.board.flash
    rom.board.write_memory(DATA, bytes(range(256)) + b"\xf0" * 256)
    flash.write(0x3000, bytes(0x2000))
    rom.open()
    assert 45_000 <= rom.rom("RE", 0x3000, 4096, 1 << 16, 0xD8) <= 46_000
    assert flash.read(0x3000, 0x2000) == b"\xff" * 0x1000 + bytes(0x1000)
    assert 400 + 260 * 48 <= rom.rom("RP", 0x3000, DATA, 256) <= 13_500
    assert flash.read(0x3000, 256) == bytes(range(256))
    rom.rom("RP", 0x3000, DATA + 256, 256)
    assert flash.read(0x3000, 256) == bytes(i & 0xF0 for i in range(256))
    rom.close()
    assert rom.board.warnings == []


def test_large_blocks_use_the_block_command(rom: Caller) -> None:
    flash = rom.board.flash
    flash.write(0x1F000, bytes(0x13000))
    rom.open()
    taken = rom.rom("RE", 0x1F000, 0x12000, 0x10000, 0xD8)  # a sector, a block of 64 KB, a sector
    assert 2 * 45_000 + 150_000 <= taken <= 245_000
    assert flash.read(0x1F000, 0x13000) == b"\xff" * 0x12000 + bytes(0x1000)
    flash.write(0x8000, bytes(0x9000))
    assert 120_000 <= rom.rom("RE", 0x8000, 0x8000, 0x8000, 0x52) <= 121_000
    assert flash.read(0x8000, 0x9000) == b"\xff" * 0x8000 + bytes(0x1000)


def test_calls_in_xip_mode_do_nothing_and_say_why(rom: Caller) -> None:
    rom.board.flash.write(0x3000, bytes(256))
    rom.rom("RE", 0x3000, 4096, 1 << 16, 0xD8)
    rom.rom("RP", 0x3000, DATA, 256)
    assert rom.board.flash.read(0x3000, 256) == bytes(256)
    assert len(rom.board.warnings) == 2
    assert "call connect_internal_flash and flash_exit_xip before" in rom.board.warnings[0]


def test_data_in_flash_cannot_be_programmed(rom: Caller) -> None:
    rom.open()
    rom.rom("RP", 0x3000, FLASH, 256)
    assert "copy them to SRAM first" in rom.board.warnings[0]


def test_xip_is_off_between_exit_and_enter(rom: Caller) -> None:
    S = rom.board.chip.S
    assert S[XIP_OFF] == 0
    rom.open()
    assert S[XIP_OFF] == 1
    before = int(S[CYCLES])
    rom.call(rom.functions["RE"], 0x3000, 4096, 1 << 16, 0xD8, until_cycle=before + 20_000)
    assert rom.board.flash.busy
    assert S[XIP_OFF] == 3
    rom.board.chip.blocks["IO_QSPI"].write("GPIO_QSPI_SS_CTRL", 3 << 8, int(S[CYCLES]))
    rom.board.run()
    assert S[XIP_OFF] == 1
    rom.close()
    assert S[XIP_OFF] == 0
    assert rom.board.chip.blocks["IO_QSPI"].values["GPIO_QSPI_SS_CTRL"] == 0


def systick(rom: Caller, period: int) -> None:
    """SysTick's interrupt every `period` cycles, by registers that a program writes."""
    words = [0xE000E014, period - 1, 0xE000E018, 0, 0xE000E010, 7]
    rom.board.write_memory(DATA, struct.pack("<6I", *words))
    rom.board.write_memory(DATA + 64, struct.pack("<7H", 0xC806, 0x600A, 0xC806, 0x600A, 0xC806, 0x600A, 0x4770))
    rom.call(DATA + 64 | 1, DATA)


def counted(rom: Caller) -> int:
    return int.from_bytes(rom.board.read_memory(0x20009000, 4), "little")


def test_interrupts_are_taken_while_the_flash_erases(rom: Caller) -> None:
    rom.open()
    systick(rom, 1_000)
    taken = rom.rom("RE", 0x3000, 4096, 1 << 16, 0xD8)
    assert 44 <= counted(rom) <= 47
    assert 45_000 <= taken <= 47_500
    rom.board.chip.S[PRIMASK] = 1
    before = counted(rom)
    assert 45_000 <= rom.rom("RE", 0x3000, 4096, 1 << 16, 0xD8) <= 46_000
    assert counted(rom) == before


def in_flash(*halves: int) -> Board:
    """A board whose program is in flash, with r4 = flash_exit_xip of the boot ROM and r5 a cold flash address."""
    names = Caller()
    board = Board(native=False)
    code = struct.pack("<2I", 0x20040000, FLASH + 0x101) + b"\xff" * 248 + struct.pack(f"<{len(halves)}H", *halves)
    board.load(code, address=FLASH)
    board.set_register("r4", names.functions["EX"])
    board.set_register("r5", FLASH + 0x100000)
    return board


def test_code_in_flash_cannot_run_on_after_xip_is_off() -> None:
    """The classic mistake: the function that writes flash is in flash itself. There is no way back to it."""
    stop = in_flash(0x47A0, *[0x46C0] * 16, 0xBE00).run(max_cycles=1_000_000)  # blx r4; nops; bkpt
    assert stop.fault is not None
    assert stop.fault.kind == "read from flash while it is being written or its interface is not in XIP mode"
    assert FLASH + 0x102 <= stop.fault.address <= FLASH + 0x110
    assert stop.reason in ("fault", "lockup")


def test_data_in_flash_cannot_be_read_while_xip_is_off(rom: Caller) -> None:
    board = rom.board
    board.write_memory(DATA, struct.pack("<3H", 0x6801, 0x4770, 0))  # ldr r1, [r0]; bx lr
    rom.open()
    stop = rom.call(DATA | 1, FLASH + 0x100000)
    assert stop.fault is not None
    assert (stop.fault.pc, stop.fault.address) == (DATA, FLASH + 0x100000)
    assert "interface is not in XIP mode" in stop.fault.kind
    rom = Caller()
    rom.board.write_memory(DATA, struct.pack("<3H", 0x6801, 0x4770, 0))
    rom.call(DATA | 1, FLASH + 0x100000)
    rom.open()
    stop = rom.call(DATA | 1, FLASH + 0x100000)  # still in the cache
    assert (stop.reason, stop.fault) == ("bkpt", None)


def test_a_forgotten_flush_is_named(rom: Caller) -> None:
    rom.board.write_memory(DATA, struct.pack("<3H", 0x6801, 0x4770, 0))
    for flush, expected in ((True, 0), (False, 1)):
        rom.call(DATA | 1, FLASH + 0x3010)
        rom.open()
        rom.rom("RE", 0x3000, 4096, 1 << 16, 0xD8)
        if flush:
            rom.rom("FC")
        rom.rom("CX")
        assert len(rom.board.warnings) == expected
    assert "old contents until flash_flush_cache is called" in rom.board.warnings[0]


# --- the serial interface ---


class Wire:
    """Writes and reads registers of the SSI as a core does, `step` cycles apart."""

    def __init__(self, step: int = 40) -> None:
        self.chip = Chip()
        self.chip.resets.after_boot_rom(lenient=False)
        self.chip.S[CLK_SYS_HZ] = SPEED
        self.step = step
        self.cycle = 0
        for offset, value in ((0x08, 0), (0x14, 2), (0x00, 7 << 16), (0x10, 1), (0x08, 1)):
            self.store(SSI + offset, value)

    def store(self, address: int, value: int) -> None:
        self.cycle += self.step
        self.chip._host(1, address, value, self.cycle)

    def load(self, address: int) -> int:
        self.cycle += self.step
        return self.chip._host(0, address, 0, self.cycle)

    def command(self, *sent: int) -> bytes:
        """flash_do_cmd of pico-sdk: chip select by override, bytes out and in."""
        self.store(SS_CTRL, 2 << 8)
        received = bytearray()
        for byte in sent:
            self.store(SSI + 0x60, byte)
            while not self.load(SSI + 0x28) & 8:
                pass
            received.append(self.load(SSI + 0x60))
        self.store(SS_CTRL, 3 << 8)
        return bytes(received)

    def wait(self) -> int:
        """Until BUSY is 0; the cycles."""
        start = self.cycle
        while self.command(0x05, 0)[1] & 1:
            pass
        return self.cycle - start

    def cells(self, offset: int, size: int) -> bytes:
        return self.chip.mem.bytes[FLASH_OFFSET + offset : FLASH_OFFSET + offset + size].tobytes()


def test_identification_and_status() -> None:
    wire = Wire()
    assert wire.command(0x9F, 0, 0, 0)[1:] == b"\xef\x40\x15"
    assert wire.command(0x90, 0, 0, 0, 0, 0)[4:] == b"\xef\x14"
    assert wire.command(0x4B, *[0] * 12)[5:] == UNIQUE_ID
    assert wire.command(0x35, 0)[1] == 2
    assert wire.command(0x05, 0)[1] == 0
    wire.command(0x06)
    assert wire.command(0x05, 0)[1] == 2
    wire.command(0x04)
    assert wire.command(0x05, 0)[1] == 0


def test_second_stage_without_override_sees_one_command_per_burst() -> None:
    """As the vendor's second stage asks for status register 2: two words, then wait until idle, then read both."""
    wire = Wire(step=2)
    wire.store(SSI + 0x14, 4)
    for _ in range(2):
        wire.store(SSI + 0x60, 0x35)
        wire.store(SSI + 0x60, 0x35)
        assert wire.load(SSI + 0x28) & 1
        while not wire.load(SSI + 0x28) & 4 or wire.load(SSI + 0x28) & 1:
            pass
        assert (wire.load(SSI + 0x24), wire.load(SSI + 0x60) and None, wire.load(SSI + 0x60)) == (2, None, 2)


def test_status_write_needs_write_enable() -> None:
    wire = Wire()
    wire.command(0x01, 0x00, 0x00)
    assert wire.command(0x35, 0)[1] == 2
    wire.command(0x06)
    wire.command(0x01, 0x00, 0x00)
    assert wire.wait() >= 9_000
    assert wire.command(0x35, 0)[1] == 0


def test_program_read_and_erase_by_commands() -> None:
    wire = Wire()
    wire.command(0x02, 0, 0x12, 0xFE, 1, 2, 3, 4)
    assert wire.cells(0x1200, 256) == b"\xff" * 256  # no write enable
    wire.command(0x06)
    wire.command(0x02, 0, 0x12, 0xFE, 1, 2, 3, 4)
    assert wire.command(0x03, 0, 0, 0, 0)[4] == 0xFF  # busy: not understood
    wire.wait()
    assert wire.cells(0x1200, 256) == b"\x03\x04" + b"\xff" * 252 + b"\x01\x02"  # wraps inside the page
    assert wire.command(0x03, 0, 0x12, 0xFE, 0, 0, 0)[4:] == b"\x01\x02\xff"
    assert wire.command(0x0B, 0, 0x12, 0xFE, 0, 0, 0)[5:] == b"\x01\x02"
    for command, size, us in ((0x20, 4096, 45_000), (0x52, 32768, 120_000), (0xD8, 65536, 150_000)):
        wire.chip.mem.bytes[FLASH_OFFSET : FLASH_OFFSET + 0x20000] = 0
        wire.command(0x06)
        wire.command(command, 0, 0x12, 0x34)
        assert us - 1000 <= wire.wait() <= us + 1000
        assert wire.cells(0x1000 & -size, size) == b"\xff" * size
        assert wire.cells((0x1000 & -size) + size, 1) == b"\0"
    wire.command(0x06)
    wire.command(0xC7)
    assert wire.wait() >= 4_990_000
    assert wire.cells(0, FLASH_SIZE) == b"\xff" * FLASH_SIZE


def test_continuous_read_mode_understands_nothing_else() -> None:
    wire = Wire()
    wire.chip.flash.continuous = True
    assert wire.command(0x9F, 0, 0, 0)[1:] == b"\xff\xff\xff"
    assert "call flash_exit_xip first" in wire.chip.warnings[0]
    wire.command(0xFF, 0xFF)
    assert wire.command(0x9F, 0, 0, 0)[1:] == b"\xef\x40\x15"


def test_quad_second_stage_and_back_to_commands() -> None:
    """A dummy read EBh with mode bits A0h, then XIP without command bytes; later FFh FFh and single commands again."""
    wire = Wire(step=4)
    quad = 2 << 21 | 31 << 16 | 3 << 8
    for offset, value in ((0x08, 0), (0x00, quad), (0x04, 0), (0xF4, 0x2221), (0x08, 1), (0x60, 0xEB), (0x60, 0xA0)):
        wire.store(SSI + offset, value)
    while wire.load(SSI + 0x28) & 1:
        pass
    assert not wire.chip.flash.continuous
    for offset, value in ((0x08, 0), (0xF4, 0xA0002022), (0x08, 1)):
        wire.store(SSI + offset, value)
        assert wire.chip.S[XIP_OFF] == (0 if offset == 0x08 and value else 1)
    assert wire.chip.flash.continuous
    for offset, value in ((0x08, 0), (0x00, 7 << 16), (0x08, 1)):
        wire.store(SSI + offset, value)
    assert wire.chip.S[XIP_OFF] == 1
    wire.command(0xFF, 0xFF)
    assert wire.command(0x9F, 0, 0, 0)[1:] == b"\xef\x40\x15"
    assert wire.chip.warnings == []


def test_unknown_commands_are_named() -> None:
    wire = Wire()
    wire.command(0x5A, 0, 0, 0, 0, 0)
    assert "command 0x5a is not modelled" in wire.chip.warnings[0]


# --- power cuts ---


def cut_erase(done: float, seed: int = 1) -> tuple[bytes, bytes]:
    """Half a sector of 0x0f, erased to a share `done`: what was there and what is left."""
    chip = Chip()
    chip.S[CLK_SYS_HZ] = SPEED
    chip.mem.bytes[FLASH_OFFSET : FLASH_OFFSET + 4096] = 0x0F
    chip.flash.status[0] |= 2
    chip.flash.start_erase(0, 4096, 100)
    operation = chip.flash.interrupt(100 + round(45_000 * done), seed)
    assert operation is not None
    assert not chip.flash.busy
    return b"\x0f" * 4096, chip.mem.bytes[FLASH_OFFSET : FLASH_OFFSET + 4096].tobytes()


def ones(data: bytes) -> float:
    return float(np.unpackbits(np.frombuffer(data, np.uint8)).mean())


def test_power_cut_in_an_erase_leaves_a_half_erased_sector() -> None:
    shares = {done: ones(cut_erase(done)[1]) for done in (0.0, PREPARE / 2, PREPARE, 0.5, 0.9, 0.999)}
    assert shares[0.0] == 0.5
    assert shares[PREPARE / 2] == pytest.approx(0.25, abs=0.02)
    assert shares[PREPARE] == 0
    assert shares[0.5] == pytest.approx(1 / 3, abs=0.02)
    assert shares[0.9] == pytest.approx(0.867, abs=0.02)
    assert 0.99 < shares[0.999] < 1
    assert cut_erase(0.5, seed=7) == cut_erase(0.5, seed=7)
    assert cut_erase(0.5, seed=7) != cut_erase(0.5, seed=8)


def test_power_cut_in_a_program_leaves_bits_that_only_fell() -> None:
    chip = Chip()
    chip.S[CLK_SYS_HZ] = SPEED
    chip.flash.status[0] |= 2
    chip.flash.start_program(0x100, b"\x55" * 256, 0)
    chip.flash.interrupt(200, 3)
    left = chip.mem.bytes[FLASH_OFFSET + 0x100 : FLASH_OFFSET + 0x200]
    assert ((left & 0x55) == 0x55).all()  # nothing fell that should not
    assert ones(left.tobytes()) == pytest.approx(0.75, abs=0.05)
    assert (chip.mem.bytes[FLASH_OFFSET : FLASH_OFFSET + 0x100] == 0xFF).all()


# --- the file ---


def test_file_is_made_kept_and_locked(tmp_path: Path) -> None:
    path = tmp_path / "flash.img"
    rom = Caller(path)
    assert path.stat().st_size == FLASH_SIZE
    rom.board.write_memory(DATA, b"\x12" * 256)
    rom.open()
    rom.rom("RP", 0x10000, DATA, 256)
    assert path.read_bytes()[0x10000:0x10101] == b"\x12" * 256 + b"\xff"
    with pytest.raises(BadInputError, match="in use by another emulator"):
        Board(flash=path)
    rom.board.flash.close()
    again = Board(flash=path)
    assert again.flash.read(0x10000, 257) == b"\x12" * 256 + b"\xff"
    again.flash.save(tmp_path / "copy.img")
    assert (tmp_path / "copy.img").read_bytes() == path.read_bytes()
    again.flash.close()


def test_loading_erases_only_the_sectors_of_the_file(tmp_path: Path) -> None:
    board = Board(flash=tmp_path / "flash.img")
    board.flash.write(0, bytes(0x3000))
    board.load(struct.pack("<2I", 0x20040000, FLASH + 9) + struct.pack("<2H", 0x2005, 0xBE00), address=FLASH)
    assert board.flash.read(0x0C, 0x1000) == b"\xff" * (0x1000 - 0x0C) + bytes(0x0C)
    assert board.flash.read(0x1000, 0x2000) == bytes(0x2000)
    board.flash.close()


def test_restore_brings_the_file_back(tmp_path: Path) -> None:
    board = Board(flash=tmp_path / "flash.img")
    saved = board.snapshot()
    board.flash.write(0x5000, b"new")
    board.restore(saved)
    assert (tmp_path / "flash.img").read_bytes() == b"\xff" * FLASH_SIZE
    board.flash.close()


@pytest.mark.parametrize("size", [0, 100, FLASH_SIZE + 1])
def test_files_of_another_size_are_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "x").write_bytes(bytes(size))
    with pytest.raises(BadInputError, match=f"has {size} bytes: the flash has {FLASH_SIZE}"):
        Board(flash=tmp_path / "x")
    with pytest.raises(BadInputError, match="directory"):
        Board(flash=tmp_path)


def test_offsets_are_checked() -> None:
    flash = Board().flash
    flash.write(FLASH + 0x100, b"a")
    assert flash.read(0x100, 1) == b"a"
    for offset, size in ((FLASH_SIZE, 1), (-1, 1), (0x1FFFFF, 2), (0x20000000, 1)):
        with pytest.raises(BadInputError, match="no flash at"):
            flash.read(offset, size)


def _program_for_ever(path: Path, ready: str) -> None:
    board = Board(flash=path)
    flash = board.chip.flash
    board.chip.S[CLK_SYS_HZ] = SPEED
    cycle, count = 0, 0
    while True:
        flash.status[0] |= 2
        flash.start_erase(0, 4096, cycle)
        cycle += 45_000
        flash.settle(cycle)
        for page in range(16):
            flash.status[0] |= 2
            flash.start_program(page * 256, bytes([count & 0xFF]) * 256, cycle)
            cycle += 400
            flash.settle(cycle)
        count += 1
        if count == 20:
            Path(ready).touch()


def test_killed_emulator_leaves_whole_pages(tmp_path: Path) -> None:
    path, ready = tmp_path / "flash.img", tmp_path / "ready"
    process = multiprocessing.get_context("spawn").Process(target=_program_for_ever, args=(path, str(ready)))
    process.start()
    while not ready.exists():
        assert process.is_alive()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    board = Board(flash=path)
    pages = [board.flash.read(page * 256, 256) for page in range(16)]
    assert all(len(set(page)) == 1 for page in pages)
    programmed = [page[0] for page in pages if page[0] != 0xFF]
    assert len(set(programmed)) <= 1
    board.flash.close()
