"""Random changes of training frames that a camera over an oven line makes too: pose, light, colour, blur, noise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT = 0.10  # of half the frame
ZOOM = 0.12
TILT = 0.15  # radians
EXPOSURE = 0.10  # log gain of all channels
WHITE_BALANCE = 0.05  # log gain of a channel
BLUR_SHARE = 0.3
NOISE = 0.015  # standard deviation, of full scale


def augment(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Frames float32 [N, 3, S, S] in 0..1, each changed in its own random way; the same range."""
    count, device = len(frames), frames.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device) * 2 - 1

    flips = torch.where(uniform(count, 2) < 0, -1.0, 1.0)  # [N, 2]: x, y
    zoom = 1 + ZOOM * uniform(count)  # [N]
    angle = TILT * uniform(count)  # [N]
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    shift = SHIFT * uniform(count, 2)  # [N, 2]
    matrix = torch.stack(
        [
            torch.stack([cos * flips[:, 0], -sin * flips[:, 1], shift[:, 0]], dim=1),
            torch.stack([sin * flips[:, 0], cos * flips[:, 1], shift[:, 1]], dim=1),
        ],
        dim=1,
    )  # [N, 2, 3]
    grid = F.affine_grid(matrix, list(frames.shape), align_corners=False)  # [N, S, S, 2]
    frames = F.grid_sample(frames, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    gains = torch.exp(EXPOSURE * uniform(count, 1) + WHITE_BALANCE * uniform(count, 3))  # [N, 3]
    frames = frames * gains[:, :, None, None]
    blurred = F.avg_pool2d(frames, 3, 1, 1, count_include_pad=False)  # [N, 3, S, S]
    share = torch.where(uniform(count) < 2 * BLUR_SHARE - 1, uniform(count).abs(), torch.zeros(count))  # [N]
    frames = torch.lerp(frames, blurred, share[:, None, None, None])
    level = NOISE * uniform(count).abs()  # [N]
    frames = frames + level[:, None, None, None] * torch.randn(frames.shape, generator=generator, device=device)
    return frames.clamp(0, 1)
