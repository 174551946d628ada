"""`crustwatch edge train` and `crustwatch edge evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)

Cache = Annotated[Path | None, typer.Option(help="Where rendered frames are kept; default: the user's cache folder.")]
Processes = Annotated[int, typer.Option(help="Processes that render frames.", min=1)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Data = Annotated[
    str | None,
    typer.Option(help="Photographs: a folder with a sub-folder a label, a .csv table, or elpv; default: the task's."),
]
SplitSeed = Annotated[int | None, typer.Option(help="Split of photographs into train, held out and test.", min=0)]
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
    data: Data = None,
    split_seed: SplitSeed = None,
    shape: Annotated[str | None, typer.Option(help="Network: small or large; default: the task's.")] = None,
    cache: Cache = None,
    processes: Processes = 1,
    json: AsJson = False,
) -> None:
    """Train the on-device classifier on rendered bakes or photographs, quantise it to int8 and fit its gate.

    Example: crustwatch edge train --out build/pizza --resume
    """
    import dataclasses

    from edge.learning.commands import run_training
    from edge.learning.settings import settings_for

    changes: dict[str, Any] = {"train_bakes": bakes, "epochs": epochs, "shape": shape, "split_seed": split_seed}
    settings = dataclasses.replace(
        settings_for(task), **{key: value for key, value in changes.items() if value is not None}
    )
    run_training(settings, task, out, data=data, resume=resume, cache=cache, processes=processes, as_json=json)


@app.command()
def evaluate(
    model: Annotated[Path | None, typer.Option(help="Folder of the model; default: the shipped one.")] = None,
    bakes: Annotated[int, typer.Option(help="Rendered bakes to evaluate on.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="Their seed: 3000 to 3099 are never trained on.", min=0)] = 3000,
    all_frames: Annotated[bool, typer.Option(help="Also the control: the mean over the 8 frames of a bake.")] = True,
    task: TaskName = "pizza",
    data: Data = None,
    split_seed: SplitSeed = None,
    cache: Cache = None,
    processes: Processes = 1,
    json: AsJson = False,
) -> None:
    """Accuracy, escalation rate and selective error of a model on unseen items, with 95 % intervals.

    Example: crustwatch edge evaluate --bakes 1000 --seed 3000 --json
    """
    from edge.learning.commands import run_evaluation

    run_evaluation(
        model,
        task,
        data=data,
        split_seed=split_seed,
        seed=seed,
        bakes=bakes,
        all_frames=all_frames,
        cache=cache,
        processes=processes,
        as_json=json,
    )


@app.command()
def data(
    source: Annotated[str, typer.Argument(help="A folder with a sub-folder a label, a .csv table, or elpv.")],
    task: TaskName = "pizza-states",
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet here, some items of each label.")] = None,
    split_seed: Annotated[int, typer.Option(help="Split to show.", min=0)] = 1,
    json: AsJson = False,
) -> None:
    """Look at photographs before learning from them: counts by label and part, groups, copies, unreadable files.

    Example: crustwatch edge data elpv --task elpv --sheet elpv.png
    """
    from edge.datasets.report import run_report

    run_report(source, task, sheet, split_seed, json)
