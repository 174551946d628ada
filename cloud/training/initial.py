"""First weights: what lets a few million clips of rendered pizza teach a transformer without pre-training.

The published architecture's own initial values suit fine-tuning of large parts: LayerScale 0.01, width-independent
0.02. At width 64 and for an hour of CPU these barely move. Patch embeddings begin as low-frequency DCT filters, each
scaled to unit variance on real frames, so that colour and coarse texture are there from the first step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cloud.spatial_mllm import SpatialMLLM

LAYER_SCALE = 0.5
COLOURS = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (-0.5, 1.0, -0.5))  # luma, red against blue, green against magenta


def dct_filters(count: int, patch: int) -> Tensor:
    """The `count` lowest-frequency DCT-II filters over luma and two chromas, float32 [count, 3, patch, patch]."""
    positions = torch.arange(patch) + 0.5  # [p]
    waves = torch.cos(math.pi / patch * torch.arange(patch)[:, None] * positions)  # [p frequencies, p]
    waves = waves / waves.norm(dim=1, keepdim=True)  # [p, p], rows of norm 1
    order = sorted(
        (
            (v + u + (1.5 if colour else 0.0), colour, v, u)
            for colour in range(3)
            for v in range(patch)
            for u in range(patch)
        ),
    )[:count]
    colours = torch.tensor(COLOURS)  # [3, 3]
    colours = colours / colours.norm(dim=1, keepdim=True)  # [3, 3]
    return torch.stack(
        [colours[colour][:, None, None] * waves[v][:, None] * waves[u] for _, colour, v, u in order]
    )  # [count, 3, p, p]


def initialise(model: nn.Module, seed: int) -> None:
    """Draw the weights of `model`, or of a part of one, anew from `seed`; those of convolutions stay."""
    random = torch.Generator().manual_seed(seed)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            residual = name.endswith(("proj", "fc2", "down_proj", "o_proj"))
            std = (0.5 if residual else 1.0) / math.sqrt(module.in_features)
            nn.init.normal_(module.weight, std=std, generator=random)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.embedding_dim), generator=random)
    for name, parameter in model.named_parameters():
        if name.endswith(".gamma"):
            nn.init.constant_(parameter, LAYER_SCALE)
        elif name.endswith(("camera_token", "register_token", "register_tokens", "cls_token", "pos_embed")):
            nn.init.normal_(parameter, std=0.2, generator=random)


def initialise_heads(heads: nn.Module, seed: int) -> None:
    """Draw the auxiliary read-outs anew from `seed`, whatever was drawn before in this process."""
    random = torch.Generator().manual_seed(seed)
    for module in heads.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_features), generator=random)
            nn.init.zeros_(module.bias)


@torch.no_grad()
def fit_patch_filters(model: SpatialMLLM, frames: Tensor, normalised: Tensor) -> None:
    """Set both patch embeddings to DCT filters whose outputs have unit variance.

    Args:
        frames: [N, 3, h, w], as the spatial encoder's trunk gets them (ImageNet-normalised).
        normalised: [N, 3, 2, p, p] patches of two frames, as the vision tower gets them.
    """
    if model.config.geometry:
        spatial = model.spatial_encoder.vggt_model.aggregator.patch_embed.patch_embed.proj  # Conv2d 3 -> C
        filters = dct_filters(spatial.out_channels, spatial.kernel_size[0])  # [C, 3, p, p]
        seen = nn.functional.conv2d(frames, filters, stride=spatial.stride)  # [N, C, h/p, w/p]
        spread = seen.std(dim=(0, 2, 3)).clamp_min(1e-3)  # [C]
        spatial.weight.copy_(filters / spread[:, None, None, None])
        if spatial.bias is not None:
            spatial.bias.copy_(-seen.mean(dim=(0, 2, 3)) / spread)

    vision = model.visual.patch_embed.proj  # Conv3d 3 -> D
    together = dct_filters(vision.out_channels * 3 // 4, vision.kernel_size[-1])  # [3D/4, 3, p, p]
    apart = dct_filters(vision.out_channels - len(together), vision.kernel_size[-1])  # [D/4, 3, p, p]
    both = torch.cat(
        (torch.stack((together, together), dim=2), torch.stack((apart, -apart), dim=2))
    )  # [D, 3, 2, p, p]: sums and differences of the pair
    seen = torch.einsum("nctyx,dctyx->nd", normalised, both)  # [N, D]
    spread = seen.std(dim=0).clamp_min(1e-3)  # [D]
    vision.weight.copy_(both / spread[:, None, None, None, None])
