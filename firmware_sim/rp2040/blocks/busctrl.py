"""BUSCTRL: which masters of the bus go first; the performance counters only store. RP2040 datasheet 2.1.1 and 2.1.5."""

from __future__ import annotations

from firmware_sim.rp2040.layout import BUS_PRIORITY
from firmware_sim.rp2040.registers import StoredBlock


class Busctrl(StoredBlock):
    """BUS_PRIORITY goes to arbitration.py and to the choice of the leading core."""

    def reset(self) -> None:
        """All masters alike."""
        super().reset()
        self.S[BUS_PRIORITY] = 0

    def write(self, name: str, value: int, cycle: int) -> None:
        """Store, or tell the arbiters."""
        super().write(name, value, cycle)
        if name == "BUS_PRIORITY":
            self.S[BUS_PRIORITY] = value
