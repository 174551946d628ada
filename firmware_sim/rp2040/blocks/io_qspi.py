"""IO_QSPI: the bank of the six flash pins; the override of its chip select reaches the flash chip.

RP2040 datasheet 2.19.6.2.
"""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.rp2040.blocks.io_bank0 import QSPI_NAMES, IoBank
from firmware_sim.rp2040.blocks.xip_ssi import XipSsi
from firmware_sim.rp2040.layout import State

SS_CTRL = "GPIO_QSPI_SS_CTRL"
OUTOVER_LSB, OUTOVER_LOW, OUTOVER_HIGH = 8, 2, 3


class IoQspi(IoBank):
    """Pins as in IO_BANK0, and the chip select's override handed on."""

    def __init__(
        self, S: State, report: Callable[[str, int], None], changed: Callable[[int], None], ssi: XipSsi
    ) -> None:
        self._ssi = ssi
        super().__init__("IO_QSPI", QSPI_NAMES, S, report, changed)

    def write(self, name: str, value: int, cycle: int) -> None:
        """SS_CTRL.OUTOVER holds the chip select low or high."""
        super().write(name, value, cycle)
        if name == SS_CTRL:
            override = value >> OUTOVER_LSB & 3
            self._ssi.force_chip_select({OUTOVER_LOW: True, OUTOVER_HIGH: False}.get(override), cycle)
