"""Dense losses that teach the encoders what to look for, far faster than the answer's few tokens can.

Linear heads read the aggregator's patch tokens, its camera tokens, the fused visual tokens and the language model's
hidden states where it names the doneness and the hour. They exist during training only and are not part of the
checkpoint. What they ask for and why is decision 0128.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloud.training.batches import Batch
from cloud.training.targets import bake_histogram, char_direction

BINS = 50  # of the bake index
BIN_SIGMA = 0.02
DEPTH_CENTRE_M, DEPTH_SCALE_M = 0.18, 0.06
POINT_SCALE_M = (0.10, 0.10, 0.006)  # x, y on the belt, z up: crusts differ by 3.5 mm
SHIFT_SCALE_M = 0.10
FLOW_SCALE = 0.3  # frame widths
LEVELS = ("coverage", "burn", "bake")
BURN_EMPHASIS = 8.0  # a charred cell counts so many times more: leopard spots are few cells


@dataclass(frozen=True)
class Features:
    """What a forward pass offers to the auxiliary losses. B clips, S frames, h x w patches; None without geometry."""

    patches: Tensor | None  # [B, S, h, w, 2C] aggregator, last layer
    cameras: Tensor | None  # [B, S, 2C] its camera tokens
    fused: Tensor  # [B, S/2, h/2, w/2, D] visual tokens plus connector, as the language model gets them
    answer: Tensor  # [B, D] hidden state that predicts the doneness token
    hour: Tensor  # [B, D] hidden state that predicts the hour


class AuxiliaryHeads(nn.Module):
    """Linear read-outs; `losses` compares them with the records."""

    def __init__(self, aggregator_width: int, hidden: int) -> None:
        super().__init__()
        self.patch = nn.Linear(aggregator_width, 4 * 9)  # 2x2 cells x (coverage, burn, bake, depth, point, flow)
        self.camera = nn.Linear(aggregator_width, 12)
        self.fused = nn.Linear(hidden, 2 * 16 * 6)  # 2 frames x 4x4 cells x (coverage, burn, bake, point)
        self.direction = nn.Linear(
            hidden, 4
        )  # sine and cosine of the char's direction, belt's direction in the picture
        self.index = nn.Linear(hidden, BINS)
        # residual streams grow to a spread of 5, on which a linear read-out would follow every step of its own
        self.patch_norm, self.camera_norm, self.fused_norm = (
            nn.LayerNorm(width, elementwise_affine=False) for width in (aggregator_width, aggregator_width, hidden)
        )

    def losses(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        """Named scalar losses."""
        maps = _maps(batch)  # [B, S, 2h, 2w, 3]
        B, S, H2, W2, _ = maps.shape
        fused = self.fused(self.fused_norm(features.fused)).view(B, S // 2, H2 // 4, W2 // 4, 2, 4, 4, 6)
        fused = fused.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(B, S, H2, W2, 6)  # [B, S, 2h, 2w, 6]
        histogram = torch.from_numpy(bake_histogram(batch.records["bake_index"], BINS, BIN_SIGMA))  # [B, BINS]
        losses = {
            "fused_maps": _map_loss(fused[..., :3], maps),
            "fused_points": _point_loss(fused[..., 3:], batch, maps[..., 0]),
            "bake_index": F.cross_entropy(self.index(features.answer), histogram),
            **self._directions(features.hour, batch),
        }
        if features.patches is None or features.cameras is None:
            return losses
        return losses | self.geometry(features.patches, features.cameras, batch)

    def geometry(self, patches: Tensor, cameras: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The losses of the spatial encoder alone, from its patches [B, S, h, w, 2C] and camera tokens [B, S, 2C]."""
        maps = _maps(batch)  # [B, S, 2h, 2w, 3]
        B, S, h, w, _ = patches.shape
        dense = self.patch(self.patch_norm(patches)).view(B, S, h, w, 2, 2, 9)  # [B, S, h, w, 2, 2, 9]
        dense = dense.permute(0, 1, 2, 4, 3, 5, 6).reshape(B, S, 2 * h, 2 * w, 9)  # [B, S, 2h, 2w, 9]
        depth = (batch.maps("depth") - DEPTH_CENTRE_M) / DEPTH_SCALE_M  # [B, S, 2h, 2w]
        moved = batch.maps("poses")  # [B, S, 3, 4]
        shift = (moved[..., 3] - moved[:, :1, :, 3]) / SHIFT_SCALE_M  # [B, S, 3]
        pose = torch.cat((moved[..., :3].flatten(2), shift), dim=-1)  # [B, S, 12]
        return {
            "spatial_maps": _map_loss(dense[..., :3], maps),
            "depth": F.smooth_l1_loss(dense[..., 3], depth),
            "points": _point_loss(dense[..., 4:7], batch, maps[..., 0]),
            "flow": F.smooth_l1_loss(dense[..., 7:], batch.flow() / FLOW_SCALE),
            "pose": F.smooth_l1_loss(self.camera(self.camera_norm(cameras)), pose),
        }

    def _directions(self, hour: Tensor, batch: Batch) -> dict[str, Tensor]:
        """How far the char's direction on the pizza, and the belt's in the picture, are missed; 0 of a lone frame.

        Hours are counted from the belt's travel, which only movement shows: a model that does not know it names
        hours of the picture.
        """
        if batch.chosen.min() == batch.chosen.max():
            return {"char_direction": hour.new_zeros(()), "belt_direction": hour.new_zeros(())}
        said = self.direction(hour)  # [B, 4]
        true = torch.from_numpy(char_direction(batch.records["char_by_hour"]))  # [B, 2]
        known = torch.from_numpy((batch.records["hour"] > 0).astype("float32"))  # [B]
        apart = (said[:, :2] - F.normalize(true, dim=-1)).square().sum(-1)  # [B]
        belt = F.normalize(batch.maps("poses")[:, 0, :2, 0], dim=-1)  # [B, 2]: x of the world in the picture
        return {
            "char_direction": (known * apart).sum() / known.sum().clamp_min(1),
            "belt_direction": (said[:, 2:] - belt).square().sum(-1).mean(),
        }


def _maps(batch: Batch) -> Tensor:
    """The levels of the shown frames, [B, S, H2, W2, 3]."""
    return torch.stack([batch.maps(name) for name in LEVELS], dim=-1)


def _point_loss(said: Tensor, batch: Batch, coverage: Tensor) -> Tensor:
    """Error of points [B, S, H2, W2, 3] where the pizza is; `coverage` [B, S, H2, W2]."""
    points = batch.points() / torch.tensor(POINT_SCALE_M)  # [B, S, H2, W2, 3]
    error: Tensor = F.smooth_l1_loss(said, points, reduction="none").mean(-1)  # [B, S, H2, W2]
    return (error * coverage).sum() / coverage.sum().clamp_min(1)


def _map_loss(predicted: Tensor, maps: Tensor) -> Tensor:
    """Squared error of coverage everywhere, of burn and bake where the pizza is. Both [B, S, H2, W2, 3]."""
    coverage = maps[..., 0]  # [B, S, H2, W2]
    error = (predicted - maps).square()  # [B, S, H2, W2, 3]
    on = coverage.sum().clamp_min(1)
    burn = error[..., 1] * (1 + BURN_EMPHASIS * maps[..., 1])  # [B, S, H2, W2]
    inside: Tensor = ((burn + error[..., 2]) * coverage).sum() / on
    return error[..., 0].mean() + 4 * inside


WEIGHTS = {
    "spatial_maps": 2.0,
    "depth": 0.3,
    "points": 0.5,
    "flow": 1.0,
    "pose": 1.0,
    "fused_maps": 2.0,
    "fused_points": 0.5,
    "bake_index": 1.0,
    "char_direction": 1.0,
    "belt_direction": 0.5,
}


def total(losses: dict[str, Tensor]) -> Tensor:
    """Weighted sum."""
    return torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum()
