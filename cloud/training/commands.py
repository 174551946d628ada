"""What `crustwatch cloud train` and `crustwatch cloud eval` do: progress on the terminal around runs and reports."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cloud.engine import load_engine
from cloud.training.evaluation import BakesReport, ShareReport, judge, report
from cloud.training.plan import TrainingPlan
from cloud.training.run import Limits, Report, Run
from shared.bakery.bake import iter_bakes
from shared.cache_folder import cache_folder
from shared.errors import BadInputError
from shared.task import load_task

LINE_EVERY_S = 60.0  # between two lines when there is no terminal for a bar


def run_training(
    out: Path, minutes: float, resume: bool, clips: int, cache: Path | None, threads: int, renderers: int
) -> None:
    """Train into `out`, with a progress bar; see cloud/training/cli.py for the arguments."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    plan = TrainingPlan(clips=clips)
    console = Console(stderr=True)
    run = Run(
        out,
        cache_folder() / "clips" if cache is None else cache,
        plan,
        Limits(minutes=minutes),
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
            losses = f"loss {now.losses['loss']:.2f}, doneness {now.losses['doneness']:.2f}" if now.losses else ""
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


def run_evaluation(checkpoint: str, count: int, seed: int, threads: int, as_json: bool) -> None:
    """Print the report of `checkpoint` on bakes 0 to `count` - 1 of `seed`."""
    if 1000 <= seed <= 1999:
        raise BadInputError(f"seed {seed} is training data: choose one outside 1000 to 1999")
    task = load_task("pizza")
    engine = load_engine(checkpoint, threads=threads)
    columns = (TextColumn("[bold]judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("judging", total=count)
        judged = judge(iter_bakes(seed, count), engine, task, lambda: progress.advance(bar))
    found = report(judged, engine, seed, task)
    if as_json:
        print(msgspec.json.encode(found).decode())  # noqa: T201 - the command's output
        return
    for line in _lines(found):
        print(line)  # noqa: T201 - the command's output


def _lines(found: BakesReport) -> list[str]:
    """The report for people; shares with their 95 % interval."""
    lines = [f"{found.checkpoint} on {found.doneness.n} rendered bakes of seed {found.seed}"]
    for name in found.__struct_fields__[4:]:
        value = getattr(found, name)
        if isinstance(value, ShareReport):
            value = f"{value.share:.3f} [{value.low:.3f}, {value.high:.3f}] n={value.n}"
        lines.append(f"  {name.replace('_', ' '):24} {value}")
    return lines
