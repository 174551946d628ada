"""Time as an argument: logic is told what time it is, and only programs ask the system.

Two times. The wall clock stands in messages, where people compare it with other clocks; it may be wrong, and jumps by
hours when somebody sets it right. Deadlines and retries run on a `SteadyClock`, which no such jump moves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

NowUs = Callable[[], int]
"""Gives microseconds: since the Unix epoch of a wall clock, of steady time else."""

MAX_OFF_US = 86_400_000_000
"""Counted of the time a machine was off: deadlines are minutes, and a wall clock that is years ahead at the start must
not make what is known old."""

JUMP_US = 1_000_000  # a wall clock that moved by more against the steady one since the last look was set


def system_now_us() -> int:
    """The system's wall clock, microseconds since the Unix epoch."""
    return time.time_ns() // 1000


def since_boot_us() -> int:
    """Microseconds since the machine started, its sleep included where the system counts that (Linux)."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return (time.monotonic_ns() if clock is None else time.clock_gettime_ns(clock)) // 1000


def boot_id() -> str:
    """Names the present run of the machine; "" where the system has no such name."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


class TimeMark(NamedTuple):
    """The same moment on all clocks, kept on disk so that steady time goes on after a restart."""

    steady_us: int
    wall_us: int
    boot_us: int
    boot: str


class SteadyClock:
    """Steady time that outlives the process, beside the wall clock.

    Within one boot it follows the kernel's clock since boot, so that wall clocks may be set at will, also while no
    process runs. Over a reboot only the wall clock can tell how long the machine was off, at most MAX_OFF_US; one that
    went backwards (no battery, no network yet) counts as no time at all. Steady time never runs backwards.
    """

    def __init__(
        self,
        mark: TimeMark | None = None,
        *,
        wall: NowUs = system_now_us,
        boot: NowUs = since_boot_us,
        boot_name: str | None = None,
    ) -> None:
        """`mark` is the last one kept; without one, steady time begins at the present wall time."""
        self._wall, self._boot = wall, boot
        self._boot_name = boot_id() if boot_name is None else boot_name
        self._began_us = boot()
        now_us = wall()
        if mark is None:
            self._start_us = now_us
        elif mark.boot and mark.boot == self._boot_name and self._began_us >= mark.boot_us:
            self._start_us = mark.steady_us + self._began_us - mark.boot_us
        else:
            self._start_us = mark.steady_us + min(max(0, now_us - mark.wall_us), MAX_OFF_US)
        self._offset_us = now_us - self._start_us  # wall minus steady

    def now_us(self) -> int:
        """Steady time in microseconds."""
        return self._start_us + self._boot() - self._began_us

    def wall_us(self) -> int:
        """The wall clock's microseconds since the Unix epoch."""
        return self._wall()

    def mark(self) -> TimeMark:
        """The present moment, to be kept."""
        return TimeMark(self.now_us(), self.wall_us(), self._boot(), self._boot_name)

    def jump_s(self) -> float:
        """By how much the wall clock was set since the last call; 0.0 when it was not."""
        offset_us = self.wall_us() - self.now_us()
        moved_us = offset_us - self._offset_us
        self._offset_us = offset_us
        return moved_us / 1e6 if abs(moved_us) > JUMP_US else 0.0
