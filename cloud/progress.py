"""Progress on the terminal while weights load; silent where there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def loading_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, in bytes; gives what a loader calls with (bytes read, bytes in all)."""
    console = Console(stderr=True)
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"loading {name}", total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
