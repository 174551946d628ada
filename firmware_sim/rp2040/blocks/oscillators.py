"""XOSC, ROSC and the two PLLs. RP2040 datasheet 2.16 to 2.18."""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.rp2040.layout import CLK_SYS_HZ, CLOCK_PPM, NEVER, WRITTEN, State
from firmware_sim.rp2040.registers import Register, RegisterBlock

XOSC_HZ = 12_000_000
ROSC_HZ = 6_500_000  # typical at reset, DIV 16
ROSC_RING_HZ = ROSC_HZ * 16
ENABLE, DISABLE = 0xFAB, 0xD1E
STABLE, BADWRITE, DIV_RUNNING, ENABLED, LOCK = 1 << 31, 1 << 24, 1 << 16, 1 << 12, 1 << 31
PASS = 0xAA0  # of ROSC.DIV
COMA, WAKE = 0x636F6D61, 0x77616B65
# Stages of the ring by CTRL.FREQ_RANGE: LOW (and reset) 8, MEDIUM 6, HIGH 4, TOOHIGH 2.
ROSC_STAGES = {0xFA5: 6, 0xFA7: 4, 0xFA6: 2}

XOSC = {
    "CTRL": Register(0x00, 0xAA0 | DISABLE << 12, 0xFFFFFF),
    "STATUS": Register(0x04, 0, 0),
    "DORMANT": Register(0x08, WAKE),
    "STARTUP": Register(0x0C, 0xC4, 0x103FFF),
    "COUNT": Register(0x1C, 0, 0xFF),
}
ROSC = {
    "CTRL": Register(0x00, 0xAA0 | ENABLE << 12, 0xFFFFFF),
    "FREQA": Register(0x04),
    "FREQB": Register(0x08),
    "DORMANT": Register(0x0C, WAKE),
    "DIV": Register(0x10, PASS | 16, 0xFFF),
    "PHASE": Register(0x14, 8, 0xFFF),
    "STATUS": Register(0x18, 0, 0),
    "RANDOMBIT": Register(0x1C, 1, 0),
    "COUNT": Register(0x20, 0, 0xFF),
}
PLL = {
    "CS": Register(0x00, 1, 0x13F),
    "PWR": Register(0x04, 0x2D, 0x2D),
    "FBDIV_INT": Register(0x08, 0, 0xFFF),
    "PRIM": Register(0x0C, 0x77000, 0x77000),
}
POWER_DOWN, POST_DIVIDERS_DOWN, VCO_POWER_DOWN, BYPASS = 1, 1 << 3, 1 << 5, 1 << 8
LOCK_REFERENCES = 500  # cycles of the reference until LOCK: no manual says, docs/decisions/0048


def crystal_hz(S: State) -> int:
    """Frequency of the crystal, with an injected drift."""
    return XOSC_HZ + XOSC_HZ * int(S[CLOCK_PPM]) // 1_000_000


class Oscillator(RegisterBlock):
    """XOSC or ROSC; `changed(cycle)` computes the clocks anew, `now()` is the cycle, `warn` tells the user."""

    remembers = ("values", "_random", "_stable_at", "_starting", "_counted_at", "_bad_write")

    def __init__(
        self,
        name: str,
        registers: dict[str, Register],
        S: State,
        report: Callable[[str, int], None],
        changed: Callable[[int], None],
        now: Callable[[], int],
        warn: Callable[[str], None],
    ) -> None:
        self._changed = changed
        self._now = now
        self._warn = warn
        self._random = 0x2B  # a fixed sequence instead of noise: runs repeat exactly
        super().__init__(name, registers, S, report)

    def reset(self) -> None:
        """The ring oscillator runs, the crystal does not."""
        super().reset()
        self._stable_at = 0 if self.name == "ROSC" else NEVER
        self._starting = False
        self._counted_at = 0
        self._bad_write = False

    @property
    def enabled(self) -> bool:
        """Whether it oscillates."""
        field = self.values["CTRL"] >> 12 & 0xFFF
        return field != DISABLE if self.name == "ROSC" else field == ENABLE

    @property
    def stable(self) -> bool:
        """Whether its start-up delay is over."""
        return self.enabled and self._now() >= self._stable_at

    @property
    def hz(self) -> int:
        """Frequency; 0 while it is off or starts."""
        if not self.stable:
            return 0
        if self.name == "XOSC":
            return crystal_hz(self.S)
        divider = self.values["DIV"] - PASS
        divider = 32 if divider == 0 else (divider if 0 < divider < 32 else 31)
        stages = ROSC_STAGES.get(self.values["CTRL"] & 0xFFF, 8)
        return ROSC_RING_HZ * 8 // stages // divider

    def _cycles(self, clocks: int, hz: int) -> int:
        return clocks * int(self.S[CLK_SYS_HZ]) // hz

    def read(self, name: str, look: bool) -> int:
        """STATUS follows CTRL; RANDOMBIT steps a shift register; COUNT counts down to 0."""
        if name == "STATUS":
            flags = (STABLE if self.stable else 0) | (ENABLED if self.enabled else 0)
            flags |= DIV_RUNNING if self.name == "ROSC" and self.enabled else 0
            return flags | (BADWRITE if self._bad_write else 0)
        if name == "RANDOMBIT":
            if not look:
                self._random = (self._random >> 1) ^ (0xB400 if self._random & 1 else 0)
            return self._random & 1
        if name == "COUNT" and self.hz:
            gone = (self._now() - self._counted_at) * self.hz // int(self.S[CLK_SYS_HZ])
            return max(0, self.values["COUNT"] - gone)
        return self.values[name]

    def write(self, name: str, value: int, cycle: int) -> None:
        """Store; the clocks are computed anew."""
        was_on = self.enabled
        self.values[name] = value
        if name == "CTRL":
            self._bad_write |= value >> 12 & 0xFFF not in (ENABLE, DISABLE)
            if self.enabled and not was_on:
                delay = (self.values["STARTUP"] & 0x3FFF) * 256 * (4 if self.values["STARTUP"] >> 20 & 1 else 1)
                self._stable_at = cycle + (self._cycles(delay, XOSC_HZ) if self.name == "XOSC" else 0)
                self._starting = True
        if name == "COUNT":
            self._counted_at = cycle
        if name == "DORMANT":
            if self.S[WRITTEN] == COMA:
                self._warn(f"{self.name}.DORMANT is not modelled: the chip runs on")
            self.values[name] = WAKE
        self._changed(cycle)

    def due(self, cycle: int) -> None:
        """It is stable now: what waits for it may change over."""
        if self._starting and self._stable_at <= cycle:
            self._starting = False
            self._changed(cycle)

    def next_event(self) -> int | None:
        """When it will be stable."""
        return self._stable_at if self._starting else None


class Pll(RegisterBlock):
    """PLL_SYS or PLL_USB, fed by the crystal oscillator."""

    remembers = ("values", "_running", "_locking", "_locked_at")

    def __init__(
        self,
        name: str,
        S: State,
        report: Callable[[str, int], None],
        changed: Callable[[int], None],
        now: Callable[[], int],
        warn: Callable[[str], None],
        crystal: Oscillator,
    ) -> None:
        self._changed = changed
        self._now = now
        self._warn = warn
        self._crystal = crystal
        super().__init__(name, PLL, S, report)

    def reset(self) -> None:
        """Powered down."""
        super().reset()
        self._running, self._locking, self._locked_at = False, False, NEVER

    @property
    def reference_hz(self) -> int:
        """FREF / REFDIV."""
        return self._crystal.hz // max(1, self.values["CS"] & 0x3F)

    @property
    def vco_hz(self) -> int:
        """Frequency of the oscillator; 0 while it is powered down."""
        if self.values["PWR"] & (POWER_DOWN | VCO_POWER_DOWN):
            return 0
        return self.reference_hz * self.values["FBDIV_INT"]

    @property
    def locked(self) -> bool:
        """CS.LOCK."""
        return self._running and self._now() >= self._locked_at

    @property
    def hz(self) -> int:
        """Frequency of the output; 0 until it is locked."""
        if self.values["CS"] & BYPASS:
            return self.reference_hz
        if not self.locked or self.values["PWR"] & POST_DIVIDERS_DOWN:
            return 0
        dividers = max(1, self.values["PRIM"] >> 16 & 7) * max(1, self.values["PRIM"] >> 12 & 7)
        return self.vco_hz // dividers

    def refresh(self, cycle: int) -> None:
        """Reference or registers may have changed: it starts to lock when its oscillator starts."""
        running = self.vco_hz > 0
        if running and not self._running:
            self._locking = True
            self._locked_at = cycle + LOCK_REFERENCES * int(self.S[CLK_SYS_HZ]) // self.reference_hz
        self._running = running
        if running:
            self._check_limits()

    def _check_limits(self) -> None:
        """What the datasheet asks for (2.18.2); outside of it a board may not lock."""
        vco_mhz, feedback = self.vco_hz / 1e6, self.values["FBDIV_INT"]
        if not 749.9 <= vco_mhz <= 1600.1:
            self._warn(f"{self.name}: a VCO of {vco_mhz:.0f} MHz is outside 750 to 1600 MHz: a board may not lock")
        if not 16 <= feedback <= 320:
            self._warn(f"{self.name}: FBDIV_INT {feedback} is outside 16 to 320: a board may not lock")
        if self.reference_hz < 4_990_000:
            self._warn(f"{self.name}: a reference of {self.reference_hz / 1e6:.2f} MHz (CS.REFDIV) is below 5 MHz")

    def read(self, name: str, look: bool) -> int:
        """CS says LOCK when the VCO has settled."""
        return self.values["CS"] | (LOCK if self.locked else 0) if name == "CS" else self.values[name]

    def write(self, name: str, value: int, cycle: int) -> None:
        """Store; the clocks are computed anew."""
        self.values[name] = value
        self._changed(cycle)

    def due(self, cycle: int) -> None:
        """It is locked now: what waits for it may change over."""
        if self._locking and self._locked_at <= cycle:
            self._locking = False
            self._changed(cycle)

    def next_event(self) -> int | None:
        """When it will be locked."""
        return self._locked_at if self._locking else None
