"""`crustwatch cloud train`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint; also keeps the run's state.")],
    minutes: Annotated[float, typer.Option(min=0.05, help="Minutes of work, rendering included.")] = 60.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run in --out.")] = False,
    clips: Annotated[int, typer.Option(min=64, help="Clips to render, a multiple of 64.")] = 8192,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for rendered clips; default ~/.cache/crustwatch/clips.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the training.")] = 1,
    renderers: Annotated[int, typer.Option(min=1, help="Rendering processes beside it.")] = 1,
) -> None:
    """Train the small Spatial-MLLM checkpoint on rendered clips.

    A run that was interrupted or killed goes on with --resume. Example:

    crustwatch cloud train --out runs/pizza-small --minutes 60
    """
    _commands().run_training(out, minutes, resume, clips, cache, threads, renderers)


def _commands() -> ModuleType:
    """What the commands do; MissingPartError where an extra was not installed."""
    from shared.errors import MissingPartError

    try:
        from cloud.training import commands
    except ModuleNotFoundError as error:
        raise MissingPartError(f"{error.name} is missing: pip install 'crustwatch[all-cpu]'") from error
    return commands
