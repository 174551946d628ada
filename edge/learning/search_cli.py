"""`crustwatch edge levers` and `crustwatch edge search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.learning.options import AsJson, Cache, Data, Processes, TaskName

app = typer.Typer(add_completion=False)

Bakes = Annotated[int | None, typer.Option(help="Bakes to train on; default: as the shipped model.", min=50)]
Checks = Annotated[int | None, typer.Option(help="Bakes for the gate, and for the test; default: 1,000 each.", min=10)]
Shape = Annotated[
    str | None, typer.Option(help="Network: small, large, or channels such as 8,8,16/2,16; default: the task's.")
]


@app.command()
def levers(
    out: Annotated[Path, typer.Option(help="Folder for the models; a run there goes on where it stopped.")],
    task: TaskName = "pizza",
    bakes: Bakes = None,
    checks: Checks = None,
    epochs: Annotated[int | None, typer.Option(help="Of the float network; default: the task's.", min=1)] = None,
    fine_tune_epochs: Annotated[
        int,
        typer.Option(help="On the int8 grids under each lever; three times as many where weights are pruned.", min=1),
    ] = 3,
    shape: Shape = None,
    data: Data = None,
    cache: Cache = None,
    processes: Processes = 1,
    json: AsJson = False,
) -> None:
    """What each lever of training buys in emulated milliseconds and costs in accuracy: trains and prints the table.

    Levers hold the weights to what the firmware compiler does cheaply: requantisation multipliers of 8 bits, weights up
    to 31, zeros shared by pairs of output channels.

    Example: crustwatch edge levers --out build/levers
    """
    from edge.learning.search_commands import run_levers

    changes = {
        "train_bakes": bakes,
        "held_out_bakes": checks,
        "test_bakes": checks,
        "epochs": epochs,
        "fine_tune_epochs": fine_tune_epochs,
        "shape": shape,
    }
    run_levers(out, task, changes, data=data, cache=cache, processes=processes, as_json=json)


@app.command()
def search(
    out: Annotated[Path, typer.Option(help="Folder for models and search.json; a run there goes on where it stopped.")],
    task: TaskName = "pizza",
    sample: Annotated[int, typer.Option(help="Networks to price by the compiler's cycle model.", min=1)] = 60,
    train: Annotated[int, typer.Option(help="Of them, networks to train.", min=1)] = 8,
    limit_ms: Annotated[float, typer.Option(help="What the chosen one may take, one core at 125 MHz.")] = 8.0,
    seed: Annotated[int, typer.Option(help="Of the draw of networks.", min=0)] = 1,
    bakes: Bakes = None,
    checks: Checks = None,
    epochs: Annotated[int, typer.Option(help="Of each float network.", min=1)] = 6,
    fine_tune_epochs: Annotated[int, typer.Option(help="On the int8 grids, under the levers.", min=0)] = 2,
    multiplier_bits: Annotated[
        int | None, typer.Option(help="Lever: bits of requantisation multipliers, 0 for any; default: the task's.")
    ] = None,
    weight_bound: Annotated[int | None, typer.Option(help="Lever: largest weight; default: the task's.")] = None,
    pair_zeros: Annotated[
        float | None,
        typer.Option(help="Lever: share of weights zero for both channels of a pair; default: the task's."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write the frontier here, a PNG; default: OUT/frontier.png.")
    ] = None,
    data: Data = None,
    cache: Cache = None,
    processes: Processes = 1,
    json: AsJson = False,
) -> None:
    """Search networks by the compiler's cycle model: accuracy against milliseconds, and a default chosen from it.

    Example: crustwatch edge search --task pizza --out build/search --train 8 --epochs 6
    """
    from edge.learning.search_commands import run_search

    changes = {
        "train_bakes": bakes,
        "held_out_bakes": checks,
        "test_bakes": checks,
        "epochs": epochs,
        "fine_tune_epochs": fine_tune_epochs,
        "multiplier_bits": multiplier_bits,
        "weight_bound": weight_bound,
        "pair_zeros": pair_zeros,
    }
    run_search(
        out,
        task,
        changes,
        sample=sample,
        train=train,
        limit_ms=limit_ms,
        seed=seed,
        plot=plot,
        data=data,
        cache=cache,
        processes=processes,
        as_json=json,
    )
