"""The plots of a report, as SVG text: how risk grows with coverage, and how far probabilities can be believed."""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge.learning.evaluation import Bin
from shared.intervals import wilson

POINTS = 200  # of a curve, at most


def risk_coverage_chart(curve: NDArray[np.float64], aurc: float, escalated: float) -> str:
    """Error among the most confident items (float64 [N], by count) with its 95 % band; a line where the gate stands."""
    figure, axes = _figure()
    counts = np.unique(np.linspace(1, len(curve), min(POINTS, len(curve))).astype(int))  # [P]
    coverage, risk = counts / len(curve), curve[counts - 1]  # [P], [P]
    bands = [wilson(round(share * n), int(n)) for share, n in zip(risk, counts, strict=True)]
    axes.fill_between(coverage, [b.low for b in bands], [b.high for b in bands], alpha=0.2, label="95 % interval")
    axes.plot(coverage, risk, label=f"error, AURC {aurc:.4f}")
    axes.axvline(1 - escalated, color="tab:green", linewidth=0.8, label="answered at the gate's thresholds")
    axes.set(xlabel="coverage: share of the items answered", ylabel="error among them", xlim=(0, 1), ylim=(0, None))
    return _svg(figure, axes)


def calibration_chart(bins: list[Bin], error: float) -> str:
    """Accuracy against the winning label's probability, bin by bin, with 95 % intervals."""
    figure, axes = _figure()
    axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=0.8, label="as said")
    shares = [wilson(b.correct, b.n) for b in bins]
    axes.errorbar(
        [b.probability for b in bins],
        [s.share for s in shares],
        yerr=[[s.share - s.low for s in shares], [s.high - s.share for s in shares]],
        fmt="o",
        elinewidth=0.8,
        label=f"bins, expected calibration error {error:.4f}",
    )
    axes.set(xlabel="probability of the label", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    return _svg(figure, axes)


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6, 4), layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Figure, axes: Axes) -> str:
    """The same text for the same data: no date, and names of parts that do not change."""
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "crustwatch", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return text.getvalue().partition("<svg")[2].join(("<svg", ""))
