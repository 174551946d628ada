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
