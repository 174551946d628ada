"""Commands that put pictures and videos before the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cloud.model_choice import EngineChoice, ModelChoice
from shared.option_groups import grouped

app = typer.Typer(add_completion=False)

Reader = Annotated[str, typer.Option(help="Video reader: av, or if installed decord or qwen-vl-utils.")]
Sampling = Annotated[str, typer.Option(help="even, or space: the frames that show most of the scene.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")]
Video = Annotated[Path, typer.Option(help="Video file or folder of frames.")]


@dataclass(frozen=True)
class Sight:
    """What is shown, as typed: videos first, then pictures."""

    video: Annotated[
        list[Path] | None, typer.Option("--video", help="Video file or folder of frames; may be repeated.")
    ] = None
    images: Annotated[
        list[Path] | None, typer.Option("--images", help="Pictures or folders of them; more may follow.")
    ] = None
    pictures: Annotated[
        list[Path] | None, typer.Argument(metavar="[PICTURES]...", help="Further pictures of --images.")
    ] = None
    frames: Annotated[int, typer.Option(min=1, max=512, help="Frames taken of each video.")] = 16
    reader: Reader = "av"


_EIGHT_FRAMES = Sight(frames=8)


@app.command()
@grouped
def ask(
    prompt: Annotated[str, typer.Option(help="What to ask.")],
    sight: Sight,
    choice: EngineChoice,
    apart: Annotated[bool, typer.Option("--apart", help="Each picture is a scene of its own.")] = False,
    sampling: Sampling = "even",
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 512,
    as_json: Json = False,
) -> None:
    """Ask a free question about videos and pictures; the answer appears as it is made.

    Example: crustwatch cloud ask --model pizza-small --images docs/bakes.jpg --prompt "How well is this pizza baked?"
    """
    from cloud.asking.commands import run_ask

    run_ask(choice, sight, prompt, apart, sampling, max_tokens, as_json)


@app.command()
@grouped
def verdict(
    sight: Sight,
    choice: EngineChoice,
    task: Annotated[str, typer.Option(help="Name of a task, or path of its .toml file.")] = "pizza",
    as_json: Json = False,
) -> None:
    """The structured verdict on each video, and on all pictures together: what a worker would answer.

    Of the frames the task says how many stay.

    Example: crustwatch cloud verdict --images docs/bakes.jpg
    """
    from cloud.asking.commands import run_verdict

    run_verdict(choice, sight, task, as_json)


@app.command()
@grouped
def sample(
    video: Video,
    out: Annotated[Path, typer.Option(help="Folder for the chosen frames, coverage.svg and sampling.json.")],
    choice: ModelChoice,
    frames: Annotated[int, typer.Option(min=1, max=128, help="Frames to choose.")] = 16,
    candidates: Annotated[int, typer.Option(min=2, max=128, help="Evenly spread frames to choose among.")] = 64,
    reader: Reader = "av",
    as_json: Json = False,
) -> None:
    """Choose the frames of a video that show most of the space, and show what they cover.

    Example: crustwatch cloud sample --model Diankun/Spatial-MLLM-v1.1-Instruct-135K --video room.mp4 --out build/frames
    """
    from cloud.asking.commands import run_sample

    run_sample(choice, video, out, frames, candidates, reader, as_json)


@app.command()
@grouped
def depth(
    out: Annotated[Path, typer.Option(help="Folder for depth pictures, cameras.json and points.ply.")],
    choice: ModelChoice,
    sight: Sight = _EIGHT_FRAMES,
    keep: Annotated[float, typer.Option(min=0.001, max=1.0, help="Share of points kept, the most certain.")] = 0.5,
    as_json: Json = False,
) -> None:
    """Depth pictures and a coloured point cloud of what the spatial encoder sees; the checkpoint needs its heads.

    Example: crustwatch cloud depth --model Diankun/Spatial-MLLM-v1.1-Instruct-135K --video room.mp4 --out build/depth
    """
    from cloud.asking.commands import run_depth

    run_depth(choice, sight, out, keep, as_json)
