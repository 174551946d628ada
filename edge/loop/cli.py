"""`crustwatch edge review`, `learn`, `models`, `promote` and `rollback`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)

StoreFolder = Annotated[Path, typer.Option("--store", help="Store of a gateway: its --store.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@app.command()
def review(
    store: StoreFolder,
    bake: Annotated[str | None, typer.Argument(metavar="[ID]", help="A bake's id, or its beginning.")] = None,
    label: Annotated[str | None, typer.Argument(metavar="[LABEL]", help="What it is, by a person's eye.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show what waits, least certain first.")] = False,
    count: Annotated[int, typer.Option(help="How many to show.", min=1, max=1000)] = 24,
    sheet: Annotated[Path | None, typer.Option(help="Draw what is shown on a contact sheet (PNG).")] = None,
    who: Annotated[str, typer.Option(help="Who says so.")] = "reviewer",
    json: AsJson = False,
) -> None:
    """Say what a stored bake is; a person's word counts over the cloud's.

    Example: crustwatch edge review --store bakes-store --list --sheet waiting.png

    Example: crustwatch edge review --store bakes-store 3f2a burnt
    """
    from edge.loop.review import run_list, run_review
    from shared.errors import BadInputError

    if bake is not None and label is not None:
        run_review(store, bake, label, who, json)
    elif bake is None and (listed or sheet is not None):
        run_list(store, count, sheet, json)
    else:
        raise BadInputError("review takes a bake's id and its label, or --list")
