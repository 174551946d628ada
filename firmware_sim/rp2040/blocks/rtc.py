"""RTC: calendar with leap years, and an alarm that matches any of its fields. RP2040 datasheet 4.8.

The second is CLKDIV_M1 + 1 cycles of clk_rtc. Nothing is stepped: the calendar is computed from the cycle at which the
running second began. Days of the week count on; which day a date is, is the firmware's business, as on the chip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from firmware_sim.rp2040.layout import CLK_SYS_HZ, NEVER, State
from firmware_sim.rp2040.registers import Register, RegisterBlock

IRQ = 25
ENABLE, ACTIVE, LOAD, FORCE_NOTLEAPYEAR = 1, 1 << 1, 1 << 4, 1 << 8
MATCH_ENA, MATCH_ACTIVE = 1 << 28, 1 << 29
YEAR_ENA, MONTH_ENA, DAY_ENA = 1 << 26, 1 << 25, 1 << 24  # IRQ_SETUP_0
DOTW_ENA, HOUR_ENA, MINUTE_ENA, SECOND_ENA = 1 << 31, 1 << 30, 1 << 29, 1 << 28  # IRQ_SETUP_1
SEARCH_SECONDS = 400  # how far ahead the alarm is looked for at a time
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

REGISTERS = {
    "CLKDIV_M1": Register(0x00, 0, 0xFFFF),
    "SETUP_0": Register(0x04, 0, 0xFFFF1F),
    "SETUP_1": Register(0x08, 0, 0x71F3F3F),
    "CTRL": Register(0x0C, 0, ENABLE | LOAD | FORCE_NOTLEAPYEAR),
    "IRQ_SETUP_0": Register(0x10, 0, MATCH_ENA | 0x7FFFF1F),
    "IRQ_SETUP_1": Register(0x14, 0, 0xF71F3F3F),
    "RTC_1": Register(0x18, 0, 0),
    "RTC_0": Register(0x1C, 0, 0),
    "INTR": Register(0x20, 0, 0),
    "INTE": Register(0x24, 0, 1),
    "INTF": Register(0x28, 0, 1),
    "INTS": Register(0x2C, 0, 0),
}


@dataclass(frozen=True)
class Moment:
    """What the calendar shows. month and day count from 1, dotw from 0 (Sunday)."""

    year: int = 0
    month: int = 0
    day: int = 0
    dotw: int = 0
    hour: int = 0
    minute: int = 0
    second: int = 0

    @property
    def setup(self) -> tuple[int, int]:
        """In the format of SETUP_0 and SETUP_1."""
        date = self.year << 12 | self.month << 8 | self.day
        return date, self.dotw << 24 | self.hour << 16 | self.minute << 8 | self.second


def from_setup(date: int, time: int) -> Moment:
    """Inverse of `Moment.setup`."""
    return Moment(
        date >> 12 & 0xFFF, date >> 8 & 15, date & 31, time >> 24 & 7, time >> 16 & 31, time >> 8 & 63, time & 63
    )


def days_of(year: int, month: int, never_leap: bool) -> int:
    """Length of a month; the chip takes every fourth year for a leap year unless told otherwise."""
    return 29 if month == 2 and year % 4 == 0 and not never_leap else DAYS[(month - 1) % 12]


def next_day(moment: Moment, never_leap: bool) -> Moment:
    """Midnight that follows."""
    year, month, day = moment.year, moment.month, moment.day + 1
    if day > days_of(year, month, never_leap):
        day, month = 1, month + 1
        if month > 12:
            month, year = 1, (year + 1) & 0xFFF
    return Moment(year, month, day, (moment.dotw + 1) % 7)


def after(moment: Moment, seconds: int, never_leap: bool) -> Moment:
    """The moment some seconds later."""
    total = moment.hour * 3600 + moment.minute * 60 + moment.second + seconds
    for _ in range(total // 86_400):
        moment = next_day(moment, never_leap)
    rest = total % 86_400
    return replace(moment, hour=rest // 3600, minute=rest // 60 % 60, second=rest % 60)


def matches(moment: Moment, date: int, time: int) -> bool:
    """Whether all enabled fields of IRQ_SETUP_0 and IRQ_SETUP_1 agree; none enabled never matches."""
    wanted = from_setup(date, time)
    enabled = {
        "year": date & YEAR_ENA,
        "month": date & MONTH_ENA,
        "day": date & DAY_ENA,
        "dotw": time & DOTW_ENA,
        "hour": time & HOUR_ENA,
        "minute": time & MINUTE_ENA,
        "second": time & SECOND_ENA,
    }
    chosen = [name for name, bit in enabled.items() if bit]
    return bool(chosen) and all(getattr(moment, name) == getattr(wanted, name) for name in chosen)


class Rtc(RegisterBlock):
    """`hz()` is clk_rtc, `now()` the cycle."""

    remembers = ("values", "_start", "_since", "_elapsed", "_latched", "_raised", "_next_second", "_rate")

    def __init__(
        self, S: State, report: Callable[[str, int], None], hz: Callable[[], int], now: Callable[[], int]
    ) -> None:
        self._hz = hz
        self._now = now
        super().__init__("RTC", REGISTERS, S, report)

    def reset(self) -> None:
        """It stands still."""
        super().reset()
        self._start = Moment()
        self._since = 0  # cycle at which `_elapsed` clocks of clk_rtc had passed since `_start`
        self._elapsed = 0
        self._latched = 0  # RTC_1 as it was when RTC_0 was read
        self._raised = False
        self._next_second = NEVER
        self._rate = 0  # clk_rtc in Hz since `_since`
        self.set_irq(IRQ, False)

    @property
    def _never_leap(self) -> bool:
        return bool(self.values["CTRL"] & FORCE_NOTLEAPYEAR)

    def _clocks(self, cycle: int) -> int:
        """Cycles of clk_rtc since `_start`."""
        if not self.values["CTRL"] & ENABLE:
            return self._elapsed
        return self._elapsed + max(0, cycle - self._since) * self._rate // int(self.S[CLK_SYS_HZ])

    def rebase(self, cycle: int) -> None:
        """The clocks are about to change, or the calendar: begin anew, losing less than a cycle of clk_rtc."""
        clocks, second = self._clocks(cycle), self.values["CLKDIV_M1"] + 1
        self._start = after(self._start, clocks // second, self._never_leap)
        self._elapsed, self._since = clocks % second, cycle

    def moment(self, cycle: int) -> Moment:
        """What the calendar shows."""
        return after(self._start, self._clocks(cycle) // (self.values["CLKDIV_M1"] + 1), self._never_leap)

    def _matching(self) -> bool:
        return bool(self.values["IRQ_SETUP_0"] & MATCH_ENA)

    def _match(self, cycle: int) -> None:
        """Raise the interrupt while the alarm matches; plan the next second at which that may change."""
        self._rate = self._hz()
        date, time = self.values["IRQ_SETUP_0"], self.values["IRQ_SETUP_1"]
        self._raised = self._matching() and matches(self.moment(cycle), date, time)
        line = (self._raised and self.values["INTE"] & 1) or self.values["INTF"] & 1
        self.set_irq(IRQ, bool(line))
        self._next_second = NEVER
        hz, second = self._rate, self.values["CLKDIV_M1"] + 1
        if not (self._matching() and self.values["CTRL"] & ENABLE and hz):
            return
        ahead = self._clocks(cycle) // second
        now = after(self._start, ahead, self._never_leap)
        wait = 1  # seconds until the match begins or ends, or until it has to be looked for again
        while wait < SEARCH_SECONDS and matches(after(now, wait, self._never_leap), date, time) == self._raised:
            wait += 1
        needed = (ahead + wait) * second - self._elapsed
        self._next_second = self._since + (needed * int(self.S[CLK_SYS_HZ]) + hz - 1) // hz

    def changed(self, cycle: int) -> None:
        """A clock has changed."""
        self._match(cycle)

    def read(self, name: str, look: bool) -> int:
        """RTC_0 latches RTC_1, so that both belong together."""
        date, time = self.moment(self._now()).setup
        if name == "RTC_0":
            if not look:
                self._latched = date
            return time
        if name == "RTC_1":
            return self._latched
        enabled = self.values["CTRL"] & ENABLE
        computed = {
            "CTRL": self.values["CTRL"] | (ACTIVE if enabled and self._hz() else 0),
            "IRQ_SETUP_0": self.values["IRQ_SETUP_0"] | (MATCH_ACTIVE if self._matching() else 0),
            "INTR": int(self._raised),
            "INTS": (int(self._raised) & self.values["INTE"]) | self.values["INTF"],
        }
        return computed.get(name, self.values[name])

    def write(self, name: str, value: int, cycle: int) -> None:
        """CTRL.LOAD takes SETUP_0 and SETUP_1 over."""
        self.rebase(cycle)
        self.values[name] = value
        if name == "CTRL" and value & LOAD:
            self.values["CTRL"] &= ~LOAD
            self._start, self._elapsed = from_setup(self.values["SETUP_0"], self.values["SETUP_1"]), 0
        self._match(cycle)

    def due(self, cycle: int) -> None:
        """The alarm begins or ends to match, or it has to be looked for further on."""
        if self._next_second <= cycle:
            self._match(cycle)

    def next_event(self) -> int | None:
        """When the alarm may change."""
        return self._next_second
