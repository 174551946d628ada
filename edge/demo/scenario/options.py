"""What a scenario was asked for, and whether this machine has what it takes, before ten minutes are spent on it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from edge.budget import Limits
from edge.demo.scenario.plan import Plan
from shared.errors import BadInputError, MissingPartError

NEEDED = ("pyarrow", "torch", "matplotlib")  # by the store, by learning, by the picture at the end


@dataclass(frozen=True, slots=True)
class ScenarioOptions:
    """What was asked for, as typed."""

    plan: Plan
    json: bool
    device: str
    model: Path | None
    checkpoint: str
    broker: str
    folder: Path | None
    plot: Path | None
    limits: Limits


def check_parts(plot: Path | None) -> None:
    """Raise MissingPartError for a missing package, BadInputError for a picture that could not be written."""
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            raise MissingPartError(f"a scenario needs {name}: pip install 'crustwatch[learn]'")
    if plot is not None and (plot.is_dir() or not plot.absolute().parent.is_dir()):
        raise BadInputError(f"--plot {plot}: name a PNG file in a folder that exists")
