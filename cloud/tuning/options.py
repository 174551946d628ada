"""Options of a fine-tuning, as typed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

_PANEL = "A checkpoint tuned further (--model)"


@dataclass(frozen=True)
class TuningOptions:
    """What to learn from and how; None: what the recipe says."""

    data: Annotated[
        str | None,
        typer.Option(
            help="JSON or JSONL of conversations, questions with answers, VSI-Bench or ScanQA; or the word bakes.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    media: Annotated[
        Path | None,
        typer.Option(help="Folder of its videos and pictures; default: that of --data.", rich_help_panel=_PANEL),
    ] = None
    frames: Annotated[int, typer.Option(min=1, max=128, help="Frames of a video.", rich_help_panel=_PANEL)] = 16
    reader: Annotated[str, typer.Option(help="Video reader: av, decord, qwen-vl-utils.", rich_help_panel=_PANEL)] = "av"
    lora: Annotated[
        bool, typer.Option("--lora", help="Adapters (peft) for one consumer GPU.", rich_help_panel=_PANEL)
    ] = False
    rank: Annotated[int | None, typer.Option(min=1, help="Of the adapters; default: 16.", rich_help_panel=_PANEL)] = (
        None
    )
    rate: Annotated[
        float | None,
        typer.Option(
            min=1e-9, help="Learning rate; default: 7e-6, connector 2e-5, --lora 1e-4.", rich_help_panel=_PANEL
        ),
    ] = None
    epochs: Annotated[float | None, typer.Option(min=0.001, help="Default: 1.", rich_help_panel=_PANEL)] = None
    batch: Annotated[
        int | None, typer.Option(min=1, help="Examples at once in a process; default: 1.", rich_help_panel=_PANEL)
    ] = None
    accumulate: Annotated[
        int | None, typer.Option(min=1, help="Batches a step; default: 8.", rich_help_panel=_PANEL)
    ] = None
    device: Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1.", rich_help_panel=_PANEL)] = "cpu"
    dtype: Annotated[
        str, typer.Option(help="Of the weights: float32, bfloat16 or float16.", rich_help_panel=_PANEL)
    ] = "float32"
    attention: Annotated[
        str, typer.Option(help="auto, sdpa, eager or flash_attention_2 (extra gpu).", rich_help_panel=_PANEL)
    ] = "auto"
