"""The picture of a search: accuracy against emulated milliseconds."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from edge.learning.search import Search


def draw(found: Search, title: str, path: Path) -> None:
    """Write a PNG: each trained network with its 95 % interval, the frontier, the limit and the choice."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for one in found.trained:
        share, chosen = one.held_out_accuracy, one.candidate.shape == found.chosen
        axes.errorbar(
            one.row.ms,
            share.share,
            yerr=[[share.share - share.low], [share.high - share.share]],
            fmt="o",
            color="tab:red" if chosen else "tab:blue",
            elinewidth=0.8,
        )
        axes.annotate(
            one.candidate.shape, (one.row.ms, share.share), xytext=(4, 4), textcoords="offset points", fontsize=7
        )
    best = [one for one in found.trained if one.candidate.shape in found.frontier]
    best.sort(key=lambda one: one.row.ms)
    axes.plot(
        [one.row.ms for one in best],
        [one.held_out_accuracy.share for one in best],
        "--",
        color="grey",
        label="frontier",
    )
    axes.axvline(found.limit_ms, color="tab:green", linewidth=0.8, label=f"limit {found.limit_ms:g} ms")
    axes.set(xlabel="emulated ms, one core at 125 MHz", ylabel="accuracy on held-out items, 95 % interval", title=title)
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
