"""What a scenario says in the end: the table of its phases, the picture, and one object for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from edge.certification.certificate import Certificate
from edge.demo.observer import Observer
from edge.demo.scenario.diary import Diary
from edge.demo.scenario.figures import judge, phase_figures, share_words
from edge.demo.scenario.plan import Plan
from edge.demo.scenario.plot import Bound, draw
from shared.messages import ShadowStats

SHOWN = ("escalated", "doubted", "edge_accuracy", "cascade_accuracy")
HEADINGS = ("phase", "bakes", "escalated", "unsure or unfamiliar", "edge alone right", "edge and cloud right")


@dataclass(slots=True)
class Trial:
    """What became of the challenger, and which certificates were in force when."""

    learnt: dict[str, Any] = field(default_factory=dict)
    shadow: ShadowStats | None = None
    promoted: bool = False
    why: str = "the shift was not learnt from"
    device: str | None = None  # of the promoted model
    bounds: list[Bound] = field(default_factory=list)

    def was_in_force(self, promise: Certificate, first: int, last: int) -> None:
        """A certificate stood from one bake to another."""
        self.bounds += [Bound(first, last, part.label, part.bound, part.alpha) for part in promise.promises]


def outcome_of(
    plan: Plan, trial: Trial, diary: Diary, observer: Observer, critical: Sequence[str], plot: Path
) -> dict[str, Any]:
    """The object of `--json`; draws the picture. Raises BadInputError when that cannot be written."""
    judged = judge(observer, diary, critical)
    title = f"rendered bakes of seed {plan.seed}, {plan.shift}"
    draw(judged, diary.moments, trial.bounds, title, plot)
    seen = {bake.first.bake for bake in observer.bakes.values() if bake.final is not None}
    return {
        "scenario": plan.shift,
        "seed": plan.seed,
        "data": "rendered",
        "bakes": diary.count,
        "lost": sum(name not in seen for name in diary.names),
        "duplicates": observer.duplicates,
        "phases": phase_figures(judged, critical),
        "moments": [moment._asdict() for moment in diary.moments],
        "certified": [bound._asdict() for bound in trial.bounds],
        "promoted": trial.promoted,
        "why": trial.why,
        "promoted_device": trial.device,
        "learnt": trial.learnt,
        "shadow": msgspec.to_builtins(trial.shadow),
        "plot": str(plot),
    }


def table_of(outcome: dict[str, Any]) -> Table:
    """The phases for people."""
    title = f"{outcome['scenario']}, rendered bakes of seed {outcome['seed']}: shares with 95 % intervals"
    table = Table(title=title)
    for heading in HEADINGS:
        table.add_column(heading)
    for row in outcome["phases"]:
        table.add_row(row["phase"], str(row["bakes"]), *(share_words(row[name]) for name in SHOWN))
    return table
