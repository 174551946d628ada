"""Boot as the chip does: the second stage in flash, BOOTSEL, the watchdog's scratch registers, erased flash."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from firmware_sim.rp2040 import Board
from firmware_sim.rp2040.boot import BOOT2_TARGET, SCRATCH_MAGIC, scratch_start
from firmware_sim.rp2040.layout import FLASH_BASE, PRIMASK, SLEEPING, XIP_OFF
from shared.errors import BadInputError

ECHO = Path(__file__).parent / "programs" / "echo.uf2"
SRAM = 0x20000000


def ready(board: Board) -> bool:
    return board.run(until_text="\n", max_cycles=5_000_000).reason == "text"


def test_second_stage_turns_xip_on() -> None:
    board = Board()
    board.load(ECHO)
    assert board.chip.S[XIP_OFF] == 1
    assert ready(board)
    assert board.chip.S[XIP_OFF] == 0


def test_bootsel_leads_to_usb_boot() -> None:
    board = Board()
    board.load(ECHO)
    board.gpio.bootsel = True
    board.reset()
    assert board.run(max_cycles=1000).reason == "usb_boot"
    board.gpio.bootsel = False
    board.reset()
    assert ready(board)


def test_flash_boots_without_a_file(tmp_path: Path) -> None:
    board = Board(flash=tmp_path / "flash.img")
    with pytest.raises(BadInputError, match="no firmware is loaded"):
        board.reset()
    board.load(ECHO)
    board.flash.close()
    again = Board(flash=tmp_path / "flash.img")
    again.reset()
    assert ready(again)
    again.flash.close()


@pytest.mark.parametrize("damage", [0, 0x40, 0xFF])
def test_a_damaged_second_stage_leads_to_usb_boot(damage: int) -> None:
    board = Board()
    board.load(ECHO)
    board.flash.write(damage, bytes([board.flash.read(damage, 1)[0] ^ 1]))
    board.image = None
    with pytest.raises(BadInputError, match="no firmware is loaded"):
        board.reset()
    board.load(ECHO)
    board.flash.erase()
    board.reset()  # the firmware erased itself
    assert board.run(max_cycles=1000).reason == "usb_boot"


def test_scratch_registers_name_an_entry_point_once() -> None:
    board = Board()
    board.load(ECHO)
    board.write_memory(SRAM + 0x1000, struct.pack("<2H", 0x2055, 0xBE07))  # movs r0, #0x55; bkpt #7
    scratch = {4: SCRATCH_MAGIC, 5: (SRAM + 0x1001) ^ (-SCRATCH_MAGIC & 0xFFFFFFFF), 6: 0x20030000, 7: SRAM + 0x1001}
    for number, value in scratch.items():
        board.chip.watchdog.values[f"SCRATCH{number}"] = value
    board.warm_reset()
    assert board.registers["sp"] == 0x20030000
    stop = board.run(max_cycles=1000)
    assert (stop.reason, stop.immediate, stop.r0) == ("bkpt", 7, 0x55)
    assert board.chip.watchdog.values["SCRATCH4"] == 0
    assert board.chip.watchdog.values["SCRATCH7"] == SRAM + 0x1001
    board.warm_reset()
    assert ready(board)


def test_scratch_entry_that_returns_boots_the_flash() -> None:
    board = Board()
    board.load(ECHO)
    board.write_memory(SRAM + 0x1000, struct.pack("<H", 0x4770))  # bx lr
    values = (SCRATCH_MAGIC, (SRAM + 0x1001) ^ (-SCRATCH_MAGIC & 0xFFFFFFFF), 0x20030000, SRAM + 0x1001)
    board.chip.watchdog.values.update({f"SCRATCH{i}": value for i, value in enumerate(values, 4)})
    board.warm_reset()
    assert ready(board)


def test_scratch_needs_both_magic_words() -> None:
    good = [0, 0, 0, 0, SCRATCH_MAGIC, 0x1001 ^ (-SCRATCH_MAGIC & 0xFFFFFFFF), 0x20030000, 0x1001]
    assert scratch_start(good) is not None
    for i in (4, 5, 7):
        assert scratch_start([word ^ (i == number) for number, word in enumerate(good)]) is None


def test_jump_to_the_rom_boots_again() -> None:
    board = Board()
    board.load(ECHO)
    assert ready(board)
    board.set_register("pc", int.from_bytes(board.read_memory(4, 4), "little"))
    board.chip.S[PRIMASK], board.chip.S[SLEEPING] = 1, 0
    board.run(max_cycles=4)
    assert BOOT2_TARGET <= board.pc < BOOT2_TARGET + 256


def test_firmware_of_the_flash_window_may_be_anywhere_in_it() -> None:
    board = Board()
    board.load(struct.pack("<2H", 0x2005, 0xBE00), address=SRAM)
    assert board.flash.read(0, 16) == b"\xff" * 16
    assert board.run().r0 == 5
    assert board.read_memory(FLASH_BASE, 4) == b"\xff" * 4
