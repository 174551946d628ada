"""XIP_SSI: the serial interface to the flash chip. RP2040 datasheet 4.10.

Reads of the flash by XIP do not pass here; they need the interface enabled in its "EEPROM read" mode, as a second
stage leaves it, which S[XIP_OFF] tells the cores. In the other modes each word written to DR0 is one frame to the flash
chip, which takes its bits times BAUDR cycles, and its answer lies in the receive FIFO after that time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from firmware_sim.rp2040.flash_chip import FlashChip
from firmware_sim.rp2040.layout import (
    XIP_LINE_CYCLES,
    XIP_OFF,
    XIP_SETS,
    XIP_TAGS,
    XIP_WORD_CYCLES,
    State,
)
from firmware_sim.rp2040.registers import Register, RegisterBlock

NAMES = (
    *("CTRLR0", "CTRLR1", "SSIENR", "MWCR", "SER", "BAUDR", "TXFTLR", "RXFTLR", "TXFLR", "RXFLR", "SR", "IMR", "ISR"),
    *("RISR", "TXOICR", "RXOICR", "RXUICR", "MSTICR", "ICR", "DMACR", "DMATDLR", "DMARDLR", "IDR", "SSI_VERSION_ID"),
)
REGISTERS = {name: Register(4 * i) for i, name in enumerate(NAMES)}
REGISTERS |= {f"DR{i}": Register(0x60 + 4 * i) for i in range(36)}
REGISTERS |= {
    "RX_SAMPLE_DLY": Register(0xF0),
    "SPI_CTRLR0": Register(0xF4, 0x03000000),
    "TXD_DRIVE_EDGE": Register(0xF8),
}
BUSY, TFNF, TFE, RFNE, RFF = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4
FIFO = 16  # words
TX_AND_RX, TX_ONLY, RX_ONLY, EEPROM_READ = 0, 1, 2, 3  # CTRLR0.TMOD, bits 9:8
FRAME_LSB, FORMAT_LSB = 16, 21  # CTRLR0.DFS_32: bits a frame - 1; CTRLR0.SPI_FRF: 1, 2 or 4 lanes
INST_L = 3 << 8  # SPI_CTRLR0: length of the command byte; 0 in continuous read mode
XIP_OFF_MODE = 1  # bit of S[XIP_OFF]
VERSION = 0x3430312A
READ_OVERHEAD = 8  # chip select, synchronisation and the bus: 50 cycles for an uncached word as in decision 0044
# What the boot ROM leaves: for single commands, and for XIP with the plain read command 03h.
COMMAND_MODE = {"BAUDR": 6, "CTRLR0": 7 << FRAME_LSB, "SER": 1, "SSIENR": 1}
READ_MODE = {
    "BAUDR": 6,
    "CTRLR0": 31 << FRAME_LSB | EEPROM_READ << 8,
    "SPI_CTRLR0": 0x03 << 24 | 2 << 8 | 6 << 2,
    "SER": 1,
    "SSIENR": 1,
}
# What the usual second stages leave: quad I/O in continuous read mode, SCK = clk_sys / 2 (0xeb, 8 nibbles, 4 dummies).
QUAD_MODE = {
    "BAUDR": 2,
    "CTRLR0": 2 << FORMAT_LSB | 31 << FRAME_LSB | EEPROM_READ << 8,
    "SPI_CTRLR0": 0xA0 << 24 | 4 << 11 | 8 << 2 | 2,
    "SER": 1,
    "SSIENR": 1,
}


class XipSsi(RegisterBlock):
    """`now()` is the cycle of the access that is being served."""

    remembers = ("values", "_selected", "_forced", "_starts", "_received", "_free_at")

    def __init__(self, S: State, report: Callable[[str, int], None], flash: FlashChip, now: Callable[[], int]) -> None:
        self._flash = flash
        self._now = now
        super().__init__("XIP_SSI", REGISTERS, S, report)

    def reset(self) -> None:
        """Off, as at power-on; the boot sequence sets it up (`set_up`)."""
        super().reset()
        self._selected = False
        self._forced: bool | None = None  # chip select held by IO_QSPI: True low, False high
        self._starts: list[int] = []  # cycles at which the frames in the transmit FIFO begin
        self._received: list[tuple[int, int]] = []  # cycle from which it can be read, word
        self._free_at = 0  # cycle at which the last frame ends
        self._mode_changed()

    def set_up(self, mode: dict[str, int]) -> None:
        """Take over register values of the boot ROM."""
        self.values.update(mode)
        self._mode_changed()

    @property
    def in_read_mode(self) -> bool:
        """Whether reads of the flash's addresses work (if the flash chip is not busy)."""
        return bool(self.values["SSIENR"] & 1) and self._transfer == EEPROM_READ

    @property
    def _transfer(self) -> int:
        return self.values["CTRLR0"] >> 8 & 3

    def _mode_changed(self) -> None:
        off = int(self.S[XIP_OFF]) & ~XIP_OFF_MODE
        self.S[XIP_OFF] = off if self.in_read_mode else off | XIP_OFF_MODE
        self.S[XIP_WORD_CYCLES], self.S[XIP_LINE_CYCLES] = self._read_cycles(32), self._read_cycles(64)
        if self.in_read_mode:
            self._flash.continuous = self.values["SPI_CTRLR0"] & INST_L == 0
            if self._flash.written:
                self._look_for_stale_lines()

    def _look_for_stale_lines(self) -> None:
        """The flash was written; lines of it that are still cached would be read as they were (the model does not)."""
        tags = self.S[XIP_TAGS : XIP_TAGS + 2 * XIP_SETS].reshape(XIP_SETS, 2)
        sets, ways = np.nonzero(tags)
        addresses = (tags[sets, ways] - 1) * (8 * XIP_SETS) + 8 * sets  # of the cached lines
        for offset, size in self._flash.written:
            if ((addresses >= offset) & (addresses < offset + size)).any():
                self._flash.warn(
                    f"flash 0x{offset:06x} was written, but the XIP cache still holds what was there: "
                    "a board reads old contents until flash_flush_cache is called"
                )
                break
        self._flash.written.clear()

    def _read_cycles(self, data_bits: int) -> int:
        """Cycles of clk_sys that a read by XIP takes: command, address, dummy cycles and data, each BAUDR times."""
        control, format_ = self.values["SPI_CTRLR0"], self.values["CTRLR0"] >> FORMAT_LSB & 3
        lanes = 1 << min(2, format_)
        kind = control & 3  # TRANS_TYPE: command and address on one lane, the address on all, both on all
        command = (0, 4, 8, 16)[control >> 8 & 3] // (lanes if kind == 2 else 1)
        address = (control >> 2 & 15) * 4 // (1 if kind == 0 else lanes)
        dummies = control >> 11 & 31
        bauds = command + address + dummies + data_bits // lanes
        return bauds * max(2, self.values["BAUDR"] & 0xFFFE) + READ_OVERHEAD

    def force_chip_select(self, low: bool | None, cycle: int) -> None:
        """IO_QSPI holds the chip select low or high, or lets this block drive it (None)."""
        self._release(cycle)
        if low is True and not self._selected:
            self._selected = True
            self._flash.select(cycle)
        elif low is not True and self._selected:
            self._selected = False
            self._flash.deselect(cycle)
        self._forced = low

    def _release(self, cycle: int) -> None:
        """The block's own chip select goes high when the transmit FIFO is empty and the last frame is done."""
        if self._selected and self._forced is None and cycle >= self._free_at:
            self._selected = False
            self._flash.deselect(self._free_at)

    def _transmit(self, word: int, cycle: int) -> None:
        """One frame to the flash chip and back."""
        self._release(cycle)
        bits = (self.values["CTRLR0"] >> FRAME_LSB & 31) + 1
        lanes = 1 << min(2, self.values["CTRLR0"] >> FORMAT_LSB & 3)
        start = max(cycle, self._free_at)
        self._free_at = start + max(1, bits // lanes) * max(2, self.values["BAUDR"] & 0xFFFE)
        self._starts = [begin for begin in self._starts if begin > cycle]
        self._starts.append(start)
        if self._transfer == EEPROM_READ or lanes > 1:
            return  # a read with settings of XIP, to switch the flash chip's mode: nobody takes its answer
        if not self._selected and self._forced is None:
            self._selected = True
            self._flash.select(start)
        answer = 0
        for shift in range((bits + 7) // 8 * 8 - 8, -8, -8):
            byte = self._flash.exchange(word >> shift & 0xFF, start) if self._selected else 0xFF
            answer = answer << 8 | byte
        if self._transfer != TX_ONLY and len(self._received) < FIFO:
            self._received.append((self._free_at, answer))

    def read(self, name: str, look: bool) -> int:
        """FIFO levels and status at this cycle; DR takes the oldest word."""
        now = self._now()
        if not look:
            self._release(now)
        waiting = sum(begin > now for begin in self._starts)
        there = sum(ready <= now for ready, _ in self._received)
        if name == "SR":
            status = BUSY if now < self._free_at else 0
            status |= (TFNF if waiting < FIFO else 0) | (TFE if waiting == 0 else 0)
            return status | (RFNE if there else 0) | (RFF if there == FIFO else 0)
        if name in ("TXFLR", "RXFLR"):
            return waiting if name == "TXFLR" else there
        if name.startswith("DR"):
            return self._received.pop(0)[1] if there and not look else 0
        return VERSION if name == "SSI_VERSION_ID" else self.values[name]

    def write(self, name: str, value: int, cycle: int) -> None:
        """DR0 sends a frame; disabling the interface empties the FIFOs."""
        if name.startswith("DR"):
            if self.values["SSIENR"] & 1:
                self._transmit(value, cycle)
            return
        self.values[name] = value
        if name == "SSIENR" and not value & 1:
            self._free_at = min(self._free_at, cycle)
            self._release(cycle)
            self._starts, self._received = [], []
        self._mode_changed()
