"""What `crustwatch edge levers` and `edge search` do: set up, run, and print for people or machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edge.learning.commands import parts_for, require_torch
from edge.learning.progress import TerminalReporter
from edge.learning.settings import Settings, settings_for
from shared.atomic_file import replace_file
from shared.errors import MissingPartError
from shared.output_folder import output_file, output_folder
from shared.task import load_task


def changed(task: str, changes: Mapping[str, Any]) -> Settings:
    """The task's settings with the changes that are not None."""
    return dataclasses.replace(
        settings_for(task), **{name: value for name, value in changes.items() if value is not None}
    )


def run_levers(
    out: Path,
    task_name: str,
    changes: Mapping[str, Any],
    *,
    data: str | None,
    cache: Path | None,
    processes: int,
    as_json: bool,
) -> None:
    """Train under each lever and print the table. Raises as `measure_levers`, and MissingPartError without torch."""
    require_torch()
    from edge.learning.lever_table import measure_levers, table

    settings, task = changed(task_name, changes), load_task(task_name)
    output_folder(out)
    with TerminalReporter() as reporter:
        parts = parts_for(task, settings, data, cache, processes, reporter)
        rows = measure_levers(settings, task, parts, out, reporter=reporter)
    if as_json:
        print(msgspec.json.encode({"data": parts.test.source, "rows": rows}).decode())  # noqa: T201
        return
    what = "rendered bakes" if parts.test.source == "rendered" else f"photographs of {parts.test.source}"
    print(f"{len(parts.test.labels)} {what} of seed {parts.test.seed}; milliseconds emulated at 125 MHz")  # noqa: T201
    print("\n".join(table(rows)))  # noqa: T201


def run_search(
    out: Path,
    task_name: str,
    changes: Mapping[str, Any],
    *,
    sample: int,
    train: int,
    limit_ms: float,
    seed: int,
    plot: Path | None,
    data: str | None,
    cache: Path | None,
    processes: int,
    as_json: bool,
) -> None:
    """Search, write search.json and the plot, and print the frontier. Raises as `search`, MissingPartError."""
    require_torch()
    try:
        from edge.learning.frontier_plot import draw
    except ImportError as error:
        raise MissingPartError(f"the plot needs {error.name}: pip install 'crustwatch[learn]'") from None
    from edge.learning.lever_table import table
    from edge.learning.search import Plan, Search, search

    settings, task = changed(task_name, changes), load_task(task_name)
    output_folder(out)
    picture = output_file(plot or out / "frontier.png")
    plan = Plan(sample, train, limit_ms, seed)
    with TerminalReporter() as reporter:
        parts = parts_for(task, settings, data, cache, processes, reporter)
        what = "rendered bakes" if parts.test.source == "rendered" else f"photographs of {parts.test.source}"

        def keep(so_far: Search) -> None:
            replace_file(out / "search.json", msgspec.json.format(msgspec.json.encode(so_far)) + b"\n")
            draw(so_far, f"{task.title}: {len(parts.held_out.labels)} held-out {what}", picture)

        found = search(plan, settings, task, parts, out, reporter=reporter, after_training=keep)
    if as_json:
        print(msgspec.json.encode(found).decode())  # noqa: T201
        return
    ranks = dict.fromkeys(found.frontier, "frontier") | ({found.chosen: "chosen"} if found.chosen else {})
    print(  # noqa: T201
        f"{len(found.priced)} networks priced, {len(found.trained)} trained; accuracy on {len(parts.test.labels)} "
        f"{what} of seed {parts.test.seed}, milliseconds emulated"
    )
    head, *lines = table([one.row for one in found.trained])
    print(f"{head}  held out")  # noqa: T201
    for one, line in zip(found.trained, lines, strict=True):
        print(f"{line}  {one.held_out_accuracy.share:.3f} {ranks.get(one.candidate.shape, '')}".rstrip())  # noqa: T201
