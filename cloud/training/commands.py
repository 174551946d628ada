"""What `crustwatch cloud train` does: progress on the terminal around a run."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cloud.training.denormals import denormals_flushed
from cloud.training.plan import TrainingPlan
from cloud.training.run import Limits, Report, Run
from shared.task import load_task

SHOWN_LOSSES = ("loss", "doneness", "char_direction", "pose", "flow")
LINE_EVERY_S = 60.0  # between two lines when there is no terminal for a bar


@denormals_flushed()
def run_training(
    out: Path, plan: TrainingPlan, limits: Limits, resume: bool, cache: Path | None, threads: int, renderers: int
) -> None:
    """Train into `out`, with a progress bar; see cloud/training/cli.py for the arguments."""
    torch.set_num_threads(threads)
    console = Console(stderr=True)
    run = Run(
        out,
        cache,
        plan,
        limits,
        load_task("pizza"),
        resume=resume,
        processes=renderers,
    )
    with Progress(
        TextColumn("[bold]training"),
        BarColumn(),
        TextColumn("{task.percentage:>4.1f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
        console=console,
    ) as progress:
        bar = progress.add_task("training", total=1.0, state="rendering the first clips")

        said = [-LINE_EVERY_S]  # seconds of the run at the latest line of a log

        def watch(now: Report) -> None:
            named = [f"{name} {now.losses[name]:.3f}" for name in SHOWN_LOSSES if name in now.losses]
            losses = ", ".join(named)
            known = "" if now.validation is None else f", validation {now.validation}"
            state = f"step {now.step}, {now.clips_rendered} clips rendered, {now.clips_seen} seen; {losses}{known}"
            progress.update(bar, completed=now.progress, state=state)
            if not console.is_terminal and now.seconds - said[0] >= LINE_EVERY_S:
                said[0] = now.seconds
                console.print(f"{now.seconds / 60:.1f} min, {100 * now.progress:.1f} %: {state}", soft_wrap=True)

        try:
            result = run.go(watch)
        except KeyboardInterrupt:
            console.print("stopped: the same command with --resume goes on", soft_wrap=True)
            raise
    summary = f"{out}: doneness on validation bakes {result} after {run.seconds / 60:.1f} minutes"
    console.print(summary, soft_wrap=True)
