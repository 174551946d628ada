"""CLOCKS: generators with their muxes and dividers, resuscitation of clk_sys, frequency counter. Datasheet 2.15.

The glitchless muxes of clk_ref and clk_sys change over only when the new source runs, as on the chip; SELECTED tells.
Clock gating (WAKE_EN, SLEEP_EN) and the edges of GPOUT pins are not modelled, frequencies are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from firmware_sim.rp2040.layout import CLK_SYS_HZ, NEVER, PIN_OE, State
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

KILL, ENABLE = 1 << 10, 1 << 11
AUXSRC_LSB = 5
GPOUT_SOURCES = ("PLL_SYS", "GPIN0", "GPIN1", "PLL_USB", "ROSC", "XOSC", "SYS", "USB", "ADC", "RTC", "REF")
COMMON = ("PLL_USB", "PLL_SYS", "ROSC", "XOSC", "GPIN0", "GPIN1")
AUX_SOURCES = {
    **dict.fromkeys(("GPOUT0", "GPOUT1", "GPOUT2", "GPOUT3"), GPOUT_SOURCES),
    "REF": ("PLL_USB", "GPIN0", "GPIN1"),
    "SYS": ("PLL_SYS", "PLL_USB", "ROSC", "XOSC", "GPIN0", "GPIN1"),
    "PERI": ("SYS", "PLL_SYS", "PLL_USB", "ROSC", "XOSC", "GPIN0", "GPIN1"),
    **dict.fromkeys(("USB", "ADC", "RTC"), COMMON),
}
NARROW_DIVIDERS = ("REF", "USB", "ADC")  # INT has two bits there
COUNTED = (
    *("", "PLL_SYS", "PLL_USB", "ROSC", "ROSC", "XOSC", "GPIN0", "GPIN1"),
    *("REF", "SYS", "PERI", "USB", "ADC", "RTC"),
)
RESUS_ENABLE, RESUS_FRCE, RESUS_CLEAR = 1 << 8, 1 << 12, 1 << 16
FC0_PASS, FC0_DONE, FC0_RUNNING, FC0_FAIL, FC0_SLOW, FC0_FAST, FC0_DIED = (
    1 << bit for bit in (0, 4, 8, 16, 20, 24, 28)
)
FC0_UNIT_NS = 980  # the measurement takes 0.98 us * 2 ** INTERVAL
IRQ = 17
FUNCTION_CLOCK, GPOUT_PINS = 8, (21, 23, 24, 25)


class Source(Protocol):
    """An oscillator or PLL."""

    @property
    def hz(self) -> int:
        """Frequency; 0 while it stands still or is not stable."""


class Clocks(RegisterBlock):
    """Frequencies from the registers of this block and of the oscillators; `changed(cycle)` runs after a write.

    `sources` are the oscillators and PLLs by name, `gpin_hz` what comes in at GPIO 20 and 22; `warn` tells the user,
    `now()` is the cycle.
    """

    remembers = ("values", "gpin_hz", "_selected", "_resussed", "_counting", "_measured")

    def __init__(
        self,
        S: State,
        report: Callable[[str, int], None],
        changed: Callable[[int], None],
        warn: Callable[[str], None],
        now: Callable[[], int],
    ) -> None:
        self._changed = changed
        self._warn = warn
        self._now = now
        self.sources: dict[str, Source] = {}
        self.gpin_hz = [0, 0]
        super().__init__("CLOCKS", REGISTERS, S, report)

    def reset(self) -> None:
        """clk_ref from the ring oscillator, clk_sys from clk_ref, the others off."""
        super().reset()
        self._selected = {"REF": 0, "SYS": 0}
        self._resussed = False
        self._counting = NEVER  # cycle at which the frequency counter is done
        self._measured = (FC0_DONE, 0)  # FC0_STATUS, FC0_RESULT
        for pin in GPOUT_PINS:
            self.S[PIN_OE + FUNCTION_CLOCK] |= 1 << pin
        self.set_irq(IRQ, False)

    def _source(self, name: str) -> int:
        """Frequency in Hz of an oscillator, PLL, clock input or generator; 0 while it stands still."""
        if name in self.sources:
            return self.sources[name].hz
        if name.startswith("GPIN"):
            return self.gpin_hz[int(name[4])]
        return self.hz(name) if name in GENERATORS else 0

    def _auxiliary(self, generator: str) -> int:
        """Frequency of the auxiliary source that CTRL names."""
        sources = AUX_SOURCES[generator]
        choice = self.values[f"CLK_{generator}_CTRL"] >> AUXSRC_LSB & 15
        choice &= {"REF": 3}.get(generator, 15 if generator.startswith("GPOUT") else 7)
        return self._source(sources[choice]) if choice < len(sources) else 0

    def _divided(self, hz: int, generator: str) -> int:
        if generator == "PERI":
            return hz  # it has no divider
        divider = self.values[f"CLK_{generator}_DIV"]
        if generator in NARROW_DIVIDERS:
            divider = divider & 0x300 or 0x400
        elif divider < 0x100:
            divider += 1 << 24  # INT 0 is 2 ** 16
        return (hz << 8) // divider

    def _mux(self, generator: str, choice: int) -> int:
        """Frequency at an input of a glitchless mux, before the divider."""
        if generator == "SYS":
            return self._auxiliary("SYS") if choice else self.ref_hz
        return (self._source("ROSC"), self._auxiliary("REF"), self._source("XOSC"), 0)[choice]

    def update(self, cycle: int) -> None:
        """A source or a register has changed: change over where the new source runs; revive clk_sys."""
        for generator, mask in (("REF", 3), ("SYS", 1)):
            wanted = self.values[f"CLK_{generator}_CTRL"] & mask
            if self._resussed and generator == "SYS":
                wanted = 0
            if self._mux(generator, wanted):
                self._selected[generator] = wanted
        if self._mux("REF", self._selected["REF"]) == 0:
            self._warn("clk_ref stands still, its source is off: a board hangs here")
        if self._mux("SYS", self._selected["SYS"]) == 0:
            if self.values["CLK_SYS_RESUS_CTRL"] & RESUS_ENABLE:
                self._resuscitate()
            else:
                self._warn("clk_sys stands still, its source is off: a board hangs here")

    def _resuscitate(self) -> None:
        self._resussed = True
        self._selected["SYS"] = 0
        self._interrupts()

    def _interrupts(self) -> None:
        raw = int(self._resussed)
        self.set_irq(IRQ, bool((raw & self.values["INTE"]) | (self.values["INTF"] & 1)))

    @property
    def ref_hz(self) -> int:
        """clk_ref; what stands still is replaced by the ring oscillator's nominal frequency, with a warning."""
        return self._divided(self._mux("REF", self._selected["REF"]), "REF") or 6_500_000

    @property
    def sys_hz(self) -> int:
        """clk_sys, as clk_ref."""
        return self._divided(self._mux("SYS", self._selected["SYS"]), "SYS") or 6_500_000

    @property
    def peri_hz(self) -> int:
        """clk_peri, which clocks UARTs and SPIs; 0 while it is disabled."""
        return self.hz("PERI")

    @property
    def usb_hz(self) -> int:
        """clk_usb, which has to be 48 MHz; 0 while it is disabled."""
        return self.hz("USB")

    def hz(self, generator: str) -> int:
        """Frequency of a generator by its name (REF, SYS, PERI, USB, ADC, RTC, GPOUT0, ...): 0 while it is off."""
        if generator == "REF":
            return self.ref_hz
        if generator == "SYS":
            return self.sys_hz
        if self.values[f"CLK_{generator}_CTRL"] & (ENABLE | KILL) != ENABLE:
            return 0
        return self._divided(self._auxiliary(generator), generator)

    def _count(self, cycle: int) -> None:
        """Start the frequency counter."""
        duration_ns = FC0_UNIT_NS << (self.values["FC0_INTERVAL"] & 15)
        self._counting = cycle + duration_ns * int(self.S[CLK_SYS_HZ]) // 1_000_000_000

    def due(self, cycle: int) -> None:
        """The frequency counter is done."""
        if self._counting > cycle:
            return
        self._counting = NEVER
        source = self.values["FC0_SRC"]
        hz = self._source(COUNTED[source]) if source < len(COUNTED) else 0
        if self.values["FC0_REF_KHZ"]:  # the counter believes what it is told of clk_ref
            hz = hz * self.values["FC0_REF_KHZ"] * 1000 // self.ref_hz
        khz = hz // 1000
        slow, fast = khz < self.values["FC0_MIN_KHZ"], khz > self.values["FC0_MAX_KHZ"]
        status = FC0_DONE | (FC0_SLOW if slow else 0) | (FC0_FAST if fast else 0)
        status |= FC0_FAIL if slow or fast else FC0_PASS
        self._measured = (status | (0 if hz else FC0_DIED), hz * 32 // 1000)

    def next_event(self) -> int | None:
        """When the frequency counter is done."""
        return self._counting

    def read(self, name: str, look: bool) -> int:
        """SELECTED, status and measurements are computed."""
        if name.endswith("_SELECTED"):
            return 1 << self._selected.get(name[4:7], 0)
        computed = {
            "CLK_SYS_RESUS_STATUS": int(self._resussed),
            "FC0_STATUS": FC0_RUNNING if self._counting < NEVER else self._measured[0],
            "FC0_RESULT": self._measured[1],
            "ENABLED0": self.values["WAKE_EN0"],
            "ENABLED1": self.values["WAKE_EN1"],
            "INTR": int(self._resussed),
            "INTS": (int(self._resussed) & self.values["INTE"]) | self.values["INTF"],
        }
        return computed.get(name, self.values[name])

    def write(self, name: str, value: int, cycle: int) -> None:
        """Store; the clocks are computed anew."""
        before = self.values[name]
        if name in ("FC0_STATUS", "FC0_RESULT", "INTR", "INTS", "ENABLED0", "ENABLED1", "CLK_SYS_RESUS_STATUS"):
            return
        self.values[name] = value
        if name == "CLK_SYS_CTRL" and self._selected["SYS"] and value & 1 and (before ^ value) & 7 << AUXSRC_LSB:
            self._warn("CLK_SYS_CTRL.AUXSRC was changed while clk_sys uses it: a board may hang")
        if name in ("WAKE_EN0", "WAKE_EN1") and value != REGISTERS[name].reset:
            self._warn(f"CLOCKS.{name} gates clocks, which is not modelled: the blocks run on")
        if name == "FC0_SRC" and value:
            self._count(cycle)
        if name == "CLK_SYS_RESUS_CTRL":
            if value & RESUS_CLEAR:
                self._resussed = False
                self.values[name] &= ~RESUS_CLEAR
            if value & RESUS_FRCE:
                self._resuscitate()
        self._interrupts()
        self._changed(cycle)
