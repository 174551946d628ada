"""Runs VGGT over the clips of a batch."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cloud.spatial_mllm.config import VggtConfig
from cloud.spatial_mllm.vggt.aggregator import AggregatedTokens
from cloud.spatial_mllm.vggt.encoder import Vggt


@dataclass(frozen=True)
class ClipGroup:
    """Clips of one shape, aggregated as one batch.

    Attributes:
        clips: their indices among all clips, length B.
        images: [B, S, 3, H, W] in [0, 1].
        tokens: layers of [B, S, P, 2C]; what the heads take.
    """

    clips: tuple[int, ...]
    images: Tensor
    tokens: AggregatedTokens


@dataclass(frozen=True)
class SpatialFeatures:
    """VGGT's output for all clips of one kind (videos or images)."""

    groups: tuple[ClipGroup, ...]

    def clip(self, index: int, layer: int | None = None) -> Tensor:
        """Tokens of one clip, [S, P, 2C], of a kept `layer` (None: the last)."""
        for group in self.groups:
            if index in group.clips:
                row = group.clips.index(index)
                tokens = group.tokens
                return (tokens.last() if layer is None else tokens.layers[layer])[row]  # [S, P, 2C]
        raise IndexError(f"no clip {index}")

    def patches(self) -> list[Tensor]:
        """Last layer without special tokens, per clip [S_i, h_i*w_i, 2C], in the order of the clips."""
        count = sum(len(group.clips) for group in self.groups)
        start = self.groups[0].tokens.patch_start
        return [self.clip(index)[:, start:] for index in range(count)]


class SpatialEncoder(nn.Module):
    """Holder of VGGT under the reference's name `spatial_encoder.vggt_model`."""

    def __init__(self, config: VggtConfig) -> None:
        super().__init__()
        self.vggt_model = Vggt(config)

    def forward(self, clips: Sequence[Tensor], keep: Collection[int] = ()) -> SpatialFeatures:
        """Aggregate clips [S_i, 3, H_i, W_i] in [0, 1]; equal shapes are stacked into one batch.

        Args:
            clips: frames of each clip, in the dtype of the weights.
            keep: aggregator layers to return besides the last.
        """
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, clip in enumerate(clips):
            by_shape[tuple(clip.shape)].append(index)
        groups: list[ClipGroup] = []
        for indices in by_shape.values():
            images = torch.stack([clips[index] for index in indices])  # [B, S, 3, H, W]
            groups.append(ClipGroup(tuple(indices), images, self.vggt_model.aggregator(images, keep)))
        return SpatialFeatures(tuple(groups))
