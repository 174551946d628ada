"""`crustwatch cloud eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cloud.asking.cli import Attention, Device, Dtype, EngineName, Json, Model, Reader, Sampling, Threads

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure a checkpoint.")

Out = Annotated[Path, typer.Option(help="JSONL file of answers; the same command goes on with it after a stop.")]
File = Annotated[Path, typer.Option("--questions", help="JSON list or JSONL file of the benchmark.")]
Folder = Annotated[Path, typer.Option("--videos", help="Folder of the benchmark's videos.")]
Batch = Annotated[int, typer.Option(min=1, help="Questions answered together.")]
Limit = Annotated[int, typer.Option(min=0, help="Only the first so many questions; 0: all.")]
FrameCount = Annotated[int, typer.Option(min=1, max=128, help="Frames of a video.")]
Candidates = Annotated[int, typer.Option(min=2, max=128, help="With --sampling space: frames to choose among.")]


@app.command()
def bakes(
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", "--model", help="Shipped checkpoint, folder or hub id.")
    ] = "pizza-small",
    count: Annotated[int, typer.Option(min=1, help="Rendered bakes.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bakes; 1000 to 1999 are training data.")] = 3000,
    batch: Annotated[int, typer.Option(min=1, help="Bakes judged together; the seconds are then a batch's share.")] = 1,
    out: Annotated[Path | None, typer.Option(help="JSONL file of verdicts, resumable; with chart and summary.")] = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    attention: Attention = "auto",
    engine: EngineName = "full",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to torch.")] = 2,
    as_json: Json = False,
) -> None:
    """Accuracy of a checkpoint on rendered bakes, with its control: the key frame alone.

    Example: crustwatch cloud eval bakes --count 200 --seed 3000
    """
    from cloud.asking.model_choice import ModelChoice
    from cloud.evaluation.commands import run_bakes

    run_bakes(ModelChoice(checkpoint, device, dtype, attention, engine, threads), count, seed, batch, out, as_json)


@app.command()
def vsibench(
    questions: File,
    videos: Folder,
    out: Out,
    model: Model = "pizza-small",
    frames: FrameCount = 16,
    sampling: Sampling = "even",
    candidates: Candidates = 128,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 1024,
    batch: Batch = 4,
    limit: Limit = 0,
    reader: Reader = "av",
    device: Device = "cpu",
    dtype: Dtype = "float32",
    attention: Attention = "auto",
    engine: EngineName = "full",
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """VSI-Bench (arXiv 2412.14171), scored in both dialects: reference and official.

    Example: crustwatch cloud eval vsibench --model FOLDER --questions test.jsonl --videos vsi --out build/vsi.jsonl
    """
    from cloud.asking.model_choice import ModelChoice
    from cloud.evaluation.commands import Bench, run_vsibench

    bench = Bench(questions, videos, out, frames, sampling, candidates, max_tokens, batch, limit, reader)
    run_vsibench(ModelChoice(model, device, dtype, attention, engine, threads), bench, as_json)


@app.command()
def scanqa(
    questions: File,
    videos: Folder,
    out: Out,
    model: Model = "pizza-small",
    frames: FrameCount = 16,
    sampling: Sampling = "even",
    candidates: Candidates = 128,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    batch: Batch = 4,
    limit: Limit = 0,
    reader: Reader = "av",
    device: Device = "cpu",
    dtype: Dtype = "float32",
    attention: Attention = "auto",
    engine: EngineName = "full",
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """ScanQA (arXiv 2112.10482): exact match, BLEU, ROUGE-L and CIDEr.

    Example: crustwatch cloud eval scanqa --model FOLDER --questions val.json --videos scannet --out build/scanqa.jsonl
    """
    from cloud.asking.model_choice import ModelChoice
    from cloud.evaluation.commands import Bench, run_scanqa

    bench = Bench(questions, videos, out, frames, sampling, candidates, max_tokens, batch, limit, reader)
    run_scanqa(ModelChoice(model, device, dtype, attention, engine, threads), bench, as_json)
