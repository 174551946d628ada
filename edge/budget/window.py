"""How much was spent in the last hour or day: a ring of slots, so that memory is bounded and no window is exceeded."""

from __future__ import annotations

import msgspec

SLOTS = 96  # of a period: a quarter of an hour of a day


class Window(msgspec.Struct, forbid_unknown_fields=True):
    """Sums by slot. A slot counts until all of it is older than the period, so the sum is never too small."""

    period_s: float
    spent: list[float] = msgspec.field(default_factory=lambda: [0.0] * (SLOTS + 1))
    newest: int = 0  # number of the newest slot since the epoch

    def advance(self, now_s: float) -> None:
        """Empty the slots that have left the window. A clock that goes back changes nothing."""
        slot = int(now_s / self.period_s * SLOTS)
        for number in range(max(self.newest + 1, slot - SLOTS), slot + 1):
            self.spent[number % (SLOTS + 1)] = 0.0
        self.newest = max(self.newest, slot)

    def add(self, amount: float) -> None:
        """Spend in the newest slot."""
        self.spent[self.newest % (SLOTS + 1)] += amount

    def total(self) -> float:
        """Spent in the last period and the rest of the oldest slot."""
        return sum(self.spent)
