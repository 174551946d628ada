"""What each lever buys in milliseconds and costs in accuracy: one float network fine-tuned under each, measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from edge.learning.model_folder import CARD, MODEL
from edge.learning.network import topology_of
from edge.learning.parts import Parts
from edge.learning.pipeline import Reporter, train_model
from edge.learning.settings import Settings
from firmware_sim.firmware.measure_model import bench_model
from shared.intervals import Share, wilson
from shared.task import Task

COVERAGE = 0.7  # of the bakes are answered alone: every row escalates the same share


class LeverRow(msgspec.Struct, frozen=True):
    """One model: emulated milliseconds, and on the test bakes accuracy and selective error with 95 % intervals."""

    lever: str
    ms: float  # one core
    ms_two_cores: float
    accuracy: Share
    error_at_70: Share  # of the bakes answered alone when 30 % are escalated
    model: str  # folder


LEVERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("none, quantised after training", {"fine_tune_epochs": 0}),
    ("none", {}),
    ("8-bit multipliers", {"multiplier_bits": 8}),
    ("|w| <= 31", {"weight_bound": 31}),
    ("half of the pairs zero", {"pair_zeros": 0.5}),
    ("all three", {"multiplier_bits": 8, "weight_bound": 31, "pair_zeros": 0.5}),
)
"""Names, and what they change of settings without levers."""
LEVERS_OF_RESIDUALS = (
    *(row for row in LEVERS if "pair_zeros" not in row[1]),
    ("both", {"multiplier_bits": 8, "weight_bound": 31}),
)
"""Of networks of inverted residuals, whose sums hold channels in their places: no pairs."""
PRUNING_EPOCHS = 3  # times those of the others: what is pruned has more to learn again


def settings_with(settings: Settings, changes: dict[str, Any]) -> Settings:
    """Those of a row of LEVERS."""
    found = replace(settings, **{"multiplier_bits": 0, "weight_bound": 127, "pair_zeros": 0.0, **changes})
    return replace(found, fine_tune_epochs=PRUNING_EPOCHS * found.fine_tune_epochs) if found.pair_zeros else found


def levers_for(settings: Settings, task: Task) -> tuple[tuple[str, dict[str, Any]], ...]:
    """The rows that the settings' network can have."""
    topology = topology_of(settings.shape, len(task.labels), task.input.size_px)
    return LEVERS_OF_RESIDUALS if topology.inverted else LEVERS


def measure_levers(
    settings: Settings,
    task: Task,
    parts: Parts,
    out: Path,
    *,
    reporter: Reporter,
    levers: Sequence[tuple[str, dict[str, Any]]] | None = None,
    after_row: Callable[[LeverRow], None] = lambda row: None,
) -> list[LeverRow]:
    """Train the float network once in `out`/float, then a model folder a lever; goes on where it was interrupted.

    `levers`: rows of the table; None: those of `levers_for`.
    Raises BadInputError when `out` belongs to other settings, MissingPartError without the cross compiler.
    """
    rows = []
    for number, (name, changes) in enumerate(levers_for(settings, task) if levers is None else levers):
        row = trained_row(
            name, settings_with(settings, changes), task, parts, out / str(number), out / "float", reporter
        )
        rows.append(row)
        after_row(row)
    return rows


def trained_row(
    name: str, settings: Settings, task: Task, parts: Parts, folder: Path, floats: Path, reporter: Reporter
) -> LeverRow:
    """A model trained into `folder` unless it is there with these settings, and measured on the emulated chip."""
    card = _finished(folder / CARD, settings)
    if card is None:
        card = train_model(
            settings, task, parts, folder, resume=True, reporter=reporter, floats=floats, all_frames=False
        )
    one, two = (bench_model(folder / MODEL, cores=cores).ms for cores in (1, 2))
    report = card["evaluation"]
    accuracy, alone = report["key_frame_accuracy"], round(COVERAGE * report["bakes"])
    return LeverRow(
        lever=name,
        ms=one,
        ms_two_cores=two,
        accuracy=wilson(round(accuracy["share"] * accuracy["n"]), accuracy["n"]),
        error_at_70=wilson(round(report["risk_at_70"] * alone), alone),
        model=str(folder),
    )


def _finished(path: Path, settings: Settings) -> dict[str, Any] | None:
    """The card of a run that ended, if it was one of these settings."""
    try:
        card: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return card if card.get("settings") == settings.as_json() else None


def table(rows: Sequence[LeverRow]) -> list[str]:
    """Lines for people."""
    head = f"{'levers':32} {'ms, 1 / 2 cores':>16}  {'accuracy [95 %]':>24}  {'error, 30 % escalated [95 %]':>30}"
    lines = [head]
    for row in rows:
        one, two = row.accuracy, row.error_at_70
        lines.append(
            f"{row.lever:32} {row.ms:>8.2f} / {row.ms_two_cores:<5.2f}  "
            f"{one.share:>8.3f} [{one.low:.3f}, {one.high:.3f}]  {two.share:>14.3f} [{two.low:.3f}, {two.high:.3f}]"
        )
    return lines
