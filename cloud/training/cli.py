"""`crustwatch cloud train`: the small default from nothing, or a checkpoint tuned further."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cloud.option_groups import grouped
from cloud.tuning.options import TuningOptions

app = typer.Typer(no_args_is_help=True, add_completion=False)

_SMALL = "The small default, from nothing"


@app.command()
@grouped
def train(
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint; also keeps the run's state.")],
    tuning: TuningOptions,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run in --out.")] = False,
    model: Annotated[
        str | None, typer.Option(help="Tune this: a folder in the published layout, a hub id, or pizza-small.")
    ] = None,
    clips: Annotated[int, typer.Option(min=1, help="Rendered clips; for the small default a multiple of 64.")] = 8192,
    seed: Annotated[int | None, typer.Option(help="Of first weights and order; default the recipe's.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the training.")] = 1,
    minutes: Annotated[
        float, typer.Option(min=0.05, help="Minutes of work, rendering included.", rich_help_panel=_SMALL)
    ] = 60.0,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder for rendered clips; default ~/.cache/crustwatch/clips.", rich_help_panel=_SMALL),
    ] = None,
    renderers: Annotated[int, typer.Option(min=1, help="Rendering processes beside it.", rich_help_panel=_SMALL)] = 1,
) -> None:
    """Train the small Spatial-MLLM checkpoint on rendered clips, or tune any checkpoint on your own videos.

    A run that was interrupted or killed goes on with --resume; loss curves are in OUT/tensorboard. Examples:

    crustwatch cloud train --out runs/pizza-small --minutes 60

    crustwatch cloud train --model FOLDER --data rooms.jsonl --lora --device cuda --dtype bfloat16 --out runs/rooms
    """
    from shared.errors import MissingPartError

    try:
        if model is not None:
            from cloud.tuning.commands import run_tuning

            run_tuning(model, tuning, out, resume=resume, clips=clips, seed=seed, threads=threads)
            return
        from cloud.training.commands import run_training

        run_training(out, minutes, resume, clips, cache, threads, renderers)
    except ModuleNotFoundError as error:
        raise MissingPartError(f"{error.name} is missing: pip install 'crustwatch[train]'") from error
