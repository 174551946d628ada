"""Options of the small default's training, as typed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cloud.training.plan import TrainingPlan

_PANEL = "The small default from nothing, or --engine"


@dataclass(frozen=True)
class SmallOptions:
    """Time, data and what an ablation changes."""

    minutes: Annotated[
        float, typer.Option(min=0.05, help="Minutes of work, rendering included.", rich_help_panel=_PANEL)
    ] = 95.0
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder for rendered clips; default: ~/.cache/crustwatch/clips.", rich_help_panel=_PANEL),
    ] = None
    renderers: Annotated[int, typer.Option(min=1, help="Rendering processes beside it.", rich_help_panel=_PANEL)] = 1
    geometry: Annotated[
        bool, typer.Option(help="With the spatial encoder, or for the ablation without.", rich_help_panel=_PANEL)
    ] = True
    shown: Annotated[
        int, typer.Option(min=1, max=8, help="Frames shown; 1: for the ablation a lone one.", rich_help_panel=_PANEL)
    ] = 8
    pairs: Annotated[
        int,
        typer.Option(min=1, max=24, help="Frame/global pairs of the spatial encoder.", rich_help_panel=_PANEL),
    ] = 2
    pretrain: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.9,
            help="Share of the run for geometry pre-training alone; default: 0.2, with --start 0.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    pixels: Annotated[
        int,
        typer.Option(
            min=3136, help="Most pixels of a frame: 4:3 ones become 140x112, of 33600 196x140.", rich_help_panel=_PANEL
        ),
    ] = 16_800
    start: Annotated[
        str | None, typer.Option(help="Begin with this checkpoint's weights; equal sizes.", rich_help_panel=_PANEL)
    ] = None

    def plan(self, clips: int, seed: int | None) -> TrainingPlan:
        """The recipe with what was asked for in place."""
        from cloud.training.plan import Sizes, TrainingPlan, frame_pixels

        plan = TrainingPlan(
            sizes=replace(Sizes(), spatial_depth=self.pairs),
            clips=clips,
            geometry=self.geometry,
            frames=self.shown,
            pixels=frame_pixels(self.pixels),
            start=self.start,
        )
        if self.pretrain is not None or self.start is not None:
            plan = replace(plan, pretrain=self.pretrain or 0.0)
        return plan if seed is None else replace(plan, seed=seed)
