"""RESETS: which subsystems are held in reset. RP2040 datasheet 2.14. A reset subsystem answers nevertheless."""

from __future__ import annotations

from firmware_sim.rp2040.registers import Register, RegisterBlock

ALL = 0x01FFFFFF
REGISTERS = {"RESET": Register(0, ALL, ALL), "WDSEL": Register(4, 0, ALL), "RESET_DONE": Register(8, 0, 0)}


class Resets(RegisterBlock):
    """Releases are done at once."""

    def read(self, name: str, look: bool) -> int:
        """RESET_DONE is the complement of RESET."""
        return ~self.values["RESET"] & ALL if name == "RESET_DONE" else self.values[name]
