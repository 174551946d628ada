"""`crustwatch edge review`, `learn`, `models`, `promote` and `rollback`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from edge.learning.options import AsJson, Cache, Processes, SigningKey

app = typer.Typer(add_completion=False)

StoreFolder = Annotated[Path, typer.Option("--store", help="Store of a gateway: its --store.")]


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


RegistryFolder = Annotated[Path, typer.Option("--registry", help="Registry of the line's models.")]
Why = Annotated[str, typer.Option(help="Goes into the history.")]


@app.command()
def learn(
    store: StoreFolder,
    registry: Annotated[
        Path | None, typer.Option(help="Its champion learns on; an accepted challenger goes on trial there.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of the model that learns on; default: the champion, or the shipped one.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the challenger and its checkpoints.")] = Path("challenger"),
    task: Annotated[
        str | None, typer.Option(help="Name of a task, or path of its .toml file; default: the store's.")
    ] = None,
    alpha: Annotated[
        str | None, typer.Option(help="LABEL=RATE,...: promises; default: those of the model's certificate, or 0.01.")
    ] = None,
    delta: Annotated[float, typer.Option(help="The promise may fail for this share of samples.")] = 0.05,
    epochs: Annotated[int, typer.Option(help="Over lessons and what is replayed.", min=1)] = 8,
    learning_rate: Annotated[float, typer.Option(help="Peak of AdamW.", min=0.0)] = 4e-3,
    seed: Annotated[int, typer.Option(help="Of order, augmentation and dropout.", min=0)] = 1,
    replay: Annotated[int, typer.Option(help="Bakes of the task's own data to remember by.", min=0)] = 1000,
    trusted: Annotated[
        int, typer.Option(help="Bakes with certain labels that it must not get worse on; 0: no such check.", min=0)
    ] = 400,
    most_forgotten: Annotated[float, typer.Option(help="Accuracy that may be lost on them.", min=0, max=1)] = 0.1,
    since: Annotated[datetime | None, typer.Option(help="Learn from bakes since then (UTC).")] = None,
    days: Annotated[int, typer.Option(help="Days until the certificate expires.", min=1)] = 90,
    data: Annotated[str | None, typer.Option(help="Photographs to remember by: as for edge train.")] = None,
    key: SigningKey = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoints in the folder.")] = False,
    cache: Cache = None,
    processes: Processes = 1,
    json: AsJson = False,
) -> None:
    """Retrain from a store, certify the result, and compare it with the champion on held-out bakes.

    Example: crustwatch edge learn --store bakes-store --registry models --alpha burnt=0.05,raw=0.05

    Example: crustwatch edge learn --store bakes-store --out challenger --json
    """
    from edge.loop.commands import run_learn

    run_learn(
        store=store,
        registry=registry,
        model=model,
        out=out,
        task_name=task,
        alpha=alpha,
        delta=delta,
        settings={
            "epochs": epochs,
            "learning_rate": learning_rate,
            "seed": seed,
            "replay": replay,
            "trusted": trusted,
            "most_forgotten": most_forgotten,
            "days": days,
            "data": data,
            "cache": cache,
            "processes": processes,
        },
        since=since,
        key=key,
        resume=resume,
        as_json=json,
    )


@app.command()
def models(
    registry: RegistryFolder,
    found: Annotated[Path | None, typer.Option(help="Begin the registry with this model folder as champion.")] = None,
    task: Annotated[str, typer.Option(help="Task of a new registry: its name, or path of its .toml file.")] = "pizza",
    store: Annotated[Path | None, typer.Option(help="Store of a gateway: show the challenger's trial.")] = None,
    json: AsJson = False,
) -> None:
    """Show champion, challenger, those before, and what happened to them.

    Example: crustwatch edge models --registry models --found build/pizza

    Example: crustwatch edge models --registry models --store bakes-store
    """
    from edge.loop.commands import run_models

    run_models(registry, found, task, store, json)


@app.command()
def promote(
    registry: RegistryFolder,
    store: Annotated[Path | None, typer.Option(help="Store with the rows of its trial in shadow.")] = None,
    without_trial: Annotated[bool, typer.Option("--without-trial", help="Do not ask for a trial.")] = False,
    why: Why = "",
    json: AsJson = False,
) -> None:
    """Make the challenger the champion, unless its trial in shadow speaks against it.

    Example: crustwatch edge promote --registry models --store bakes-store
    """
    from edge.loop.commands import run_promote

    run_promote(registry, store, without_trial, why, json)


@app.command()
def drop(registry: RegistryFolder, why: Why = "", json: AsJson = False) -> None:
    """End the challenger's trial; the champion stays.

    Example: crustwatch edge drop --registry models --why "escalates more"
    """
    from edge.loop.commands import run_drop

    run_drop(registry, why, json)


@app.command()
def rollback(registry: RegistryFolder, why: Why = "", json: AsJson = False) -> None:
    """Go back to the champion before.

    Example: crustwatch edge rollback --registry models --why "complaints about burnt crusts"
    """
    from edge.loop.commands import run_rollback

    run_rollback(registry, why, json)
