"""What a reset reaches: single blocks through RESETS, stages of the power-on state machine, the whole chip but power.

RP2040 datasheet 2.12 to 2.14 and 4.7. A warm reset is that of the watchdog (PSM.WDSEL and RESETS.WDSEL) or of
AIRCR.SYSRESETREQ. Time goes on, SRAM keeps what it holds, and the watchdog's scratch registers stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.blocks.psm import STAGES
from firmware_sim.rp2040.blocks.vreg import HAD_POR, HAD_RUN

if TYPE_CHECKING:
    from firmware_sim.rp2040.chip import Chip

BLOCKS_OF = {"BUSFABRIC": ("BUSCTRL",), "XIP": ("XIP_CTRL", "XIP_SSI")}  # other stages have their block's name, or none

CANNOT_STOP = ("PROC0", "ROSC", "XOSC", "CLOCKS", "BUSFABRIC", "ROM")


class Restart:
    """Resets of parts of a chip."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip

    def block(self, name: str) -> None:
        """Give a block's registers their reset values."""
        if name in self._chip.blocks:
            self._chip.blocks[name].reset()
            self._chip.clocks_changed(self._chip.now)
            self._chip.pins_changed()

    def sio(self) -> None:
        """GPIO outputs, interpolators, FIFOs and spinlocks; the dividers belong to the cores' slices."""
        S = self._chip.S
        for word in (layout.GPIO_OUT, layout.GPIO_OE, layout.GPIO_HI_OUT, layout.GPIO_HI_OE, layout.SPINLOCKS):
            S[word] = 0
        S[layout.INTERP : layout.INTERP + 4 * layout.INTERP_STRIDE] = 0
        S[layout.FIFO : layout.FIFO + 2 * layout.FIFO_STRIDE] = 0

    def stage(self, name: str) -> None:
        """Reset one stage of the power-on state machine."""
        if name == "SIO":
            self.sio()
        elif name in ("PROC0", "PROC1"):
            self._chip.reset_core(int(name[-1]))
        for block in BLOCKS_OF.get(name, (name,)):
            if block in self._chip.blocks and block != "VREG_AND_CHIP_RESET":
                self._chip.blocks[block].reset()
        if name == "RESETS":
            for block in self._chip.resets.subsystems:
                self.block(block)

    def turn(self, stage: str, on: bool, cycle: int) -> None:
        """PSM.FRCE_OFF stops a stage; it starts again from its reset state."""
        if stage == "PROC1":
            self._chip.reset_core(1, held=not on)
        elif on:
            return
        elif stage in CANNOT_STOP or stage.startswith("SRAM"):
            self._chip.remarks.warn_here(f"PSM.FRCE_OFF of {stage} is not modelled: it runs on")
        else:
            self.stage(stage)
            self._chip.pins_changed(cycle)

    def warm(self) -> None:
        """The watchdog bit, or the firmware asked by AIRCR for a reset of the processors."""
        chip, cycle = self._chip, self._chip.now
        by_watchdog = bool(chip.watchdog.bitten)
        stages = chip.psm.selected() if by_watchdog else ("PROC0", "PROC1")
        if by_watchdog and not stages and not chip.resets.values["WDSEL"]:
            chip.warn("the watchdog reset the chip although PSM.WDSEL and RESETS.WDSEL select nothing: a board runs on")
            stages = STAGES[STAGES.index("CLOCKS") :]
        chip.watchdog.restart()
        chip.resets.watchdog()
        for stage in stages:
            self.stage(stage)
        chip.clocks_changed(cycle)
        chip.pins_changed(cycle)

    def power(self, run_pin: bool) -> None:
        """After power-on or the RUN pin: note which."""
        self._chip.vreg.had(HAD_RUN if run_pin else HAD_POR)
