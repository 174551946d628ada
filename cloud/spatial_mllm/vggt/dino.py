"""DINOv2 trunk with registers (arXiv 2304.07193, 2309.16588), the first stage of VGGT."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloud.spatial_mllm.config import VggtConfig
from cloud.spatial_mllm.vggt.block import Block, frame_by_frame


class PatchEmbed(nn.Module):
    """Convolution that cuts the frame into patches."""

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, H/p * W/p, C], row by row."""
        tokens: Tensor = self.proj(images).flatten(2).transpose(1, 2)  # [B, h*w, C]
        return tokens


def resample_positions(table: Tensor, rows: int, columns: int) -> Tensor:
    """Fit the learned position table to a frame of `rows` x `columns` patches.

    Bicubic with antialiasing, by size, in fp32 whatever the dtype of the table. The square table is left untouched
    only for its own size: an equal number of patches in another shape is resampled.

    Args:
        table: [1, 1 + M*M, C], the cls token's row first.

    Returns:
        [1, 1 + rows*columns, C], same dtype.
    """
    side = round((table.shape[1] - 1) ** 0.5)
    if rows == side and columns == side:
        return table
    cls, grid = table[:, :1].float(), table[:, 1:].float()  # [1, 1, C], [1, M*M, C]
    grid = grid.reshape(1, side, side, -1).permute(0, 3, 1, 2)  # [1, C, M, M]
    grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", antialias=True)  # [1, C, rows, columns]
    return torch.cat((cls, grid.flatten(2).transpose(1, 2)), dim=1).to(table.dtype)  # [1, 1 + rows*columns, C]


class DinoTrunk(nn.Module):
    """ViT with a cls token, register tokens and LayerNorm epsilon 1e-6."""

    def __init__(self, config: VggtConfig) -> None:
        super().__init__()
        width, dino = config.width, config.dino
        self.patch_size = config.patch_size
        self.patch_embed = PatchEmbed(width, config.patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))  # [1, 1, C]
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + dino.position_grid**2, width))  # [1, 1 + M*M, C]
        self.register_tokens = nn.Parameter(torch.zeros(1, dino.register_tokens, width))  # [1, R, C]
        self.blocks = nn.ModuleList(
            Block(width, dino.num_heads, dino.mlp_size, eps=1e-6, qk_norm=False, layer_scale=1.0)
            for _ in range(dino.depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        # Only DINOv2's own pre-training reads it; it is in every checkpoint, so it is kept, without gradient.
        self.mask_token = nn.Parameter(torch.zeros(1, width), requires_grad=False)  # [1, C]
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.normal_(self.cls_token, std=1e-6)
        nn.init.normal_(self.register_tokens, std=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised patch tokens [B, h*w, C] of normalised frames [B, 3, H, W]."""
        B, _, H, W = images.shape
        rows, columns = H // self.patch_size, W // self.patch_size
        x = torch.cat((self.cls_token.expand(B, -1, -1), self.patch_embed(images)), dim=1)  # [B, 1 + h*w, C]
        x = x + resample_positions(self.pos_embed, rows, columns)  # [B, 1 + h*w, C]
        # registers come after the position sum: they have no place in the frame
        x = torch.cat((x[:, :1], self.register_tokens.expand(B, -1, -1), x[:, 1:]), dim=1)  # [B, 1+R+h*w, C]
        for block in self.blocks:
            x = frame_by_frame(block, x)  # [B, 1+R+h*w, C]
        patches: Tensor = self.norm(x)[:, 1 + self.register_tokens.shape[1] :]  # [B, h*w, C]
        return patches
