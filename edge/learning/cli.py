"""`crustwatch edge train` and `crustwatch edge evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)

Cache = Annotated[Path | None, typer.Option(help="Where rendered frames are kept; default: the user's cache folder.")]
Processes = Annotated[int, typer.Option(help="Processes that render frames.", min=1)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
TaskName = Annotated[str, typer.Option(help="Name of a task, or path of its .toml file.")]


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder for model.tflite, model.onnx, gate.json and card.json.")],
    bakes: Annotated[int | None, typer.Option(help="Bakes to train on; default: as the shipped model.", min=50)] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs over all frames; default: as the shipped model.", min=1)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoints in the folder.")] = False,
    task: TaskName = "pizza",
    cache: Cache = None,
    processes: Processes = 1,
    json: AsJson = False,
) -> None:
    """Train the on-device classifier on rendered bakes, quantise it to int8 and fit its gate.

    Example: crustwatch edge train --out build/pizza --resume
    """
    import dataclasses

    from edge.learning.commands import run_training
    from edge.learning.settings import Settings

    changes = {"train_bakes": bakes, "epochs": epochs}
    settings = dataclasses.replace(Settings(), **{key: value for key, value in changes.items() if value is not None})
    run_training(settings, task, out, resume=resume, cache=cache, processes=processes, as_json=json)


@app.command()
def evaluate(
    model: Annotated[Path | None, typer.Option(help="Folder of the model; default: the shipped one.")] = None,
    bakes: Annotated[int, typer.Option(help="Rendered bakes to evaluate on.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="Their seed: 3000 to 3099 are never trained on.", min=0)] = 3000,
    all_frames: Annotated[bool, typer.Option(help="Also the control: the mean over the 8 frames of a bake.")] = True,
    task: TaskName = "pizza",
    cache: Cache = None,
    processes: Processes = 1,
    json: AsJson = False,
) -> None:
    """Accuracy, escalation rate and selective error of a model on rendered bakes, with 95 % intervals.

    Example: crustwatch edge evaluate --bakes 1000 --seed 3000 --json
    """
    from edge.learning.commands import run_evaluation

    run_evaluation(
        model, task, seed=seed, bakes=bakes, all_frames=all_frames, cache=cache, processes=processes, as_json=json
    )
