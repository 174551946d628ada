"""CLOCKS: the clock generators, from which clk_sys, clk_peri and clk_ref are known. RP2040 datasheet 2.15."""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.rp2040.blocks.oscillators import ROSC_HZ, Oscillator, Pll, crystal_hz
from firmware_sim.rp2040.layout import State
from firmware_sim.rp2040.registers import Register, RegisterBlock

GENERATORS = {"GPOUT0": 0x00, "GPOUT1": 0x0C, "GPOUT2": 0x18, "GPOUT3": 0x24, "REF": 0x30, "SYS": 0x3C}
GENERATORS |= {"PERI": 0x48, "USB": 0x54, "ADC": 0x60, "RTC": 0x6C}
OTHERS = {
    "CLK_SYS_RESUS_CTRL": (0x78, 0xFF),
    "CLK_SYS_RESUS_STATUS": (0x7C, 0),
    "FC0_REF_KHZ": (0x80, 0),
    "FC0_MIN_KHZ": (0x84, 0),
    "FC0_MAX_KHZ": (0x88, 0x1FFFFFF),
    "FC0_DELAY": (0x8C, 1),
    "FC0_INTERVAL": (0x90, 8),
    "FC0_SRC": (0x94, 0),
    "FC0_STATUS": (0x98, 0),
    "FC0_RESULT": (0x9C, 0),
    "WAKE_EN0": (0xA0, 0xFFFFFFFF),
    "WAKE_EN1": (0xA4, 0x7FFF),
    "SLEEP_EN0": (0xA8, 0xFFFFFFFF),
    "SLEEP_EN1": (0xAC, 0x7FFF),
    "ENABLED0": (0xB0, 0xFFFFFFFF),
    "ENABLED1": (0xB4, 0x7FFF),
    "INTR": (0xB8, 0),
    "INTE": (0xBC, 0),
    "INTF": (0xC0, 0),
    "INTS": (0xC4, 0),
}
REGISTERS = {f"CLK_{name}_CTRL": Register(offset) for name, offset in GENERATORS.items()}
REGISTERS |= {f"CLK_{name}_DIV": Register(offset + 4, 0x100) for name, offset in GENERATORS.items()}
REGISTERS |= {f"CLK_{name}_SELECTED": Register(offset + 8, 1, 0) for name, offset in GENERATORS.items()}
REGISTERS |= {name: Register(offset, reset) for name, (offset, reset) in OTHERS.items()}
ENABLE = 1 << 11
FC0_DONE = 1 << 4


class Clocks(RegisterBlock):
    """Frequencies from the registers of this block and of the oscillators; `changed(cycle)` runs after a write."""

    def __init__(self, S: State, report: Callable[[str, int], None], changed: Callable[[int], None]) -> None:
        self._changed = changed
        self.pll_sys: Pll | None = None
        self.pll_usb: Pll | None = None
        self.xosc: Oscillator | None = None
        super().__init__("CLOCKS", REGISTERS, S, report)

    def _source(self, name: str) -> int:
        """Frequency in Hz of an oscillator or PLL; 0 while it stands still."""
        if name == "ROSC":
            return ROSC_HZ
        if name == "XOSC":
            return crystal_hz(self.S) if self.xosc is not None and self.xosc.enabled else 0
        pll = self.pll_sys if name == "PLL_SYS" else self.pll_usb
        return pll.hz if pll is not None else 0

    def _divided(self, hz: int, generator: str) -> int:
        divider = self.values[f"CLK_{generator}_DIV"] or 1 << 24
        return (hz << 8) // divider

    @property
    def ref_hz(self) -> int:
        """clk_ref: ROSC, PLL_USB or XOSC. A choice of something that stands still leaves the ring oscillator."""
        name = ("ROSC", "PLL_USB", "XOSC", "ROSC")[self.values["CLK_REF_CTRL"] & 3]
        return self._divided(self._source(name), "REF") or ROSC_HZ

    @property
    def sys_hz(self) -> int:
        """clk_sys: clk_ref or the auxiliary source."""
        control = self.values["CLK_SYS_CTRL"]
        if not control & 1:
            return self._divided(self.ref_hz, "SYS")
        names = ("PLL_SYS", "PLL_USB", "ROSC", "XOSC", "GPIN0", "GPIN1", "", "")
        return self._divided(self._source(names[control >> 5 & 7]), "SYS") or ROSC_HZ

    @property
    def peri_hz(self) -> int:
        """clk_peri, which clocks the UARTs; 0 while it is disabled."""
        control = self.values["CLK_PERI_CTRL"]
        if not control & ENABLE:
            return 0
        if control >> 5 & 7 == 0:
            return self.sys_hz
        return self._source(("", "PLL_SYS", "PLL_USB", "ROSC", "XOSC", "", "", "")[control >> 5 & 7])

    @property
    def usb_hz(self) -> int:
        """clk_usb, which has to be 48 MHz; 0 while it is disabled."""
        control = self.values["CLK_USB_CTRL"]
        if not control & ENABLE:
            return 0
        source = ("PLL_USB", "PLL_SYS", "ROSC", "XOSC", "", "", "", "")[control >> 5 & 7]
        return self._divided(self._source(source), "USB")

    def hz(self, generator: str) -> int:
        """Frequency of clk_ref, clk_sys, clk_peri, ...: 0 while it stands still."""
        known = {"REF": self.ref_hz, "SYS": self.sys_hz, "PERI": self.peri_hz, "USB": self.usb_hz}
        return known.get(generator, self._auxiliary_hz(generator))

    def _auxiliary_hz(self, generator: str) -> int:
        """clk_adc or clk_rtc: a divided auxiliary source."""
        control = self.values[f"CLK_{generator}_CTRL"]
        if not control & ENABLE:
            return 0
        source = ("PLL_USB", "PLL_SYS", "ROSC", "XOSC", "", "", "", "")[control >> 5 & 7]
        return self._divided(self._source(source), generator)

    def _measured_khz(self) -> int:
        source = self.values["FC0_SRC"]
        names = {1: "PLL_SYS", 2: "PLL_USB", 3: "ROSC", 5: "XOSC"}
        own = {8: self.ref_hz, 9: self.sys_hz, 10: self.peri_hz}
        return (own[source] if source in own else self._source(names.get(source, ""))) // 1000

    def read(self, name: str, look: bool) -> int:
        """SELECTED follows the source, FC0 has always just measured."""
        if name == "CLK_REF_SELECTED":
            return 1 << (self.values["CLK_REF_CTRL"] & 3)
        if name == "CLK_SYS_SELECTED":
            return 1 << (self.values["CLK_SYS_CTRL"] & 1)
        if name == "FC0_STATUS":
            return FC0_DONE
        if name == "FC0_RESULT":
            return self._measured_khz() << 5
        return self.values[name]

    def write(self, name: str, value: int, cycle: int) -> None:
        """Store; the clocks are computed anew."""
        self.values[name] = value
        self._changed(cycle)
