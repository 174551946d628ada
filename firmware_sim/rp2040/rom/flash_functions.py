"""The boot ROM's flash functions. RP2040 datasheet 2.8.3.1.3; times of decision 0081.

A call stays at its marker until its work is done: each time the marker runs it jumps to the next moment at which
anything else may happen, so that interrupts are taken as on the chip. Progress is kept as the ROM's own code keeps it,
in r0 to r2, and in two words of the state.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from firmware_sim.rp2040.blocks.xip_ssi import COMMAND_MODE, READ_MODE, XipSsi
from firmware_sim.rp2040.flash_chip import ERASE_BYTES, PAGE, SECTOR, WRITE_ENABLED, FlashChip
from firmware_sim.rp2040.layout import (
    CORE_STRIDE,
    CYCLES,
    END,
    FLASH_BASE,
    LR,
    NEXT_EVENT,
    PC,
    PRIMASK,
    ROM_PHASE,
    ROM_UNTIL,
    SLEEPING,
    SLICE,
    WORD,
    XIP_ALIASES_END,
    Memory,
    State,
)
from firmware_sim.rp2040.memory_map import locate

BYTE = 48  # cycles: the ROM sets the serial clock to clk_sys / 6
COMMAND = BYTE + 60  # a command of one byte: chip select, call and FIFO loop; estimated, as are the next ones
POLL = 2 * BYTE + 60  # asking for the status register once
CONNECT, EXIT_XIP, FLUSH, ENTER_XIP = 150, 2 * 3 * 2048 + 10 * BYTE + 200, 2100, 60
IDLE, SENDING, WRITING = 0, 1, 2  # values of S[ROM_PHASE]
PATIENCE = 1024  # cycles in one go while the other core could send an interrupt


class FlashFunctions:
    """The six functions of one chip by their codes.

    `flush(cycle)` empties the XIP cache, `release(cycle)` ends IO_QSPI's override of the chip select, `warn` tells the
    user once.
    """

    def __init__(
        self,
        S: State,
        mem: Memory,
        flash: FlashChip,
        ssi: XipSsi,
        flush: Callable[[int], None],
        release: Callable[[int], None],
        warn: Callable[[str], None],
    ) -> None:
        self.S = S
        self.mem = mem
        self._flash = flash
        self._ssi = ssi
        self._flush = flush
        self._release = release
        self._warn = warn
        self.functions: dict[str, Callable[[int, int], None]] = {
            "IF": lambda core, cycle: self._after(core, cycle, CONNECT, lambda: self._release(cycle)),
            "EX": lambda core, cycle: self._after(core, cycle, EXIT_XIP, self._exit_xip),
            "RE": self._range_erase,
            "RP": self._range_program,
            "FC": lambda core, cycle: self._after(core, cycle, FLUSH, lambda: self._flush_cache(cycle)),
            "CX": lambda core, cycle: self._after(core, cycle, ENTER_XIP, lambda: self._ssi.set_up(READ_MODE)),
        }

    def _exit_xip(self) -> None:
        self._flash.continuous = False
        self._ssi.set_up(COMMAND_MODE)

    def _flush_cache(self, cycle: int) -> None:
        self._flush(cycle)
        self._release(cycle)

    def _after(self, core: int, cycle: int, cycles: int, work: Callable[[], None]) -> None:
        """Do the work after a while and return."""
        if self.S[ROM_PHASE + core // CORE_STRIDE] == IDLE:
            self._sleep_until(core, SENDING, cycle + cycles)
        if not self._waits(core, cycle):
            work()
            self._return(core)

    def _sleep_until(self, core: int, phase: int, cycle: int) -> None:
        self.S[ROM_PHASE + core // CORE_STRIDE], self.S[ROM_UNTIL + core // CORE_STRIDE] = phase, cycle

    def _waits(self, core: int, cycle: int) -> bool:
        """Whether the phase goes on; then time passes, at most to the next event."""
        S = self.S
        until = int(S[ROM_UNTIL + core // CORE_STRIDE])
        if cycle >= until:
            return False
        target = min(until, max(int(min(S[NEXT_EVENT], S[END], S[SLICE])), cycle + BYTE))
        other = CORE_STRIDE - core
        if not S[core + PRIMASK] and not S[other + SLEEPING] and S[other + PC]:
            target = min(target, cycle + PATIENCE)
        S[core + CYCLES] = target
        return target < until

    def _return(self, core: int) -> None:
        self.S[ROM_PHASE + core // CORE_STRIDE] = IDLE
        self.S[core + PC] = self.S[core + LR] & (WORD - 1)

    def _connected(self, name: str) -> bool:
        """Commands reach the flash chip only outside of read mode."""
        if self._ssi.in_read_mode:
            self._warn(
                f"{name} did nothing: the flash interface is in XIP mode; "
                "call connect_internal_flash and flash_exit_xip before"
            )
            return False
        return True

    def _range_erase(self, core: int, cycle: int) -> None:
        """flash_range_erase(address, count, block size, block command)."""
        S = self.S
        while not self._waits(core, cycle):
            cycle = max(cycle, int(S[core + CYCLES]))
            phase = int(S[ROM_PHASE + core // CORE_STRIDE])
            address, count, block, command = (int(word) for word in S[core : core + 4])
            large = block and address % block == 0 and count >= block
            size = block if large else SECTOR
            if phase == IDLE:
                if count == 0 or count >> 31 or not self._connected("flash_range_erase"):
                    break
                self._sleep_until(core, SENDING, cycle + COMMAND + 4 * BYTE)
            elif phase == SENDING:
                self._flash.status[0] |= WRITE_ENABLED
                erased = ERASE_BYTES.get(command & 0xFF) if large else SECTOR
                if erased:
                    self._flash.start_erase(address, erased, cycle)
                else:
                    self._warn(f"flash_range_erase: the flash chip does not know command 0x{command & 0xFF:02x}")
                self._write_until_done(core, cycle)
            else:
                self._flash.settle(cycle)
                S[core], S[core + 1] = (address + size) & WORD, max(0, count - size)
                S[ROM_PHASE + core // CORE_STRIDE] = IDLE
        else:
            return
        self._return(core)

    def _range_program(self, core: int, cycle: int) -> None:
        """flash_range_program(address, data, count)."""
        S = self.S
        while not self._waits(core, cycle):
            cycle = max(cycle, int(S[core + CYCLES]))
            phase = int(S[ROM_PHASE + core // CORE_STRIDE])
            address, source, count = (int(word) for word in S[core : core + 3])
            if phase == IDLE:
                if count == 0 or count >> 31 or not self._connected("flash_range_program"):
                    break
                self._sleep_until(core, SENDING, cycle + COMMAND + (4 + PAGE) * BYTE)
            elif phase == SENDING:
                self._flash.status[0] |= WRITE_ENABLED
                self._flash.start_program(address & -PAGE, self._page(source), cycle)
                self._write_until_done(core, cycle)
            else:
                self._flash.settle(cycle)
                S[core], S[core + 1] = (address + PAGE) & WORD, (source + PAGE) & WORD
                S[core + 2] = max(0, count - PAGE)
                S[ROM_PHASE + core // CORE_STRIDE] = IDLE
        else:
            return
        self._return(core)

    def _write_until_done(self, core: int, cycle: int) -> None:
        """The ROM asks for the status again and again."""
        operation = self._flash.operation
        polls = -(-(operation.end - cycle) // POLL) if operation else 1
        self._sleep_until(core, WRITING, cycle + polls * POLL)

    def _page(self, source: int) -> bytes:
        """The bytes to program. Those that lie in flash themselves cannot be read now."""
        if FLASH_BASE <= source < XIP_ALIASES_END:
            self._warn(
                f"flash_range_program takes its data from flash (0x{source:08x}), which cannot be read meanwhile: "
                "a board programs garbage; copy them to SRAM first"
            )
            return b"\x00" * PAGE
        where = locate(source, PAGE)
        return b"\xff" * PAGE if where is None else np.asarray(self.mem.bytes[where]).tobytes()
