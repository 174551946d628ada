"""The ablation table: one row a training run, from what the runs and their evaluations wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloud.charts import Bar, bar_chart
from shared.errors import BadInputError

CARD, SUMMARY = "card.json", "bakes.summary.json"
COLUMNS = ("run", "geometry", "pairs", "frames", "pre-train", "seed", "minutes", "clips seen")
SHARES = ("doneness", "doneness_one_frame", "hour_within_one", "direction_within_30", "char_place")
ERRORS = ("burnt_error_charred", "evenness_error", "crust_error_mm", "blister_error_mm")


def read_run(folder: Path) -> dict[str, Any]:
    """A row. Raises BadInputError, with the command that is missing, for a folder that lacks a file."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        plan = card["plan"]
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        values = {name: summary[name] for name in (*SHARES, *ERRORS)}
    except FileNotFoundError as error:
        command = f"crustwatch cloud eval bakes --model {folder} --out {folder}/bakes.jsonl"
        raise BadInputError(
            f"{error.filename} does not exist: an ablation is a run with its evaluation: `{command}`"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{folder}: no training run with an evaluation: {error!r}") from None
    shown = plan.get("frames", 8)
    settings = {
        "run": folder.name,
        "geometry": "on" if plan.get("geometry", True) else "off",
        "pairs": plan["sizes"]["spatial_depth"],
        "frames": shown,
        "pre-train": plan.get("pretrain", 0.0),
        "seed": plan["seed"],
        "minutes": card["minutes"],
        "clips seen": card["clips_seen"],
    }
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
        Bar(f"{row['run']}: {name.replace('_', ' ')}", *(row[name][part] for part in ("share", "low", "high")))
        for row in rows
        for name in ("doneness", "direction_within_30")
    ]
    return bar_chart(f"{rows[0]['doneness']['n']} rendered bakes, 95 % intervals", bars)
