"""VREG_AND_CHIP_RESET: core voltage, brown-out detector, and why the chip was last reset. RP2040 datasheet 2.10, 2.12.

The registers outlast every reset but power-on, a brown-out and the RUN pin.
"""

from __future__ import annotations

from firmware_sim.rp2040.layout import WRITTEN
from firmware_sim.rp2040.registers import Register, RegisterBlock

ROK = 1 << 12  # VREG in regulation
HAD_POR, HAD_RUN, HAD_PSM_RESTART, PSM_RESTART_FLAG = 1 << 8, 1 << 16, 1 << 20, 1 << 24
REGISTERS = {
    "VREG": Register(0, 0x10B1, 0xF3),  # 1.10 V
    "BOD": Register(4, 0x91, 0xF1),  # 0.860 V, enabled
    "CHIP_RESET": Register(8, HAD_POR, PSM_RESTART_FLAG),
}


class Vreg(RegisterBlock):
    """Voltages are what was asked for, at once."""

    @property
    def volts(self) -> float:
        """Core voltage by VREG.VSEL (datasheet table 189): 0.80 V up to 0101, then 0.85 V to 1.30 V."""
        return 0.80 + 0.05 * max(0, (self.values["VREG"] >> 4 & 15) - 5)

    def had(self, flag: int) -> None:
        """Note the reason of a reset: HAD_POR, HAD_RUN or HAD_PSM_RESTART."""
        self.values["CHIP_RESET"] = flag | (self.values["CHIP_RESET"] & PSM_RESTART_FLAG)

    def write(self, name: str, value: int, cycle: int) -> None:
        """VREG.ROK is read-only and set while the regulator is on; PSM_RESTART_FLAG is cleared by writing 1."""
        if name == "CHIP_RESET":
            value = self.values[name] & ~(self.S[WRITTEN] & PSM_RESTART_FLAG)
        self.values[name] = value
