"""One dataclass for a whole training run: what is in it decides every byte of the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edge.learning.levers import Levers


@dataclass(frozen=True, slots=True)
class Settings:
    """Seeds name splits of the rendered bakery, and counts are bakes; photographs are split by `split_seed`."""

    shape: str = "small"  # of the network: a name of network.SHAPES, or its channels
    start: str = "none"  # the weights to begin with: of pretrained.STARTS
    size_px: int = 0  # of the input; 0: the task's
    split_seed: int = 1

    train_seed: int = 1000
    train_bakes: int = 3000
    held_out_seed: int = 2000  # calibration of the gate, and what the progress bar shows
    held_out_bakes: int = 1000
    test_seed: int = 3000
    test_bakes: int = 1000
    seed: int = 1  # of weights, shuffles and augmentation
    epochs: int = 14
    batch: int = 128  # frames
    learning_rate: float = 4e-3  # peak of AdamW, one warm-up epoch, then cosine to zero
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    teacher: str = "none"  # of teacher.TEACHERS: photographs only
    teacher_share: float = 0.5  # of the teacher's opinion in the targets; the rest is the labellers'
    feature_weight: float = 0.3  # of the squared error of told features in the loss
    fine_tune_epochs: int = 0  # on the int8 grids (quantisation-aware); it gained nothing here: decision 0063
    fine_tune_learning_rate: float = 1e-3
    multiplier_bits: int = 0  # these three: levers.py
    weight_bound: int = 127
    pair_zeros: float = 0.0
    calibration_bakes: int = 200  # of the training part: all their frames set the activations' ranges
    target_selective_error: float = 0.04  # of the bakes that the edge answers alone, on the held-out bakes

    def as_json(self) -> dict[str, Any]:
        """For the model's card."""
        return asdict(self)

    @property
    def levers(self) -> Levers:
        """What the weights are held to. Raises BadInputError for values out of range."""
        return Levers(self.multiplier_bits, self.weight_bound, self.pair_zeros)

    def of_weights(self, *, fine: bool) -> dict[str, Any]:
        """The part that decides the weights of the float phase, or `fine` of both: a checkpoint belongs to it."""
        others = GATE_ONLY if fine else GATE_ONLY + FINE_ONLY
        return {name: value for name, value in asdict(self).items() if name not in others}


GATE_ONLY = ("held_out_seed", "held_out_bakes", "test_seed", "test_bakes", "target_selective_error")
FINE_ONLY = (
    "fine_tune_epochs",
    "fine_tune_learning_rate",
    "calibration_bakes",
    "multiplier_bits",
    "weight_bound",
    "pair_zeros",
)

RECIPES = {
    # 8 ms on one core of the RP2040, and no less accurate where it answers alone: decision 0067.
    "pizza": Settings(shape="8,16/2,16,32/2,32", epochs=18, fine_tune_epochs=3, multiplier_bits=8, weight_bound=31),
    "elpv": Settings(
        shape="lite11",
        start="efficientnet-lite0",
        epochs=6,
        batch=32,
        learning_rate=5e-4,  # the weights are good ones already
        label_smoothing=0.0,  # the grades of the cells are soft already
        calibration_bakes=400,
        target_selective_error=0.1,
    ),
}
"""Tasks whose models need other settings than the default ones."""


def settings_for(task: str) -> Settings:
    """The settings that the shipped model of a task was trained with; the default ones for other tasks."""
    return RECIPES.get(task, Settings())
