"""Decides which escalations are paid for.

Every limit is a sliding window. Its last part is a reserve that only critical bakes may spend. Of the others those
pass whose value is high enough for the rate at which the limit can be spent: the price is the quantile of recent values
that lets as many through as the window will bear.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.budget.window import Window
from shared.errors import BadInputError
from shared.json_text import NOT_JSON
from shared.kept_state import KeptState

HOUR_S, DAY_S = 3600.0, 86_400.0
RECENT = 400  # candidates that set the price
SMOOTHING = 0.05  # of the mean cost
AHEAD = 0.1  # of a period: how soon the rest of a limit may be spent when it is plenty


@dataclass(frozen=True, slots=True)
class Limits:
    """What escalation may cost; None is no limit."""

    bytes_per_day: float | None = None
    escalations_per_hour: float | None = None
    cloud_seconds_per_day: float | None = None
    joules_per_day: float | None = None
    reserve: float = 0.2  # share of each limit kept for critical bakes

    def periods(self) -> dict[str, tuple[float, float]]:
        """Limit and period in seconds of each kind that is limited."""
        kinds = {
            "bytes": (self.bytes_per_day, DAY_S),
            "escalations": (self.escalations_per_hour, HOUR_S),
            "cloud_seconds": (self.cloud_seconds_per_day, DAY_S),
            "joules": (self.joules_per_day, DAY_S),
        }
        return {kind: (limit, period) for kind, (limit, period) in kinds.items() if limit is not None}

    def check(self) -> None:
        """Raise BadInputError for limits that make no sense."""
        if not 0 <= self.reserve < 1:
            raise BadInputError(f"the reserve is a share from 0 to below 1, not {self.reserve:g}")
        for kind, (limit, _) in self.periods().items():
            if not 0 < limit < math.inf:
                raise BadInputError(f"the limit of {kind.replace('_', ' ')} must be over 0, not {limit:g}")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one escalation costs, as far as it is known before."""

    bytes: float
    cloud_seconds: float
    joules: float
    escalations: float = 1.0


JOULES_PER_BYTE = 5e-6
"""Modelled: a Wi-Fi radio of about 1 W that moves 200 KB/s."""


class Governor:
    """Admits or refuses escalations; `state` is the file that keeps what was spent over restarts.

    Attributes: `kept`, to be written by whoever runs the governor.
    """

    def __init__(self, limits: Limits, state: Path | None = None) -> None:
        """Raises BadInputError for senseless limits or a damaged state file."""
        limits.check()
        self._limits = limits
        self.kept = KeptState(state, lambda: msgspec.json.encode(self._windows))
        self._periods = limits.periods()
        kept = _read(state) if state is not None and state.exists() else {}
        self._windows = {
            kind: kept[kind] if kind in kept and kept[kind].period_s == period else Window(period)
            for kind, (_, period) in self._periods.items()
        }
        self._values: deque[float] = deque(maxlen=RECENT)
        self._times: deque[float] = deque(maxlen=RECENT)
        self._means: dict[str, float] = {}  # cost of a candidate, by kind
        self.refused = 0

    def admit(self, now_s: float, cost: Cost, value: float, critical: bool) -> bool:
        """Whether this bake is escalated; if so, its cost is spent.

        `value` is the risk that the cloud's answer removes, in any unit; `critical`: it may be of a critical label.
        """
        self._values.append(value)
        self._times.append(now_s)
        for kind in self._periods:
            before = self._means.get(kind, getattr(cost, kind))
            self._means[kind] = before + (getattr(cost, kind) - before) * SMOOTHING
        for window in self._windows.values():
            window.advance(now_s)
        admitted = self._fits(cost, 0.0) if critical else self._fits(cost, self._limits.reserve) and self._pays(value)
        if not admitted:
            self.refused += 1
            return False
        for kind, window in self._windows.items():
            window.add(getattr(cost, kind))
        self.kept.changed()
        return True

    def correct(self, now_s: float, kind: str, more: float) -> None:
        """What an escalation really cost is known now: `more` (or less, negative) than was admitted."""
        if kind in self._windows:
            self._windows[kind].advance(now_s)
            self._windows[kind].add(more)
            self.kept.changed()

    def spent(self, now_s: float) -> dict[str, float]:
        """Spent in the last period, by kind."""
        for window in self._windows.values():
            window.advance(now_s)
        return {kind: window.total() for kind, window in self._windows.items()}

    def _fits(self, cost: Cost, reserve: float) -> bool:
        return all(
            self._windows[kind].total() + getattr(cost, kind) <= limit * (1 - reserve)
            for kind, (limit, _) in self._periods.items()
        )

    def _pays(self, value: float) -> bool:
        """Whether `value` is among the best share of recent candidates that the tightest limit can bear."""
        span_s = self._times[-1] - self._times[0]
        if span_s <= 0 or len(self._values) < 20:
            return True
        arrivals_a_second = (len(self._times) - 1) / span_s
        share = min(
            (
                self._left(kind) / (AHEAD * period) / max(1e-12, arrivals_a_second * self._means[kind])
                for kind, (_, period) in self._periods.items()
            ),
            default=1.0,
        )
        if share >= 1:
            return True
        ranked = sorted(self._values)
        return value >= ranked[min(len(ranked) - 1, int((1 - share) * len(ranked)))]

    def _left(self, kind: str) -> float:
        limit, _ = self._periods[kind]
        return max(0.0, limit * (1 - self._limits.reserve) - self._windows[kind].total())


def _read(path: Path) -> dict[str, Window]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Window])
    except (OSError, *NOT_JSON) as error:
        raise BadInputError(f"{path}: not a governor's state: {error}") from None
