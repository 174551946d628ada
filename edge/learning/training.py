"""The training loop: seeded, one checkpoint an epoch, and the same weights whether interrupted or not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.learning.augmentation import augment
from edge.learning.epoch import EpochReport
from edge.learning.student import Loss
from shared.atomic_file import replacing
from shared.errors import BadInputError

EVALUATION_BATCH = 512


@dataclass(frozen=True, slots=True)
class Schedule:
    """How one phase (float training, fine-tuning) runs."""

    phase: str  # names the checkpoint
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    warm_up: float  # share of all steps
    seed: int


def to_tensor(frames: NDArray[np.uint8] | Tensor) -> Tensor:
    """Frames uint8 [N, S, S, 3] to float32 [N, 3, S, S] in 0..1."""
    return torch.as_tensor(frames).permute(0, 3, 1, 2).float() / 255.0


def float_logits(network: nn.Module, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits float32 [N, labels] of frames uint8 [N, S, S, 3], in evaluation mode."""
    network.eval()
    with torch.no_grad():
        parts = [
            network(to_tensor(frames[start : start + EVALUATION_BATCH])).numpy()
            for start in range(0, len(frames), EVALUATION_BATCH)
        ]
    return np.concatenate(parts)


def fit(
    network: nn.Module,
    frames: NDArray[np.uint8],
    loss_of: Loss,
    held_out: tuple[NDArray[np.uint8], NDArray[np.int64]],
    schedule: Schedule,
    *,
    folder: Path,
    resume: bool,
    identity: dict[str, Any],
    after_batch: Callable[[int], None],
    after_epoch: Callable[[EpochReport], None],
    before_epoch: Callable[[int], None] = lambda epoch: None,
) -> None:
    """Train `network` in place on frames uint8 [N, S, S, 3], their targets in `loss_of`.

    After every epoch `folder/<phase>.pt` holds all that the next one needs; with `resume` the run goes on from there.
    Randomness is drawn anew from (seed, epoch), so an interrupted run gives the same weights. `before_epoch` is called
    with the epoch, 0-based. Raises BadInputError when the checkpoint belongs to other settings.
    """
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, betas=(0.9, 0.99)
    )
    path = folder / f"{schedule.phase}.pt"
    first = _restore(path, network, optimiser, identity) if resume and path.exists() else 0
    steps_an_epoch = math.ceil(len(frames) / schedule.batch)
    pixels = torch.from_numpy(frames)
    after_batch(first * steps_an_epoch)
    for epoch in range(first, schedule.epochs):
        generator = torch.Generator().manual_seed(schedule.seed * 10_007 + epoch)
        torch.manual_seed(schedule.seed * 10_007 + epoch)  # dropout
        network.train()
        before_epoch(epoch)
        total = 0.0
        order = torch.randperm(len(frames), generator=generator)  # [N]
        for step in range(steps_an_epoch):
            picks = order[step * schedule.batch : (step + 1) * schedule.batch]  # [B]
            rate = _learning_rate(schedule, (epoch * steps_an_epoch + step) / (schedule.epochs * steps_an_epoch))
            for group in optimiser.param_groups:
                group["lr"] = rate
            x = augment(to_tensor(pixels[picks]), generator)  # [B, 3, S, S]
            x = x.contiguous(memory_format=torch.channels_last)  # a third less time a step on one core
            loss = loss_of(network, x, picks)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimiser.step()
            total += loss.item()
            after_batch(1)
        _save(path, network, optimiser, identity, epoch + 1)
        accuracy = float((float_logits(network, held_out[0]).argmax(axis=1) == held_out[1]).mean())
        after_epoch(EpochReport(schedule.phase, epoch + 1, schedule.epochs, total / steps_an_epoch, accuracy))


def _learning_rate(schedule: Schedule, done: float) -> float:
    """Linear warm-up, then cosine to zero; `done` is the share of all steps behind."""
    if done < schedule.warm_up:
        return schedule.learning_rate * (done + 1e-3) / schedule.warm_up
    return schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * (done - schedule.warm_up) / (1 - schedule.warm_up)))


def _save(
    path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, identity: dict[str, Any], epochs: int
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "identity": identity,
        "epochs": epochs,
    }
    with replacing(path) as file:
        torch.save(state, file)


def _restore(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, identity: dict[str, Any]) -> int:
    """Load a checkpoint; returns the number of epochs behind it."""
    state = torch.load(path, weights_only=True)
    if state["identity"] != identity:
        changed = sorted(key for key in identity if state["identity"].get(key) != identity[key])
        raise BadInputError(
            f"{path} belongs to other settings ({', '.join(changed)}): train without --resume, or elsewhere"
        )
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["epochs"])
