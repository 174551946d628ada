"""Time as an argument: logic is told what time it is, and only programs ask the system."""

from __future__ import annotations

import time
from collections.abc import Callable

NowUs = Callable[[], int]
"""Gives microseconds since the Unix epoch."""


def system_now_us() -> int:
    """The system's wall clock in microseconds. Deadlines outlive a restart, so monotonic time will not do."""
    return time.time_ns() // 1000
