"""`burnt=0.01,raw=0.02`: promises as typed, checked against the task."""

from __future__ import annotations

from shared.errors import BadInputError
from shared.task import Task


def parse_promises(text: str, task: Task) -> dict[int, float]:
    """Miss rates by label index. Raises BadInputError for anything but LABEL=RATE with a rate within (0, 1)."""
    alphas: dict[int, float] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        try:
            rate = float(value)
        except ValueError:
            rate = -1.0
        if not equals or not 0 < rate < 1:
            raise BadInputError(f"--alpha takes LABEL=RATE with rates over 0 and below 1, not {part.strip()!r}")
        label = task.index(name.strip())
        if label in alphas:
            raise BadInputError(f"--alpha names {name.strip()} twice")
        alphas[label] = rate
    return alphas


def default_promises(task: Task) -> str:
    """One per cent for each critical label."""
    return ",".join(f"{name}=0.01" for name in task.critical)
