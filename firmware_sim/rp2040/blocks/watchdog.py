"""WATCHDOG: the tick generator, scratch registers, and resets. RP2040 datasheet 4.7.

Nothing resets this block but power: SCRATCH0-7 and REASON tell the firmware that comes up again what happened.
"""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.rp2040.layout import CLK_SYS_HZ, EXIT, EXIT_RESET, NEVER, NEXT_EVENT, TICK_HZ, State
from firmware_sim.rp2040.registers import Register, RegisterBlock

TRIGGER, ENABLE, TIME = 1 << 31, 1 << 30, 0xFFFFFF
PAUSE = 7 << 24  # while a debugger holds the chip: stored
TICK_ENABLE, TICK_RUNNING, TICK_CYCLES = 1 << 9, 1 << 10, 0x1FF
REASON_TIMER, REASON_FORCE = 1, 2
COUNTS_A_TICK = 2  # erratum RP2040-E1
REGISTERS = {
    "CTRL": Register(0x00, PAUSE, TRIGGER | ENABLE | PAUSE),
    "LOAD": Register(0x04, 0, TIME),
    "REASON": Register(0x08, 0, 0),
    **{f"SCRATCH{i}": Register(0x0C + 4 * i) for i in range(8)},
    "TICK": Register(0x2C, TICK_ENABLE, TICK_ENABLE | TICK_CYCLES),
}


class Watchdog(RegisterBlock):
    """Counts down two a tick. `changed(cycle)` computes the frequencies anew; `now()` is the cycle."""

    remembers = ("values", "_count", "_since", "bitten")

    def __init__(
        self,
        S: State,
        report: Callable[[str, int], None],
        changed: Callable[[int], None],
        now: Callable[[], int],
        warn: Callable[[str], None],
    ) -> None:
        self._changed = changed
        self._now = now
        self._warn = warn
        super().__init__("WATCHDOG", REGISTERS, S, report)

    def reset(self) -> None:
        """Power-on."""
        super().reset()
        self._count = 0  # at the cycle `_since`
        self._since = 0
        self.bitten = False  # a reset is under way

    def restart(self) -> None:
        """What a reset by the watchdog changes: the countdown stops."""
        self.values["CTRL"] &= ~ENABLE
        self._count, self.bitten = 0, False

    def tick_hz(self, ref_hz: int) -> int:
        """Ticks a second. CYCLES 0, the reset value, counts as 1 us so that a bare test program has a clock."""
        if not self.values["TICK"] & TICK_ENABLE:
            return 0
        divider = self.values["TICK"] & TICK_CYCLES
        return ref_hz // divider if divider else 1_000_000

    @property
    def _running(self) -> bool:
        return bool(self.values["CTRL"] & ENABLE) and self._count > 0 and self.S[TICK_HZ] > 0

    def _counted(self, cycle: int) -> int:
        """TIME at a cycle."""
        if not self._running:
            return self._count
        ticks = max(0, cycle - self._since) * int(self.S[TICK_HZ]) // int(self.S[CLK_SYS_HZ])
        return max(0, self._count - COUNTS_A_TICK * ticks)

    def rebase(self, cycle: int) -> None:
        """A clock is about to change, or the count: begin anew from here."""
        self._count, self._since = self._counted(cycle), cycle

    def read(self, name: str, look: bool) -> int:
        """CTRL.TIME counts; TICK says RUNNING when enabled; LOAD is write-only."""
        if name == "TICK":
            return self.values["TICK"] | (TICK_RUNNING if self.values["TICK"] & TICK_ENABLE else 0)
        if name == "CTRL":
            return self.values["CTRL"] | self._counted(self._now())
        return 0 if name == "LOAD" else self.values[name]

    def write(self, name: str, value: int, cycle: int) -> None:
        """LOAD starts the countdown anew; TRIGGER resets at once."""
        self.rebase(cycle)
        self.values[name] = value
        if name == "CTRL" and value & TRIGGER:
            self.values["CTRL"] &= ~TRIGGER
            self._bite(REASON_FORCE, cycle)
        ticks = self.values["TICK"] & (TICK_ENABLE | TICK_CYCLES) == TICK_ENABLE
        if ticks and (name in ("TICK", "LOAD") or (name == "CTRL" and value & ENABLE)):
            self._warn("WATCHDOG.TICK.CYCLES is 0: the tick is taken to be 1 MHz, on the chip it stands still")
        if name == "TICK":
            self._changed(cycle)
        if name == "LOAD":
            self._count = value

    def _bite(self, reason: int, cycle: int) -> None:
        self.values["REASON"], self.bitten = reason, True
        self.S[EXIT], self.S[NEXT_EVENT] = EXIT_RESET, cycle

    def due(self, cycle: int) -> None:
        """Reset when the count is down."""
        event = self.next_event()
        if event is not None and event <= cycle:
            self._count = 0
            self._bite(REASON_TIMER, cycle)

    def next_event(self) -> int | None:
        """When it resets the chip."""
        if not self._running:
            return None
        ticks = (self._count + COUNTS_A_TICK - 1) // COUNTS_A_TICK
        hz = int(self.S[TICK_HZ])
        return min(NEVER, self._since + (ticks * int(self.S[CLK_SYS_HZ]) + hz - 1) // hz)
