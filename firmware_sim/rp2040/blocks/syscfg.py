"""SYSCFG: which interrupt lines are NMI; the rest only stores. RP2040 datasheet 2.21."""

from __future__ import annotations

from firmware_sim.rp2040.layout import CORE_STRIDE, NEXT_EVENT, NMI_MASK
from firmware_sim.rp2040.registers import StoredBlock

MASKS = ("PROC0_NMI_MASK", "PROC1_NMI_MASK")


class Syscfg(StoredBlock):
    """PROCn_NMI_MASK goes to the cores."""

    def reset(self) -> None:
        """No line is NMI."""
        super().reset()
        for core in range(len(MASKS)):
            self.S[core * CORE_STRIDE + NMI_MASK] = 0

    def write(self, name: str, value: int, cycle: int) -> None:
        """Store, or tell the core."""
        super().write(name, value, cycle)
        if name in MASKS:
            self.S[MASKS.index(name) * CORE_STRIDE + NMI_MASK] = value
            self.S[NEXT_EVENT] = cycle
