"""The curves of a training run, for TensorBoard: `tensorboard --logdir OUT/tensorboard`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.learning.epoch import EpochReport
from edge.learning.progress import TerminalReporter

FOLDER = "tensorboard"


class RecordingReporter:
    """A terminal's reporter that also writes each epoch's loss and held-out accuracy, by phase."""

    def __init__(self, terminal: TerminalReporter, out: Path, *, resume: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter  # only where something is trained: it takes a second

        self._terminal = terminal
        # A run from the start disregards the curves of an earlier one.
        self._writer = SummaryWriter(str(out / FOLDER), purge_step=None if resume else 0)

    def stage(self, text: str, total: int) -> Callable[[int], None]:
        """A new bar of `total` steps."""
        return self._terminal.stage(text, total)

    def epoch(self, report: EpochReport) -> None:
        """One line, and one point of each curve."""
        self._terminal.epoch(report)
        self._writer.add_scalar(f"{report.phase}/loss", report.loss, report.epoch)
        self._writer.add_scalar(f"{report.phase}/held_out_accuracy", report.held_out_accuracy, report.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Write what is still held back."""
        self._writer.close()
