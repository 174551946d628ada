"""What is said after each epoch of training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What a progress bar shows after an epoch."""

    phase: str
    epoch: int  # 1-based
    epochs: int
    loss: float
    held_out_accuracy: float
