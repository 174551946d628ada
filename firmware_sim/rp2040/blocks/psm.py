"""PSM: the power-on state machine brings the chip up stage by stage. RP2040 datasheet 2.13."""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.rp2040.layout import State
from firmware_sim.rp2040.registers import Register, RegisterBlock

STAGES = (
    *("ROSC", "XOSC", "CLOCKS", "RESETS", "BUSFABRIC", "ROM", "SRAM0", "SRAM1", "SRAM2", "SRAM3", "SRAM4", "SRAM5"),
    *("XIP", "VREG_AND_CHIP_RESET", "SIO", "PROC0", "PROC1"),
)
ALL = (1 << len(STAGES)) - 1
REGISTERS = {
    "FRCE_ON": Register(0x0, 0, ALL),
    "FRCE_OFF": Register(0x4, 0, ALL),
    "WDSEL": Register(0x8, 0, ALL),
    "DONE": Register(0xC, ALL, 0),
}


class Psm(RegisterBlock):
    """`turn(stage, on, cycle)` stops a stage that FRCE_OFF names, or starts it again from its reset state."""

    def __init__(self, S: State, report: Callable[[str, int], None], turn: Callable[[str, bool, int], None]) -> None:
        self._turn = turn
        super().__init__("PSM", REGISTERS, S, report)

    def selected(self) -> tuple[str, ...]:
        """Stages that the watchdog resets: those of WDSEL, and all behind the first, which wait for it."""
        wdsel = self.values["WDSEL"]
        return STAGES[(wdsel & -wdsel).bit_length() - 1 :] if wdsel else ()

    def read(self, name: str, look: bool) -> int:
        """DONE tells which stages run."""
        if name == "DONE":
            return ALL & ~self.values["FRCE_OFF"] | self.values["FRCE_ON"]
        return self.values[name]

    def write(self, name: str, value: int, cycle: int) -> None:
        """FRCE_OFF holds stages in reset."""
        changed = self.values[name] ^ value
        self.values[name] = value
        if name == "FRCE_OFF":
            for bit, stage in enumerate(STAGES):
                if changed >> bit & 1:
                    self._turn(stage, not value >> bit & 1, cycle)
