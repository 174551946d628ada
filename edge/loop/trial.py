"""What a challenger's trial in shadow has shown: the same bakes, judged by both, and the cloud's word on some."""

from __future__ import annotations

from typing import Any, NamedTuple

from edge.loop.paired import sign_test
from edge.loop.rows import ShadowRow
from shared.errors import BadInputError

SMALLEST_TRIAL = 50  # bakes that both judged
WORSE_P = 0.05


class Trial(NamedTuple):
    """Counts of bakes, of one challenger beside one champion."""

    bakes: int
    agreed: int  # the same label
    champion_escalated: int
    would_escalate: int  # the challenger
    resolved: int  # they disagree, and the cloud's word is known
    challenger_right: int
    champion_right: int
    p: float  # two-sided, that either is as often right where they disagree

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {**self._asdict(), "p": float(f"{self.p:.4g}")}


def trial_of(rows: list[ShadowRow], champion: str, challenger: str) -> Trial:
    """The trial of the model with SHA-256 `challenger` beside `champion`. The last row of a bake counts."""
    import numpy as np

    own = {row.id: row for row in rows if (row.champion_model, row.challenger_model) == (champion, challenger)}
    bakes = list(own.values())
    apart = [row for row in bakes if row.champion_label != row.challenger_label and row.cloud_label is not None]
    right = sum(row.challenger_label == row.cloud_label for row in apart)
    other = sum(row.champion_label == row.cloud_label for row in apart)
    return Trial(
        len(bakes),
        sum(row.champion_label == row.challenger_label for row in bakes),
        sum(row.champion_decision != "sure" for row in bakes),
        sum(row.challenger_decision != "sure" for row in bakes),
        len(apart),
        right,
        other,
        sign_test(np.array([1] * right + [-1] * other, np.int64), np.ones(right + other)),
    )


def check_trial(trial: Trial) -> None:
    """Raise BadInputError when the trial says too little, or speaks against the challenger."""
    if trial.bakes < SMALLEST_TRIAL:
        raise BadInputError(
            f"the challenger was tried on {trial.bakes} bakes: at least {SMALLEST_TRIAL} in shadow"
            " (crustwatch edge run --registry ... --store ...), or promote --without-trial"
        )
    if trial.champion_right > trial.challenger_right and trial.p < WORSE_P:
        raise BadInputError(
            f"the trial speaks against the challenger: of {trial.resolved} disagreements the cloud sided"
            f" {trial.champion_right} times with the champion and {trial.challenger_right} with it; drop it"
        )
