"""Dense losses that teach the encoders what to look for, far faster than the answer's few tokens can.

Linear heads read the aggregator's patch tokens, its camera tokens, the fused visual tokens and the language model's
hidden state where it names the doneness. They exist during training only and are not part of the checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloud.training.batches import Batch
from cloud.training.targets import bake_histogram

BINS = 50  # of the bake index
BIN_SIGMA = 0.02
DEPTH_CENTRE_M, DEPTH_SCALE_M = 0.18, 0.06
POINT_SCALE_M = (0.10, 0.10, 0.02)  # x, y on the belt, z up
SHIFT_SCALE_M = 0.10
LEVELS = ("coverage", "burn", "bake")


@dataclass(frozen=True)
class Features:
    """What a forward pass offers to the auxiliary losses. B clips, S frames, h x w patches."""

    patches: Tensor  # [B, S, h, w, 2C] aggregator, last layer
    cameras: Tensor  # [B, S, 2C] its camera tokens
    fused: Tensor  # [B, S/2, h/2, w/2, D] visual tokens plus connector, as the language model gets them
    answer: Tensor  # [B, D] hidden state that predicts the doneness token


class AuxiliaryHeads(nn.Module):
    """Linear read-outs; `losses` compares them with the records."""

    def __init__(self, aggregator_width: int, hidden: int) -> None:
        super().__init__()
        self.patch = nn.Linear(aggregator_width, 4 * 7)  # 2x2 cells x (coverage, burn, bake, depth, point)
        self.camera = nn.Linear(aggregator_width, 12)
        self.fused = nn.Linear(hidden, 2 * 16 * 3)  # 2 frames x 4x4 cells x (coverage, burn, bake)
        self.index = nn.Linear(hidden, BINS)
        # residual streams grow to a spread of 5, on which a linear read-out would follow every step of its own
        self.patch_norm, self.camera_norm, self.fused_norm = (
            nn.LayerNorm(width, elementwise_affine=False) for width in (aggregator_width, aggregator_width, hidden)
        )

    def losses(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        """Named scalar losses."""
        maps = torch.stack([batch.maps(name) for name in LEVELS], dim=-1)  # [B, S, 2h, 2w, 3]
        coverage = maps[..., 0]  # [B, S, 2h, 2w]
        B, S, h, w, _ = features.patches.shape

        dense = self.patch(self.patch_norm(features.patches)).view(B, S, h, w, 2, 2, 7)  # [B, S, h, w, 2, 2, 7]
        dense = dense.permute(0, 1, 2, 4, 3, 5, 6).reshape(B, S, 2 * h, 2 * w, 7)  # [B, S, 2h, 2w, 7]
        depth = (batch.maps("depth") - DEPTH_CENTRE_M) / DEPTH_SCALE_M  # [B, S, 2h, 2w]
        points = batch.points() / torch.tensor(POINT_SCALE_M)  # [B, S, 2h, 2w, 3]
        on = coverage.sum().clamp_min(1)

        per_frame = self.fused(self.fused_norm(features.fused)).view(B, S // 2, h // 2, w // 2, 2, 4, 4, 3)
        per_frame = per_frame.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(B, S, 2 * h, 2 * w, 3)  # [B, S, 2h, 2w, 3]

        first = batch.maps("poses")[:, :1]  # [B, 1, 3, 4]
        moved = batch.maps("poses")  # [B, S, 3, 4]
        shift = (moved[..., 3] - first[..., 3]) / SHIFT_SCALE_M  # [B, S, 3]
        pose = torch.cat((moved[..., :3].flatten(2), shift), dim=-1)  # [B, S, 12]

        histogram = torch.from_numpy(bake_histogram(batch.records["bake_index"], BINS, BIN_SIGMA))  # [B, BINS]
        return {
            "spatial_maps": _map_loss(dense[..., :3], maps),
            "depth": F.smooth_l1_loss(dense[..., 3], depth),
            "points": (F.smooth_l1_loss(dense[..., 4:], points, reduction="none").mean(-1) * coverage).sum() / on,
            "pose": F.smooth_l1_loss(self.camera(self.camera_norm(features.cameras)), pose),
            "fused_maps": _map_loss(per_frame, maps),
            "bake_index": F.cross_entropy(self.index(features.answer), histogram),
        }


def _map_loss(predicted: Tensor, maps: Tensor) -> Tensor:
    """Squared error of coverage everywhere, of burn and bake where the pizza is. Both [B, S, H2, W2, 3]."""
    coverage = maps[..., 0]  # [B, S, H2, W2]
    error = (predicted - maps).square()  # [B, S, H2, W2, 3]
    on = coverage.sum().clamp_min(1)
    inside: Tensor = (error[..., 1:].sum(-1) * coverage).sum() / on
    return error[..., 0].mean() + 4 * inside


WEIGHTS = {"spatial_maps": 2.0, "depth": 0.3, "points": 0.5, "pose": 0.3, "fused_maps": 2.0, "bake_index": 1.0}


def total(losses: dict[str, Tensor]) -> Tensor:
    """Weighted sum."""
    return torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum()
