"""WATCHDOG: the tick generator, scratch registers, and resets asked for. RP2040 datasheet 4.7."""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.rp2040.layout import EXIT, EXIT_RESET, NEVER, State
from firmware_sim.rp2040.registers import Register, RegisterBlock

TRIGGER, ENABLE, TIME = 1 << 31, 1 << 30, 0xFFFFFF
TICK_ENABLE, TICK_RUNNING = 1 << 9, 1 << 10
REGISTERS = {
    "CTRL": Register(0x00, 7 << 24, TRIGGER | ENABLE | 7 << 24),
    "LOAD": Register(0x04, 0, TIME),
    "REASON": Register(0x08, 0, 0),
    **{f"SCRATCH{i}": Register(0x0C + 4 * i) for i in range(8)},
    "TICK": Register(0x2C, TICK_ENABLE, 0x3FF),
}


class Watchdog(RegisterBlock):
    """Counts down two a tick (erratum RP2040-E1) from LOAD / 2 us and ends the run with the reason `reset`."""

    remembers = ("values", "_fires_at")

    def __init__(
        self,
        S: State,
        report: Callable[[str, int], None],
        changed: Callable[[int], None],
        cycles_of_us: Callable[[int], int],
    ) -> None:
        self._changed = changed
        self._cycles_of_us = cycles_of_us
        super().__init__("WATCHDOG", REGISTERS, S, report)

    def reset(self) -> None:
        """Power-on: the countdown stands still."""
        super().reset()
        self._fires_at = NEVER

    def tick_hz(self, ref_hz: int) -> int:
        """Ticks a second. CYCLES 0, the reset value, counts as 1 us so that a bare test program has a clock."""
        if not self.values["TICK"] & TICK_ENABLE:
            return 0
        divider = self.values["TICK"] & 0x1FF
        return ref_hz // divider if divider else 1_000_000

    def read(self, name: str, look: bool) -> int:
        """TICK says RUNNING when enabled."""
        if name == "TICK":
            return self.values["TICK"] | (TICK_RUNNING if self.values["TICK"] & TICK_ENABLE else 0)
        return self.values[name]

    def write(self, name: str, value: int, cycle: int) -> None:
        """LOAD starts the countdown anew; TRIGGER resets at once."""
        self.values[name] = value
        if name == "CTRL" and value & TRIGGER:
            self.S[EXIT] = EXIT_RESET
            self.values["CTRL"] &= ~TRIGGER
            self.values["REASON"] = 2
        if name == "TICK":
            self._changed(cycle)
        if name in ("CTRL", "LOAD"):
            running = self.values["CTRL"] & ENABLE and self.values["LOAD"]
            self._fires_at = cycle + self._cycles_of_us(self.values["LOAD"] // 2) if running else NEVER

    def due(self, cycle: int) -> None:
        """Reset when the count is down."""
        if self._fires_at <= cycle:
            self._fires_at = NEVER
            self.values["REASON"] = 1
            self.S[EXIT] = EXIT_RESET

    def next_event(self) -> int | None:
        """When it resets the chip."""
        return self._fires_at
