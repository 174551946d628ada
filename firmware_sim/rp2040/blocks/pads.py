"""PADS_BANK0 and PADS_QSPI: pulls, input enable and output disable of each pad. RP2040 datasheet 2.19.6.3.

Drive strength, slew rate and Schmitt trigger are stored: levels here are digital.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from firmware_sim.rp2040.layout import (
    PIN_INPUT_ENABLE,
    PIN_OUTPUT_DISABLE,
    PIN_PULL_DOWN,
    PIN_PULL_UP,
    QSPI_SHIFT,
    State,
)
from firmware_sim.rp2040.registers import Register, RegisterBlock

PDE, PUE, IE, OD = 1 << 2, 1 << 3, 1 << 6, 1 << 7
FIELDS = ((PDE, PIN_PULL_DOWN), (PUE, PIN_PULL_UP), (IE, PIN_INPUT_ENABLE), (OD, PIN_OUTPUT_DISABLE))
WRITABLE = 0xFF

PADS_BANK0 = {"VOLTAGE_SELECT": Register(0, 0, 1)}
PADS_BANK0 |= {f"GPIO{pin}": Register(4 + 4 * pin, 0x56, WRITABLE) for pin in range(30)}  # pull-down, 4 mA, Schmitt
PADS_BANK0 |= {"SWCLK": Register(0x7C, 0xDA, WRITABLE), "SWD": Register(0x80, 0x5A, WRITABLE)}
PADS_QSPI = {
    "VOLTAGE_SELECT": Register(0, 0, 1),
    "GPIO_QSPI_SCLK": Register(0x04, 0x56, WRITABLE),
    "GPIO_QSPI_SD0": Register(0x08, 0x52, WRITABLE),
    "GPIO_QSPI_SD1": Register(0x0C, 0x52, WRITABLE),
    "GPIO_QSPI_SD2": Register(0x10, 0x52, WRITABLE),
    "GPIO_QSPI_SD3": Register(0x14, 0x52, WRITABLE),
    "GPIO_QSPI_SS": Register(0x18, 0x5A, WRITABLE),
}
BANK0_BITS = {f"GPIO{pin}": pin for pin in range(30)}
QSPI_BITS = {f"GPIO_QSPI_{name}": QSPI_SHIFT + i for i, name in enumerate(("SCLK", "SS", "SD0", "SD1", "SD2", "SD3"))}


class Pads(RegisterBlock):
    """One bank of pads; `bits` says which bit of the pin words a register belongs to. `changed(cycle)` as IoBank."""

    def __init__(
        self,
        name: str,
        registers: Mapping[str, Register],
        bits: Mapping[str, int],
        S: State,
        report: Callable[[str, int], None],
        changed: Callable[[int], None],
    ) -> None:
        self._bits = bits
        self._changed = changed
        super().__init__(name, registers, S, report)

    def reset(self) -> None:
        """Bank 0 has its inputs enabled and pulled down."""
        super().reset()
        for name, value in self.values.items():
            self._apply(name, value)
        self._changed(0)

    def _apply(self, name: str, value: int) -> None:
        if name in self._bits:
            bit = 1 << self._bits[name]
            for field, word in FIELDS:
                self.S[word] = self.S[word] | bit if value & field else self.S[word] & ~bit

    def write(self, name: str, value: int, cycle: int) -> None:
        """Store, and compute the levels anew."""
        self.values[name] = value
        self._apply(name, value)
        self._changed(cycle)
