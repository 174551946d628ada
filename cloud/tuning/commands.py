"""What `crustwatch cloud train --model` does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cloud.loading import load_checkpoint
from cloud.training.plan import TRAINING_SEEDS
from cloud.tuning.examples import BakeLessons, FileLessons, Lessons
from cloud.tuning.options import TuningOptions
from cloud.tuning.recipe import ADAPTERS, Recipe
from cloud.tuning.run import Tuning, TuningReport
from shared.errors import BadInputError
from shared.task import load_task

BAKES = "bakes"
LINE_EVERY = 20  # steps between two lines where there is no terminal for a bar


def recipe_of(options: TuningOptions, seed: int | None) -> Recipe:
    """The reference's recipe, or that of adapters, with what was asked for in place. Raises BadInputError."""
    if options.rank is not None and not options.lora:
        raise BadInputError("--rank is that of --lora")
    stated = {
        "rate": options.rate,
        "bridge_rate": options.rate,
        "epochs": options.epochs,
        "batch": options.batch,
        "accumulate": options.accumulate,
        "adapter_rank": options.rank,
        "seed": seed,
    }
    asked: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
    return replace(ADAPTERS if options.lora else Recipe(), **asked)


def run_tuning(
    model: str,
    options: TuningOptions,
    out: Path,
    *,
    resume: bool,
    clips: int,
    seed: int | None,
    threads: int,
    steps: int | None,
) -> None:
    """Fine-tune into `out`, with a progress bar; `clips` rendered bakes where these are the data."""
    if options.data is None:
        raise BadInputError("name what to learn from: --data FILE with --media FOLDER, or --data bakes")
    recipe = recipe_of(options, seed)
    torch.manual_seed(recipe.seed)  # adapters begin at noise times zero
    loaded = load_checkpoint(model, options.device, options.dtype, attention=options.attention, threads=threads or None)
    lessons: Lessons
    if options.data == BAKES:
        task = load_task("pizza")
        lessons = BakeLessons(clips, TRAINING_SEEDS[0], task, loaded.tokenizer)
        data = f"{clips} rendered bakes of seed {TRAINING_SEEDS[0]}"
    else:
        file = Path(options.data)
        lessons = FileLessons(file, options.media or file.parent, options.frames, options.reader)
        data = f"{len(lessons)} records of {file.name}, {options.frames} frames by {options.reader}"
    run = Tuning(loaded, lessons, recipe, out, resume=resume, data=data, most_steps=steps)
    learning = sum(parameter.numel() for parameter in run.masters.learning)
    console = Console(stderr=True)
    console.print(f"{loaded.name}: {learning / 1e6:.2f} M parameters learn from {data} in {run.steps} steps")
    columns = (TextColumn("[bold]tuning"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[state]}"), console=console) as progress:
        bar = progress.add_task("tuning", total=run.steps, completed=run.step, state="")

        def watch(now: TuningReport) -> None:
            state = f"loss {now.loss:.4f}"
            progress.update(bar, completed=now.step, state=state)
            if not console.is_terminal and (now.step % LINE_EVERY == 0 or now.step == now.steps):
                console.print(f"step {now.step} of {now.steps}: {state}", soft_wrap=True)

        try:
            run.go(watch)
        except KeyboardInterrupt:
            console.print("stopped: the same command with --resume goes on from the last save", soft_wrap=True)
            raise
    console.print(f"{out}: {run.steps} steps, last loss {run.losses[-1]:.4f}", soft_wrap=True)
