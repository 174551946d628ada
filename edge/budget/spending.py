"""The governor as the gateway uses it: what a clip costs, what it is worth, and what the cloud really took."""

from __future__ import annotations

from pathlib import Path

from edge.budget.governor import JOULES_PER_BYTE, Cost, Governor, Limits
from edge.budget.value import Valuer
from edge.gate import load_gate
from shared.messages import Classification
from shared.task import Task

CLOUD_SECONDS = 0.2  # of an answer, before the first one says


class Budget:
    """Spends a governor's limits on the clips of one gateway."""

    def __init__(self, governor: Governor, valuer: Valuer) -> None:
        self._governor, self._valuer = governor, valuer
        self.kept = governor.kept
        self._cloud_s = CLOUD_SECONDS

    def admits(self, edge: Classification, clip_bytes: int, now_us: int) -> bool:
        """Whether the bake may be escalated; if so it is paid for."""
        worth = self._valuer.worth(edge)
        cost = Cost(clip_bytes, self._cloud_s, clip_bytes * JOULES_PER_BYTE)
        return self._governor.admit(now_us / 1e6, cost, worth.value, worth.critical)

    def learned(self, cloud_s: float, now_us: int) -> None:
        """An answer took `cloud_s` seconds of a worker: the account is put right, the next estimate is the larger."""
        self._governor.correct(now_us / 1e6, "cloud_seconds", cloud_s - self._cloud_s)
        self._cloud_s = max(cloud_s, 0.9 * self._cloud_s)


def open_budget(limits: Limits, state: Path, model: Path, task: Task) -> Budget | None:
    """The budget of a gateway whose model lies in folder `model`; None without limits.

    `state` is the file that keeps the account. Raises BadInputError when it, or the model's gate, cannot be read.
    """
    if not limits.periods():
        return None
    return Budget(Governor(limits, state), Valuer(load_gate(model / "gate.json", len(task.labels)), task))
