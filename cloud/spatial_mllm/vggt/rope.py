"""2-D rotary position embedding of VGGT's attention: the head's first half turns with y, its second with x.

Base 100 (RoPE-ViT, arXiv 2403.13298). Angles are rounded to the working dtype before the cosine, as the reference
does: in bfloat16 that is visible, and the published weights were trained with it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BASE = 100.0


@dataclass(frozen=True)
class Rotation:
    """Cosine and sine of every token, [N, d] or [B, 1, N, d], d = head dimension."""

    cos: Tensor
    sin: Tensor

    def apply(self, tokens: Tensor) -> Tensor:
        """Rotate queries or keys [B, heads, N, d]."""
        y1, y2, x1, x2 = tokens.chunk(4, dim=-1)  # each [B, heads, N, d/4]
        turned = torch.cat((-y2, y1, -x2, x1), dim=-1)  # [B, heads, N, d]
        return tokens * self.cos + turned * self.sin  # [B, heads, N, d]

    def repeat(self, frames: int) -> "Rotation":
        """The rotation of `frames` equal frames laid end to end, [frames * N, d]."""
        return Rotation(self.cos.repeat(frames, 1), self.sin.repeat(frames, 1))


def rotation(positions: Tensor, head_dim: int, dtype: torch.dtype) -> Rotation:
    """Rotation for integer positions (y, x).

    Args:
        positions: int64 [..., N, 2].
        head_dim: channels of one head, divisible by 4.
        dtype: of the tokens that will be turned.
    """
    half = head_dim // 2
    exponents = torch.arange(0, half, 2, device=positions.device).float() / half  # [d/4]
    frequencies = 1.0 / BASE**exponents  # [d/4]
    angles = (positions.unsqueeze(-1).float() * frequencies).to(dtype)  # [..., N, 2, d/4]
    angles = torch.cat((angles, angles), dim=-1).flatten(-2)  # [..., N, d]
    return Rotation(angles.cos(), angles.sin())


def frame_positions(rows: int, columns: int, special_tokens: int, device: torch.device) -> Tensor:
    """Positions of one frame's tokens, int64 [special + rows*columns, 2].

    Special tokens sit at (0, 0); patches start at (1, 1), so no patch shares their place.
    """
    patches = torch.cartesian_prod(
        torch.arange(1, rows + 1, device=device), torch.arange(1, columns + 1, device=device)
    )  # [rows*columns, 2]
    special = torch.zeros(special_tokens, 2, dtype=patches.dtype, device=device)  # [special, 2]
    return torch.cat((special, patches))  # [N, 2]
