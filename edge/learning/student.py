"""The edge network as a student: the loss of a step, with labels alone or with a teacher's lessons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge.learning.lessons import Lessons
from edge.learning.network import EdgeNetwork

Loss = Callable[[Any, Tensor, Tensor], Tensor]
"""Network, frames float32 [B, 3, S, S] and their positions int64 [B] to the mean loss."""


class Student(nn.Module):
    """An edge network with a linear layer that tells the teacher's features; only the network is kept."""

    def __init__(self, network: EdgeNetwork, features: int) -> None:
        super().__init__()
        self.network = network
        self.tell = nn.Linear(network.head.in_channels, features)

    def forward(self, x: Tensor) -> Tensor:
        """As the network: frames float32 [N, 3, H, W] to logits [N, labels]."""
        logits: Tensor = self.network(x)
        return logits


def targets_of(labels: NDArray[np.int64], shares: NDArray[np.float32] | None, count: int) -> NDArray[np.float32]:
    """What labellers said, float32 [N, labels]: `shares`, or one of `count` labels int64 [N]."""
    return np.eye(count, dtype=np.float32)[labels] if shares is None else shares


def label_loss(targets: NDArray[np.float32], smoothing: float) -> Loss:
    """Cross-entropy with the targets float32 [N, labels]."""
    wanted = torch.from_numpy(targets)

    def loss(network: nn.Module, x: Tensor, picks: Tensor) -> Tensor:
        return F.cross_entropy(network(x), wanted[picks], label_smoothing=smoothing)

    return loss


def taught_loss(
    targets: NDArray[np.float32], lessons: Lessons, smoothing: float, share: float, feature_weight: float
) -> Loss:
    """Cross-entropy with `share` of the teacher's opinion in the targets, and the squared error of told features.

    Hinton et al. 2015 (arXiv:1503.02531) and Romero et al. 2014 (arXiv:1412.6550), on the pooled layer.
    """
    wanted = torch.from_numpy((1 - share) * targets + share * lessons.opinions)  # [N, labels]
    features = torch.from_numpy(lessons.features)  # [N, D]

    def loss(student: Student, x: Tensor, picks: Tensor) -> Tensor:
        pooled = student.network.pooled(x)  # [B, C, 1, 1]
        logits = student.network.head(pooled)[:, :, 0, 0]  # [B, labels]
        told = student.tell(pooled[:, :, 0, 0])  # [B, D]
        said = F.cross_entropy(logits, wanted[picks], label_smoothing=smoothing)
        return said + feature_weight * F.mse_loss(told, features[picks])

    return loss
