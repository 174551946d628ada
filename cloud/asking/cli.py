"""Commands that put pictures and videos before the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)

Model = Annotated[str, typer.Option("--model", help="Shipped checkpoint, folder in the published layout, or hub id.")]
Videos = Annotated[list[Path] | None, typer.Option("--video", help="Video file or folder of frames; may be repeated.")]
Images = Annotated[list[Path] | None, typer.Option("--images", help="Pictures or folders of them; more may follow.")]
More = Annotated[list[Path] | None, typer.Argument(metavar="[PICTURES]...", help="Further pictures of --images.")]
Frames = Annotated[int, typer.Option(min=1, max=512, help="Frames taken of each video.")]
Sampling = Annotated[str, typer.Option(help="even, or space: the frames that show most of the scene.")]
Reader = Annotated[str, typer.Option(help="Video reader: av, or if installed decord or qwen-vl-utils.")]
Device = Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]
Attention = Annotated[str, typer.Option(help="auto, sdpa, eager or flash_attention_2 (extra gpu).")]
EngineName = Annotated[str, typer.Option("--engine", help="full, int8, int4 or no-geometry.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to torch.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")]


@app.command()
def ask(
    prompt: Annotated[str, typer.Option(help="What to ask.")],
    video: Videos = None,
    images: Images = None,
    pictures: More = None,
    model: Model = "pizza-small",
    apart: Annotated[bool, typer.Option("--apart", help="Each picture is a scene of its own.")] = False,
    frames: Frames = 16,
    sampling: Sampling = "even",
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 512,
    reader: Reader = "av",
    device: Device = "cpu",
    dtype: Dtype = "float32",
    attention: Attention = "auto",
    engine: EngineName = "full",
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Ask a free question about videos and pictures; the answer appears as it is made.

    Example: crustwatch cloud ask --model pizza-small --images docs/bakes.jpg --prompt "How well is this pizza baked?"
    """
    from cloud.asking.commands import Sight, run_ask
    from cloud.asking.model_choice import ModelChoice

    run_ask(
        ModelChoice(model, device, dtype, attention, engine, threads),
        Sight(video or [], [*(images or []), *(pictures or [])], apart, frames, sampling, reader),
        prompt,
        max_tokens,
        as_json,
    )


@app.command()
def verdict(
    video: Videos = None,
    images: Images = None,
    pictures: More = None,
    model: Model = "pizza-small",
    task: Annotated[str, typer.Option(help="Name of a task, or a .toml file.")] = "pizza",
    frames: Annotated[
        int, typer.Option(min=1, max=128, help="Frames read of each video; the task says how many stay.")
    ] = 16,
    reader: Reader = "av",
    device: Device = "cpu",
    dtype: Dtype = "float32",
    attention: Attention = "auto",
    engine: EngineName = "full",
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """The structured verdict on each video, and on all pictures together: what a worker would answer.

    Example: crustwatch cloud verdict --images docs/bakes.jpg
    """
    from cloud.asking.commands import Sight, run_verdict
    from cloud.asking.model_choice import ModelChoice

    run_verdict(
        ModelChoice(model, device, dtype, attention, engine, threads),
        Sight(video or [], [*(images or []), *(pictures or [])], False, frames, "even", reader),
        task,
        as_json,
    )


@app.command()
def sample(
    video: Annotated[Path, typer.Option(help="Video file or folder of frames.")],
    out: Annotated[Path, typer.Option(help="Folder for the chosen frames, coverage.svg and sampling.json.")],
    model: Model = "pizza-small",
    frames: Annotated[int, typer.Option(min=1, max=128, help="Frames to choose.")] = 16,
    candidates: Annotated[int, typer.Option(min=2, max=128, help="Evenly spread frames to choose among.")] = 64,
    reader: Reader = "av",
    device: Device = "cpu",
    dtype: Dtype = "float32",
    attention: Attention = "auto",
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Choose the frames of a video that show most of the space, and show what they cover.

    Example: crustwatch cloud sample --model Diankun/Spatial-MLLM-v1.1-Instruct-135K --video room.mp4 --out build/frames
    """
    from cloud.asking.commands import run_sample
    from cloud.asking.model_choice import ModelChoice

    choice = ModelChoice(model, device, dtype, attention, "full", threads)
    run_sample(choice, video, out, frames, candidates, reader, as_json)


@app.command()
def depth(
    out: Annotated[Path, typer.Option(help="Folder for depth pictures, cameras.json and points.ply.")],
    video: Annotated[Path | None, typer.Option(help="Video file or folder of frames.")] = None,
    images: Images = None,
    pictures: More = None,
    model: Model = "pizza-small",
    frames: Annotated[int, typer.Option(min=1, max=128, help="Frames taken of the video.")] = 8,
    keep: Annotated[float, typer.Option(min=0.001, max=1.0, help="Share of points kept, the most certain.")] = 0.5,
    reader: Reader = "av",
    device: Device = "cpu",
    dtype: Dtype = "float32",
    attention: Attention = "auto",
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Depth pictures and a coloured point cloud of what the spatial encoder sees; the checkpoint needs its heads.

    Example: crustwatch cloud depth --model Diankun/Spatial-MLLM-v1.1-Instruct-135K --video room.mp4 --out build/depth
    """
    from cloud.asking.commands import Sight, run_depth
    from cloud.asking.model_choice import ModelChoice

    choice = ModelChoice(model, device, dtype, attention, "full", threads)
    sight = Sight([video] if video else [], [*(images or []), *(pictures or [])], False, frames, "even", reader)
    run_depth(choice, sight, out, keep, as_json)
