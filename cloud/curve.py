"""The loss curve of a training run, for TensorBoard: `tensorboard --logdir FOLDER`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FOLDER = "tensorboard"


class Curve:
    """Writes scalars by step into `FOLDER` of a run."""

    def __init__(self, run: Path, first_step: int) -> None:
        """`first_step`: where a resumed run goes on; what was written of later steps is disregarded."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run / FOLDER), purge_step=first_step)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Values of one step; a name with a slash groups its curves."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still held back."""
        self._writer.close()
