"""The OV2640's registers behind its SCCB interface (I2C address 0x30): two banks, chosen by register 0xFF.

Registers that decide what the pixel port sends are understood, the others are stored and read back: drivers only write
them. Names and meanings: OmniVision OV2640 datasheet 1.6, tables 12 (bank 0, DSP) and 13 (bank 1, sensor).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

ADDRESS = 0x30
BANK_SELECT = 0xFF
DSP, SENSOR = 0, 1
# Bank DSP.
R_BYPASS, ZMOW, ZMOH, ZMHH, R_DVP_SP, IMAGE_MODE = 0x05, 0x5A, 0x5B, 0x5C, 0xD3, 0xDA
# Bank SENSOR.
PIDH, PIDL, CLKRC, COM7, COM10, MIDH, MIDL = 0x0A, 0x0B, 0x11, 0x12, 0x15, 0x1C, 0x1D
READ_ONLY = {(SENSOR, PIDH): 0x26, (SENSOR, PIDL): 0x42, (SENSOR, MIDH): 0x7F, (SENSOR, MIDL): 0xA2}
RESET_VALUES = {(DSP, R_BYPASS): 0x01, (SENSOR, CLKRC): 0x00, (SENSOR, COM7): 0x00, (SENSOR, COM10): 0x00}
COM7_SRST = 0x80
COM10_PCLK_GATED = 0x20
CLKRC_DOUBLE, CLKRC_DIVIDER = 0x80, 0x3F
DVP_DIVIDER = 0x7F
MODE_JPEG, MODE_FORMAT, MODE_RGB565, MODE_LOW_BYTE_FIRST = 0x10, 0x0C, 0x08, 0x01

Format = Literal["rgb565", "jpeg"]


class Ov2640:
    """An I2C device; see firmware_sim.rp2040.i2c_port."""

    remembers = ("values", "bank", "pointer", "selecting", "addressed")

    def __init__(self) -> None:
        self.addressed = False  # whether the firmware has ever spoken to it
        self.alive: Callable[[], bool] = lambda: True  # powered and not broken: answers on the bus
        self.selecting = False
        self.pointer = 0
        self.reset()

    def reset(self) -> None:
        """Every register as after power-on or SRST."""
        self.values = dict(RESET_VALUES)
        self.bank = DSP

    def start(self, is_read: bool) -> bool:
        """Acknowledge the address."""
        self.selecting = not is_read
        alive = self.alive()
        self.addressed |= alive
        return alive

    def write(self, byte: int) -> bool:
        """SCCB's three-phase write: the register's number, then its value."""
        if self.selecting:
            self.pointer, self.selecting = byte, False
        elif self.pointer == BANK_SELECT:
            self.bank = byte & 1
        elif (self.bank, self.pointer) == (SENSOR, COM7) and byte & COM7_SRST:
            bank = self.bank
            self.reset()
            self.bank = bank
        elif (self.bank, self.pointer) not in READ_ONLY:
            self.values[self.bank, self.pointer] = byte
        return True

    def read(self) -> int:
        """SCCB's two-phase read; registers that were never written read 0."""
        if self.pointer == BANK_SELECT:
            return self.bank
        return READ_ONLY.get((self.bank, self.pointer), self.values.get((self.bank, self.pointer), 0))

    def stop(self) -> None:
        """Nothing waits for it."""

    # What the pixel port sends.

    def _dsp(self, register: int) -> int:
        return self.values.get((DSP, register), 0)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the output in pixels; (0, 0) before the firmware has set it."""
        high = self._dsp(ZMHH)
        return 4 * (self._dsp(ZMOW) | (high & 3) << 8), 4 * (self._dsp(ZMOH) | (high & 4) << 6)

    @property
    def format(self) -> Format | None:
        """What is sent; None for formats that are not modelled (YUV, raw)."""
        mode = self._dsp(IMAGE_MODE)
        if mode & MODE_JPEG:
            return "jpeg"
        return "rgb565" if mode & MODE_FORMAT == MODE_RGB565 else None

    @property
    def low_byte_first(self) -> bool:
        """Byte order of a pixel on the port."""
        return bool(self._dsp(IMAGE_MODE) & MODE_LOW_BYTE_FIRST)

    @property
    def gated_clock(self) -> bool:
        """PCLK stands still outside of HREF."""
        return bool(self.values.get((SENSOR, COM10), 0) & COM10_PCLK_GATED)

    def pclk_hz(self, xclk_hz: float) -> float:
        """Frequency of PCLK: XCLK, doubled and divided by CLKRC, divided by R_DVP_SP."""
        clkrc = self.values.get((SENSOR, CLKRC), 0)
        doubled = xclk_hz * 2 if clkrc & CLKRC_DOUBLE else xclk_hz
        return doubled / ((clkrc & CLKRC_DIVIDER) + 1) / max(1, self._dsp(R_DVP_SP) & DVP_DIVIDER)
