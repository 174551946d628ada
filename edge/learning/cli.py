"""`crustwatch edge train` and `crustwatch edge evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edge.learning.judged import Judged
from edge.learning.options import AsJson, Cache, Data, Processes, TaskName
from shared.option_groups import grouped

app = typer.Typer(no_args_is_help=True, add_completion=False)

SplitSeed = Annotated[
    int | None, typer.Option(help="Split of photographs into train, held out and test; default: the task's.", min=0)
]


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder for model, gate, card, report.html and TensorBoard's curves.")],
    bakes: Annotated[int | None, typer.Option(help="Bakes to train on; default: as the shipped model.", min=50)] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs over all frames; default: as the shipped model.", min=1)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoints in the folder.")] = False,
    task: TaskName = "pizza",
    data: Data = None,
    split_seed: SplitSeed = None,
    shape: Annotated[
        str | None, typer.Option(help="Network: small, large, or channels such as 8,8,16/2,16; default: the task's.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the input in px; default: the task's.", min=8)] = None,
    checks: Annotated[
        int | None, typer.Option(help="Rendered bakes for the gate, and for the test; default: 1,000 each.", min=10)
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Begin with the weights of efficientnet-lite0, or none; default: the task's.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Learn photographs from efficientnet-lite0 too, or none; default: the task's.")
    ] = None,
    fine_tune_epochs: Annotated[
        int | None, typer.Option(help="Epochs on the int8 grids (quantisation-aware); default: the task's.", min=0)
    ] = None,
    multiplier_bits: Annotated[
        int | None,
        typer.Option(
            help="Lever: bits of requantisation multipliers, 8 for the cheap form, 0 for any; default: the task's."
        ),
    ] = None,
    weight_bound: Annotated[
        int | None, typer.Option(help="Lever: largest weight, 31 for fewer drains; default: the task's.")
    ] = None,
    pair_zeros: Annotated[
        float | None,
        typer.Option(help="Lever: share of weights zero for both channels of a pair; default: the task's."),
    ] = None,
    cache: Cache = None,
    processes: Processes = 1,
    json: AsJson = False,
) -> None:
    """Train the on-device classifier on rendered bakes or photographs, quantise it to int8 and fit its gate.

    The levers make the firmware quicker for some accuracy: `crustwatch edge levers` measures both.

    Example: crustwatch edge train --out build/pizza --resume

    Example: crustwatch edge train --out build/quick --multiplier-bits 8 --pair-zeros 0.5 --fine-tune-epochs 4
    """
    import dataclasses

    from edge.learning.commands import run_training
    from edge.learning.settings import settings_for

    changes: dict[str, Any] = {
        "train_bakes": bakes,
        "held_out_bakes": checks,
        "test_bakes": checks,
        "epochs": epochs,
        "shape": shape,
        "size_px": size,
        "split_seed": split_seed,
        "start": start,
        "teacher": teacher,
        "fine_tune_epochs": fine_tune_epochs,
        "multiplier_bits": multiplier_bits,
        "weight_bound": weight_bound,
        "pair_zeros": pair_zeros,
    }
    settings = dataclasses.replace(
        settings_for(task), **{key: value for key, value in changes.items() if value is not None}
    )
    run_training(settings, task, out, data=data, resume=resume, cache=cache, processes=processes, as_json=json)


@app.command()
@grouped
def evaluate(
    judged: Judged,
    bakes: Annotated[int, typer.Option(help="Rendered bakes to evaluate on.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="Their seed: 3000 to 3099 are never trained on.", min=0)] = 3000,
    all_frames: Annotated[bool, typer.Option(help="Also the control: the mean over the 8 frames of a bake.")] = True,
    report: Annotated[
        Path | None, typer.Option(help="Write everything into this HTML file, pictures included.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Accuracy, escalation rate and selective error of a model on unseen items, with 95 % intervals.

    Example: crustwatch edge evaluate --bakes 1000 --seed 3000 --json

    Example: crustwatch edge evaluate --task elpv --report elpv.html
    """
    from edge.learning.commands import run_evaluation

    run_evaluation(judged, seed=seed, bakes=bakes, all_frames=all_frames, as_json=json, page=report)


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
