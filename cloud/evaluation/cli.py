"""`crustwatch cloud eval`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cloud.asking.cli import Json, Reader, Sampling
from cloud.model_choice import EngineChoice
from shared.option_groups import grouped

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure a checkpoint.")

_TWO_THREADS = EngineChoice(threads=2)


@dataclass(frozen=True)
class Bench:
    """A benchmark of questions about videos, as typed."""

    questions: Annotated[Path, typer.Option(help="JSON list or JSONL file of the benchmark.")]
    videos: Annotated[Path, typer.Option(help="Folder of the benchmark's videos.")]
    out: Annotated[Path, typer.Option(help="JSONL file of answers; the same command goes on with it after a stop.")]
    frames: Annotated[int, typer.Option(min=1, max=128, help="Frames of a video.")] = 16
    sampling: Sampling = "even"
    candidates: Annotated[int, typer.Option(min=2, max=128, help="With --sampling space: frames to choose among.")] = (
        128
    )
    batch: Annotated[int, typer.Option(min=1, help="Questions answered together.")] = 4
    limit: Annotated[int, typer.Option(min=0, help="Only the first so many questions; 0: all.")] = 0
    reader: Reader = "av"


@dataclass(frozen=True)
class Bakes:
    """Which rendered bakes, and how a verdict sees them, as typed."""

    count: Annotated[int, typer.Option(min=1, help="Rendered bakes.")] = 200
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bakes; 1000 to 1999 are training data.")] = 3000
    batch: Annotated[int, typer.Option(min=1, help="Bakes judged together; the seconds are then a batch's share.")] = 1
    frames: Annotated[int, typer.Option(min=1, max=8, help="Most frames that a verdict looks at.")] = 8
    sampling: Annotated[
        str | None,
        typer.Option(help="Of fewer than 8 frames: even or space; default: space where the model has a point head."),
    ] = None
    out: Annotated[Path | None, typer.Option(help="JSONL file of verdicts, resumable; with chart and summary.")] = None


@app.command()
@grouped
def bakes(bakes: Bakes, choice: EngineChoice = _TWO_THREADS, as_json: Json = False) -> None:
    """Accuracy of a checkpoint on rendered bakes, with its control: the key frame alone.

    Example: crustwatch cloud eval bakes --count 200 --seed 3000
    """
    from cloud.evaluation.commands import run_bakes

    run_bakes(choice, bakes, as_json)


@app.command()
@grouped
def vsibench(
    bench: Bench,
    choice: EngineChoice,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 1024,
    as_json: Json = False,
) -> None:
    """VSI-Bench (arXiv 2412.14171), scored in both dialects: reference and official.

    Example: crustwatch cloud eval vsibench --model FOLDER --questions test.jsonl --videos vsi --out build/vsi.jsonl
    """
    from cloud.evaluation.commands import run_vsibench

    run_vsibench(choice, bench, max_tokens, as_json)


@app.command()
@grouped
def scanqa(
    bench: Bench,
    choice: EngineChoice,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    as_json: Json = False,
) -> None:
    """ScanQA (arXiv 2112.10482): exact match, BLEU, ROUGE-L and CIDEr.

    Example: crustwatch cloud eval scanqa --model FOLDER --questions val.json --videos scannet --out build/scanqa.jsonl
    """
    from cloud.evaluation.commands import run_scanqa

    run_scanqa(choice, bench, max_tokens, as_json)


@app.command()
def baselines(
    against: Annotated[Path, typer.Option(help="JSONL file of `crustwatch cloud eval bakes --out`.")],
    clips: Annotated[int, typer.Option(min=64, help="Training clips for the histogram, a multiple of 64.")] = 1024,
    cache: Annotated[Path | None, typer.Option(help="Folder for rendered clips, as of `cloud train`.")] = None,
    renderers: Annotated[int, typer.Option(min=1, help="Processes that render what is missing.")] = 1,
    as_json: Json = False,
) -> None:
    """Text only, a colour histogram and the edge's network on the same bakes, and whether each is beaten.

    Example: crustwatch cloud eval baselines --against build/bakes.jsonl
    """
    from cloud.evaluation.comparisons import run_baselines

    run_baselines(against, clips, cache, renderers, as_json)


@app.command()
def ablations(
    runs: Annotated[list[Path], typer.Argument(help="Folders of training runs with bakes*.summary.json in them.")],
    out: Annotated[Path | None, typer.Option(help="Markdown file for the table; a chart lies beside it.")] = None,
    as_json: Json = False,
) -> None:
    """One table of training runs: what each changed, and what its evaluation found.

    Example: crustwatch cloud eval ablations runs/on-7 runs/off-7 --out build/ablations.md
    """
    from cloud.evaluation.comparisons import run_ablations

    run_ablations(runs, out, as_json)
