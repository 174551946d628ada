"""VGGT's aggregator: attention alternates between the tokens of one frame and those of all frames.

The feature backbone of arXiv 2503.11651.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from cloud.spatial_mllm.config import VggtConfig
from cloud.spatial_mllm.vggt.block import Block, frame_by_frame
from cloud.spatial_mllm.vggt.dino import DinoTrunk
from cloud.spatial_mllm.vggt.rope import frame_positions, rotation
from shared.errors import BadInputError

# ImageNet statistics of RGB in [0, 1]. Plain tuples: a non-persistent buffer would hold garbage after a load on
# the meta device.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class AggregatedTokens:
    """Output of the aggregator for B clips of S frames.

    Attributes:
        layers: layer index -> [B, S, P, 2C], frame half first; P = patch_start + rows * columns. Only the layers
            that were asked for: all 24 of 16 frames at 476x644 take 2.3 GiB in bfloat16, one takes 0.1.
        patch_start: tokens before the first patch (camera token, then registers).
        rows, columns: patches of a frame.
        patch_size: pixels of a patch's side.
    """

    layers: dict[int, Tensor]
    patch_start: int
    rows: int
    columns: int
    patch_size: int

    def last(self) -> Tensor:
        """Tokens of the highest layer kept, [B, S, P, 2C]."""
        return self.layers[max(self.layers)]


class Aggregator(nn.Module):
    """DINOv2 trunk, camera and register tokens, then `depth` pairs of a frame block and a global block."""

    def __init__(self, config: VggtConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.head_dim = config.width // config.num_heads
        self.patch_embed = DinoTrunk(config)
        self.frame_blocks = nn.ModuleList(_block(config) for _ in range(config.depth))
        self.global_blocks = nn.ModuleList(_block(config) for _ in range(config.depth))
        # index 0 marks the first frame, whose camera is the world's origin; index 1 every later frame
        self.camera_token = nn.Parameter(torch.empty(1, 2, 1, config.width))  # [1, 2, 1, C]
        self.register_token = nn.Parameter(torch.empty(1, 2, config.register_tokens, config.width))  # [1, 2, R, C]
        nn.init.normal_(self.camera_token, std=1e-6)
        nn.init.normal_(self.register_token, std=1e-6)

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.frame_blocks)

    def forward(self, images: Tensor, keep: Collection[int] = ()) -> AggregatedTokens:
        """Aggregate clips.

        Args:
            images: [B, S, 3, H, W] in [0, 1], dtype of the weights; H and W multiples of the patch size.
            keep: layers to return besides the last one; negative counts from the end.

        Raises:
            BadInputError: the frames are no multiple of the patch size, or a layer does not exist.
        """
        B, S, _, H, W = images.shape
        if H % self.patch_size or W % self.patch_size:
            raise BadInputError(f"frames of {W}x{H} pixels: both sides must be multiples of {self.patch_size}")
        wanted = self._layer_indices(keep)
        rows, columns = H // self.patch_size, W // self.patch_size
        mean = images.new_tensor(IMAGE_MEAN).view(3, 1, 1)  # [3, 1, 1]
        std = images.new_tensor(IMAGE_STD).view(3, 1, 1)  # [3, 1, 1]
        patches = self.patch_embed(((images - mean) / std).flatten(0, 1))  # [B*S, h*w, C]
        special = torch.cat((self.camera_token, self.register_token), dim=2)  # [1, 2, 1+R, C]
        per_frame = torch.cat((special[:, :1], special[:, 1:].expand(-1, S - 1, -1, -1)), dim=1)  # [1, S, 1+R, C]
        x = torch.cat((per_frame.expand(B, -1, -1, -1).flatten(0, 1), patches), dim=1)  # [B*S, P, C]
        P, C = x.shape[1:]
        start = P - rows * columns
        within = rotation(frame_positions(rows, columns, start, x.device), self.head_dim, x.dtype)  # [P, d]
        across = within.repeat(S)  # [S*P, d]
        layers: dict[int, Tensor] = {}
        for index, (frame_block, global_block) in enumerate(zip(self.frame_blocks, self.global_blocks, strict=True)):
            in_frame = frame_by_frame(partial(frame_block, rotation=within), x.view(B * S, P, C))  # [B*S, P, C]
            x = global_block(in_frame.view(B, S * P, C), across)  # [B, S*P, C], frame-major
            if index in wanted:
                layers[index] = torch.cat((in_frame.view(B, S, P, C), x.view(B, S, P, C)), dim=-1)  # [B, S, P, 2C]
        return AggregatedTokens(layers, start, rows, columns, self.patch_size)

    def _layer_indices(self, keep: Collection[int]) -> set[int]:
        if bad := [layer for layer in keep if not -self.depth <= layer < self.depth]:
            raise BadInputError(f"aggregator layers {bad} do not exist: there are {self.depth}")
        return {layer % self.depth for layer in keep} | {self.depth - 1}


def _block(config: VggtConfig) -> Block:
    return Block(config.width, config.num_heads, config.mlp_size, eps=1e-5, qk_norm=True, layer_scale=0.01)
