"""The ablation table: a row for each evaluation of a training run, from what the runs and their evaluations wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloud.charts import Bar, bar_chart
from shared.bakery import FRAME_COUNT
from shared.errors import BadInputError

CARD, SUMMARY, SUMMARIES = "card.json", "bakes.summary.json", "bakes*.summary.json"
COLUMNS = ("run", "geometry", "pairs", "frames", "sampling", "pre-train", "seed", "minutes", "clips seen")
SHARES = ("doneness", "doneness_one_frame", "hour_within_one", "direction_within_30", "char_place")
ERRORS = ("burnt_error_charred", "evenness_error", "crust_error_mm", "blister_error_mm")


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """A row for every evaluation of a run: `bakes.summary.json`, `bakes-even-4.summary.json` and so on.

    Raises BadInputError, with the command that is missing, for a folder without one.
    """
    if not (found := sorted(folder.glob(SUMMARIES))):
        command = f"crustwatch cloud eval bakes --model {folder} --out {folder}/bakes.jsonl"
        raise BadInputError(f"{folder / SUMMARY} does not exist: an ablation is a run with its evaluation: `{command}`")
    return [_row(folder, path) for path in found]


def _row(folder: Path, path: Path) -> dict[str, Any]:
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        plan = card["plan"]
        summary = json.loads(path.read_text(encoding="utf-8"))
        values = {name: summary[name] for name in (*SHARES, *ERRORS)}
        settings = {
            "run": folder.name,
            "geometry": "on" if plan.get("geometry", True) else "off",
            "pairs": plan["sizes"]["spatial_depth"],
            "frames": min(summary["frames"], plan.get("frames", FRAME_COUNT)),
            "sampling": summary["sampling"],
            "pre-train": plan.get("pretrain", 0.0),
            "seed": plan["seed"],
            "minutes": card["minutes"],
            "clips seen": card["clips_seen"],
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInputError(f"{path}: no evaluation of a training run: {error!r}") from None
    return {**settings, **values, "evaluated on seed": summary["seed"]}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown; shares with their 95 % interval. Raises BadInputError for runs judged on other bakes."""
    if len({(row["evaluated on seed"], row["doneness"]["n"]) for row in rows}) != 1:
        raise BadInputError("the runs were evaluated on different bakes: use one --seed and --count for all")
    head = [*COLUMNS, *(name.replace("_", " ") for name in (*SHARES, *ERRORS))]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        shares = [f"{row[name]['share']:.3f} [{row[name]['low']:.3f}, {row[name]['high']:.3f}]" for name in SHARES]
        cells = [str(row[name]) for name in COLUMNS] + shares + [str(row[name]) for name in ERRORS]
        lines.append("| " + " | ".join(cells) + " |")
    n = rows[0]["doneness"]["n"]
    return f"{n} rendered bakes of seed {rows[0]['evaluated on seed']}, 95 % intervals\n\n" + "\n".join(lines) + "\n"


def chart(rows: Sequence[dict[str, Any]]) -> str:
    """Bars of doneness and direction, an SVG."""
    bars = [
        Bar(
            f"{row['run']}, {row['frames']} frames: {name.replace('_', ' ')}",
            *(row[name][part] for part in ("share", "low", "high")),
        )
        for row in rows
        for name in ("doneness", "direction_within_30")
    ]
    return bar_chart(f"{rows[0]['doneness']['n']} rendered bakes, 95 % intervals", bars)
