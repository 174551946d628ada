"""The picture of a scenario: escalations, accuracy and the certified bound over the bakes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edge.demo.scenario.diary import Moment
from edge.demo.scenario.figures import Judged, moving
from shared.errors import BadInputError, MissingPartError

WINDOW = 80  # bakes
COLOURS = {"escalated": "#b5452c", "edge": "#2c6fb5", "cascade": "#2c8f4f", "doubted": "#d79b7a"}
SHOWN = {"shift": "shift", "alarm": "alarm", "learning": "learning", "shadow": "shadow", "promoted": "promoted"}


class Bound(NamedTuple):
    """A certificate in force: from one bake to another, what it bounds a label's missed share by."""

    first: int
    last: int
    label: str
    bound: float
    alpha: float


def draw(judged: Sequence[Judged], moments: Sequence[Moment], bounds: Sequence[Bound], title: str, path: Path) -> None:
    """Write the PNG. Raises MissingPartError without matplotlib, BadInputError when it cannot be written."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPartError("the plot needs matplotlib: pip install 'crustwatch[learn]'") from None
    figure = Figure(figsize=(11, 9), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    for axis, rows in (
        (top, {"escalated": [row.escalated for row in judged], "doubted": [row.doubted for row in judged]}),
        (middle, {"edge": [row.edge_right for row in judged], "cascade": [row.right for row in judged]}),
    ):
        for name, values in rows.items():
            places, shares = moving(values, WINDOW)
            axis.fill_between(
                places, [s.low for s in shares], [s.high for s in shares], color=COLOURS[name], alpha=0.15, linewidth=0
            )
            axis.plot(places, [s.share for s in shares], color=COLOURS[name], label=LEGEND[name])
        axis.set_ylim(0, 1.02)
        axis.legend(loc="lower right", fontsize=8)
        axis.grid(alpha=0.2)
    top.set_ylabel("share of bakes")
    middle.set_ylabel("accuracy")
    for number, label in enumerate(sorted({bound.label for bound in bounds})):
        for part in (bound for bound in bounds if bound.label == label):
            # Dashes of different lengths, for the bounds of two labels are often the same number.
            style = {"color": f"C{number}", "linewidth": 2.5 - number, "linestyle": "-" if number == 0 else "--"}
            first = part.first == min(bound.first for bound in bounds if bound.label == label)
            words = f"{label}: certified bound" if first else None
            bottom.plot([part.first, part.last], [part.bound] * 2, label=words, **style)
    for alpha in sorted({bound.alpha for bound in bounds}):
        bottom.axhline(alpha, color="black", linestyle=":", linewidth=1, label=f"promised, {alpha:g}")
    bottom.set_ylabel("critical bakes that pass\nas something else")
    bottom.set_xlabel("bake")
    bottom.set_ylim(0, 1.3 * max((bound.alpha for bound in bounds), default=0.1))
    if bounds:
        bottom.legend(loc="lower right", fontsize=8)
    bottom.grid(alpha=0.2)
    for moment in moments:
        if moment.what not in SHOWN:
            continue
        for axis in (top, middle, bottom):
            axis.axvline(moment.bake, color="grey", linewidth=1, linestyle="--")
        top.annotate(
            SHOWN[moment.what],
            (moment.bake, 1.02),
            xytext=(2, 2),
            textcoords="offset points",
            fontsize=8,
            rotation=35,
            annotation_clip=False,
        )
    figure.suptitle(f"{title}; shares over the last {WINDOW} bakes with 95 % intervals", fontsize=10)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise BadInputError(f"{path}: the plot cannot be written: {error.strerror}") from None


LEGEND = {
    "escalated": "escalated to the cloud",
    "doubted": "unsure or unfamiliar at the edge",
    "edge": "edge alone",
    "cascade": "edge and cloud",
}
