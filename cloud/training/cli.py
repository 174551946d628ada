"""`crustwatch cloud train`: the small default from nothing, heads for it, or a checkpoint tuned further."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cloud.training.options import SmallOptions
from cloud.tuning.options import TuningOptions
from shared.option_groups import grouped

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command()
@grouped
def train(
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint; also keeps the run's state.")],
    small: SmallOptions,
    tuning: TuningOptions,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run in --out.")] = False,
    model: Annotated[
        str | None, typer.Option(help="Tune this: a folder in the published layout, a hub id, or pizza-small.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="features or light: train the head of this engine for --model, into OUT/heads."),
    ] = None,
    heads: Annotated[
        bool,
        typer.Option("--heads", help="Add VGGT's camera, depth and point head to --model, which stays as it is."),
    ] = False,
    clips: Annotated[int, typer.Option(min=1, help="Rendered clips; for the small default a multiple of 64.")] = 8192,
    seed: Annotated[int | None, typer.Option(help="Of first weights and order; default: the recipe's.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the training.")] = 1,
    steps: Annotated[int | None, typer.Option(min=1, help="End after so many steps, whatever they take.")] = None,
) -> None:
    """Train the small Spatial-MLLM checkpoint or a head on rendered clips, or tune any checkpoint on your own videos.

    A run that was interrupted or killed goes on with --resume; loss curves are in OUT/tensorboard. Examples:

    crustwatch cloud train --out runs/first --minutes 95

    crustwatch cloud train --start runs/first --pixels 33600 --clips 20480 --minutes 75 --out runs/pizza-small

    crustwatch cloud train --engine features --minutes 5 --clips 2048 --out runs/pizza-small

    crustwatch cloud train --heads --minutes 10 --model runs/pizza-small --out runs/pizza-small

    crustwatch cloud train --model FOLDER --data rooms.jsonl --lora --device cuda --dtype bfloat16 --out runs/rooms
    """
    from cloud.training.ignored import refuse_ignored
    from shared.errors import MissingPartError

    refuse_ignored(small, tuning, model=model, engine=engine, heads=heads, resume=resume)
    try:
        if engine is not None:
            from cloud.readout.commands import run_readout

            run_readout(model or "pizza-small", engine, out, small, clips, seed or 0, threads, steps)
            return
        if heads:
            from cloud.training.head_commands import run_heads

            run_heads(model or "pizza-small", out, small, clips, seed or 0, threads, steps)
            return
        if model is not None:
            from cloud.tuning.commands import run_tuning

            run_tuning(model, tuning, out, resume=resume, clips=clips, seed=seed, threads=threads, steps=steps)
            return
        from cloud.training.commands import run_training
        from cloud.training.run import Limits

        limits = Limits(minutes=None if steps else small.minutes, steps=steps)
        run_training(out, small.plan(clips, seed), limits, resume, small.cache, threads, small.renderers)
    except ModuleNotFoundError as error:
        raise MissingPartError(f"{error.name} is missing: pip install 'crustwatch[train]'") from error
