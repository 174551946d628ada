"""XOSC, ROSC and the two PLLs: they are stable and locked as soon as they are enabled. Datasheet 2.16 to 2.18."""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.rp2040.layout import CLOCK_PPM, State
from firmware_sim.rp2040.registers import Register, RegisterBlock

XOSC_HZ = 12_000_000
ROSC_HZ = 6_500_000  # typical at reset
ENABLE, DISABLE = 0xFAB, 0xD1E
STABLE, ENABLED, LOCK = 1 << 31, 1 << 12, 1 << 31

XOSC = {
    "CTRL": Register(0x00, 0xAA0 | DISABLE << 12),
    "STATUS": Register(0x04, 0, 0),
    "DORMANT": Register(0x08),
    "STARTUP": Register(0x0C, 0xC4),
    "COUNT": Register(0x1C, 0, 0),
}
ROSC = {
    "CTRL": Register(0x00, 0xAA0 | ENABLE << 12),
    "FREQA": Register(0x04),
    "FREQB": Register(0x08),
    "DORMANT": Register(0x0C),
    "DIV": Register(0x10, 0xAA0 | 16),
    "PHASE": Register(0x14, 8),
    "STATUS": Register(0x18, 0, 0),
    "RANDOMBIT": Register(0x1C, 1, 0),
    "COUNT": Register(0x20, 0, 0),
}
PLL = {
    "CS": Register(0x00, 1, 0x13F),
    "PWR": Register(0x04, 0x2D, 0x2D),
    "FBDIV_INT": Register(0x08, 0, 0xFFF),
    "PRIM": Register(0x0C, 0x77000, 0x77000),
}
POWER_DOWN, VCO_POWER_DOWN, BYPASS = 1, 1 << 5, 1 << 8


def crystal_hz(S: State) -> int:
    """Frequency of the crystal, with an injected drift."""
    return XOSC_HZ + XOSC_HZ * int(S[CLOCK_PPM]) // 1_000_000


class Oscillator(RegisterBlock):
    """XOSC or ROSC; `changed` is called after every write."""

    remembers = ("values", "_random")

    def __init__(
        self,
        name: str,
        registers: dict[str, Register],
        S: State,
        report: Callable[[str, int], None],
        changed: Callable[[int], None],
    ) -> None:
        self._changed = changed
        self._random = 0x2B  # a fixed sequence instead of noise: runs repeat exactly
        super().__init__(name, registers, S, report)

    @property
    def enabled(self) -> bool:
        """Whether it oscillates."""
        field = self.values["CTRL"] >> 12 & 0xFFF
        return field != DISABLE if self.name == "ROSC" else field == ENABLE

    def read(self, name: str, look: bool) -> int:
        """STATUS follows CTRL; RANDOMBIT steps a shift register."""
        if name == "STATUS":
            return STABLE | ENABLED if self.enabled else 0
        if name == "RANDOMBIT":
            if not look:
                self._random = (self._random >> 1) ^ (0xB400 if self._random & 1 else 0)
            return self._random & 1
        return self.values[name]

    def write(self, name: str, value: int, cycle: int) -> None:
        """Store; the clocks are computed anew."""
        self.values[name] = value
        self._changed(cycle)


class Pll(RegisterBlock):
    """PLL_SYS or PLL_USB."""

    def __init__(self, name: str, S: State, report: Callable[[str, int], None], changed: Callable[[int], None]) -> None:
        self._changed = changed
        super().__init__(name, PLL, S, report)

    @property
    def hz(self) -> int:
        """Frequency of the output; 0 while it is down."""
        reference = crystal_hz(self.S) // max(1, self.values["CS"] & 0x3F)
        if self.values["CS"] & BYPASS:
            return reference
        if self.values["PWR"] & (POWER_DOWN | VCO_POWER_DOWN):
            return 0
        dividers = max(1, self.values["PRIM"] >> 16 & 7) * max(1, self.values["PRIM"] >> 12 & 7)
        return reference * self.values["FBDIV_INT"] // dividers

    def read(self, name: str, look: bool) -> int:
        """CS says LOCK when the VCO runs."""
        return self.values["CS"] | (LOCK if self.hz else 0) if name == "CS" else self.values[name]

    def write(self, name: str, value: int, cycle: int) -> None:
        """Store; the clocks are computed anew."""
        self.values[name] = value
        self._changed(cycle)
