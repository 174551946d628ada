"""Progress of a training run on a terminal (stderr, so that --json stays clean)."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from edge.learning.epoch import EpochReport


class TerminalReporter:
    """One bar a stage and one line an epoch; a context manager."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )

    def __enter__(self) -> TerminalReporter:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, text: str, total: int) -> Callable[[int], None]:
        """A new bar of `total` steps."""
        bar = self._progress.add_task(text, total=total)
        return lambda steps: self._progress.advance(bar, steps)

    def epoch(self, report: EpochReport) -> None:
        """One line: loss and the held-out key frames' accuracy."""
        self._progress.console.print(
            f"{report.phase} epoch {report.epoch}/{report.epochs}: loss {report.loss:.3f}, "
            f"held-out accuracy {report.held_out_accuracy:.3f}"
        )
