"""Rendering the clips that a training needs and the cache does not have yet, all of them before it begins."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cloud.training.store import ClipStore, Renderer, Shard


def stages(console: Console) -> Progress:
    """Bars for rendering and for what follows it; each has a field `state`."""
    state = TextColumn("{task.fields[state]}")
    return Progress(TextColumn("[bold]{task.description}"), BarColumn(), TimeElapsedColumn(), state, console=console)


def render_missing(progress: Progress, store: ClipStore, wanted: Sequence[Shard], processes: int) -> None:
    """Put those of `wanted` into `store` that are not there, with a bar of `stages`. Raises what `Renderer` raises."""
    renderer = Renderer(store, wanted, processes)
    try:
        bar = progress.add_task("rendering", total=renderer.total, completed=len(store.ready(wanted)), state="")
        for _ in renderer.wait():
            progress.advance(bar)
    finally:
        renderer.close()
