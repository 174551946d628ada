"""`crustwatch edge compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def compare(
    task: Annotated[str, typer.Option(help="Name of a task, or path of its .toml file.")] = "pizza",
    model: Annotated[Path | None, typer.Option(help="Folder of the model; default: the shipped one.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Photographs: a folder with a sub-folder a label, a .csv table, or elpv; default: the task's."
        ),
    ] = None,
    split_seed: Annotated[
        int | None, typer.Option(help="Leave the training part of this split out; default: as trained.", min=0)
    ] = None,
    bakes: Annotated[int, typer.Option(help="Rendered bakes of each part.", min=200)] = 4000,
    cascade: Annotated[
        Path | None, typer.Option(help="Answers of `crustwatch cloud eval bakes --out FILE`: edge and cloud together.")
    ] = None,
    at_most: Annotated[float, typer.Option(help="With --cascade: the share that may be escalated.")] = 0.3,
    cache: Annotated[Path | None, typer.Option(help="Where rendered frames are kept.")] = None,
    processes: Annotated[int, typer.Option(help="Processes that render frames.", min=1)] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Our gate against fixed thresholds, cross-entropy, IBT, margin, entropy and chance, on the same logits.

    Example: crustwatch edge compare --bakes 4000

    Example: crustwatch edge compare --task elpv

    Example: crustwatch edge compare --cascade answers.jsonl --at-most 0.3
    """
    if cascade is not None:
        from edge.comparison.commands import run_cascade

        run_cascade(model, task, cascade, at_most, bakes, cache, json)
        return
    from edge.comparison.commands import run_comparison

    run_comparison(model, task, data, split_seed, bakes, cache, processes, json)
