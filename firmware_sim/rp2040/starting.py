"""How a board comes up: which code starts after a reset, and what the boot ROM leaves behind for it.

The rules are in boot.py; here they are applied to the flash and the memory as they are now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.blocks.xip_ssi import COMMAND_MODE, QUAD_MODE
from firmware_sim.rp2040.boot import BOOT2_BYTES, BOOT2_TARGET, Start, choose_start, has_boot2, scratch_start
from firmware_sim.rp2040.bootrom import STACK_TOP, BootRom
from firmware_sim.rp2040.image import Image
from shared.errors import BadInputError

if TYPE_CHECKING:
    from firmware_sim.rp2040.board import Board


class Starting:
    """Resets a board's chip and sets its registers as the boot ROM does."""

    def __init__(self, board: Board, rom: BootRom) -> None:
        self._board, self._rom = board, rom

    def reset(self, scratch: list[int] | None) -> None:
        """Restart the chip. `scratch`: what the watchdog's scratch registers hold, None for power-on.

        Raises BadInputError without firmware.
        """
        board, chip = self._board, self._board.chip
        direct = scratch_start(scratch) if scratch else None
        if board.image is None and not self._flash_boots():
            raise BadInputError("no firmware is loaded: call Board.load first")
        board.power.update()
        if scratch is None:
            chip.reset()
        else:
            chip.warm_reset()
        if direct is not None:
            chip.watchdog.values["SCRATCH4"] = 0  # the ROM takes the request once
            start = Start(direct.pc, direct.sp, self._rom.address("restart") | 1, 0, False, "")
        elif board.gpio.bootsel:
            start = Start(self._rom.address("UB"), STACK_TOP, 0, 0, False, "")
        else:
            start = self._choose_start()
        self._enter(start)

    def restart(self) -> None:
        """The firmware jumped to the boot ROM's entry: boot again, without a reset of the blocks."""
        self._enter(self._choose_start())

    def _flash_boots(self) -> bool:
        return has_boot2(self._second_stage())

    def _second_stage(self) -> Image:
        """The first bytes of the flash as they are now."""
        return Image("flash", ((layout.FLASH_BASE, self._board.flash.read(0, BOOT2_BYTES)),))

    def _choose_start(self) -> Start:
        """From the flash as it is now; a file in SRAM, or one without a second stage, starts by the kinder rule."""
        usb = Start(self._rom.address("UB"), STACK_TOP, 0, 0, False, "")
        image = self._board.image
        if self._flash_boots():
            return choose_start(self._second_stage())
        if image is None:
            return usb
        chunks = tuple((start, self._present(start, data)) for start, data in image.chunks)
        try:
            return choose_start(Image(image.kind, chunks, image.entry))
        except BadInputError:  # the firmware erased it
            return usb

    def _present(self, start: int, data: bytes) -> bytes:
        """What a chunk of the image is now: the flash may have been written, SRAM starts as the file has it."""
        in_flash = layout.FLASH_BASE <= start < layout.XIP_ALIASES_END
        return self._board.read_memory(start, len(data)) if in_flash else data

    def _enter(self, start: Start) -> None:
        """Set the registers as the boot ROM leaves them."""
        board, chip, S = self._board, self._board.chip, self._board.chip.S
        S[layout.SP], S[layout.LR], S[layout.PC], S[layout.VTOR] = start.sp, start.lr, start.pc, start.vtor
        chip.flash.reset()
        chip.flush_cache(chip.now)
        chip.ssi.set_up(COMMAND_MODE if start.boot2 else QUAD_MODE)
        chip.resets.after_boot_rom(lenient=not start.boot2)
        if start.boot2:
            board.write_memory(BOOT2_TARGET, board.read_memory(layout.FLASH_BASE, BOOT2_BYTES))
        if start.note:
            chip.warn(start.note)
