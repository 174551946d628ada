"""`crustwatch edge compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.learning.judged import Judged
from edge.learning.options import AsJson
from shared.option_groups import grouped

app = typer.Typer(add_completion=False)


@app.command()
@grouped
def compare(
    judged: Judged,
    bakes: Annotated[int, typer.Option(help="Rendered bakes of each part.", min=200)] = 4000,
    cascade: Annotated[
        Path | None, typer.Option(help="Answers of `crustwatch cloud eval bakes --out FILE`: edge and cloud together.")
    ] = None,
    at_most: Annotated[float, typer.Option(help="With --cascade: the share that may be escalated.")] = 0.3,
    json: AsJson = False,
) -> None:
    """Our gate against fixed thresholds, cross-entropy, IBT, margin, entropy and chance, on the same logits.

    Example: crustwatch edge compare --bakes 4000

    Example: crustwatch edge compare --task elpv

    Example: crustwatch edge compare --cascade answers.jsonl --at-most 0.3
    """
    if cascade is not None:
        from edge.comparison.commands import run_cascade

        run_cascade(judged, cascade, at_most, bakes, json)
        return
    from edge.comparison.commands import run_comparison

    run_comparison(judged, bakes, json)
