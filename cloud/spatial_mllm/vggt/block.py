"""Transformer block shared by the DINOv2 trunk, the aggregator and the camera head.

Pre-norm attention and MLP, each scaled per channel (LayerScale, arXiv 2103.17239) before the residual sum. The
three users differ in the LayerNorm epsilon and in q/k norm with RoPE.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloud.spatial_mllm.vggt.rope import Rotation

FRAMES_AT_ONCE = 8


def frame_by_frame(block: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Run `block` over [N, P, C], a row a frame, a few frames at a time: each sees itself only, so nothing changes.

    The hidden layers of all frames at once would be the most memory that a long clip takes. In training everything is
    kept for the gradient anyway.
    """
    if len(x) <= FRAMES_AT_ONCE or torch.is_grad_enabled():
        return block(x)
    return torch.cat([block(some) for some in torch.split(x, FRAMES_AT_ONCE)])  # [N, P, C]


class LayerScale(nn.Module):
    """Learned gain per channel."""

    def __init__(self, width: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), initial))  # [C]

    def forward(self, x: Tensor) -> Tensor:
        """Scale the last dimension of `x` [..., C]."""
        return x * self.gamma  # [..., C]


class Attention(nn.Module):
    """Self-attention over N tokens; queries and keys normalised per head when `qk_norm`."""

    def __init__(self, width: int, num_heads: int, *, qk_norm: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = nn.LayerNorm(width // num_heads, eps=1e-5) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(width // num_heads, eps=1e-5) if qk_norm else nn.Identity()
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, rotation: Rotation | None) -> Tensor:
        """Attend within each row of `x` [B, N, C]."""
        B, N, C = x.shape
        qkv = self.qkv(x).view(B, N, 3, self.num_heads, C // self.num_heads)  # [B, N, 3, heads, d]
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, N, d]
        q, k = self.q_norm(q), self.k_norm(k)
        if rotation is not None:
            q, k = rotation.apply(q), rotation.apply(k)
        out = F.scaled_dot_product_attention(q, k, v)  # [B, heads, N, d]
        mixed: Tensor = self.proj(out.transpose(1, 2).reshape(B, N, C))  # [B, N, C]
        return mixed


class Mlp(nn.Module):
    """Two linear layers with the exact (erf) GELU between."""

    def __init__(self, width: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width if out is None else out)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` [..., C] to [..., out]."""
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))  # [..., out]
        return y


class Block(nn.Module):
    """Attention and MLP with residuals."""

    def __init__(
        self, width: int, num_heads: int, mlp_size: int, *, eps: float, qk_norm: bool, layer_scale: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, num_heads, qk_norm=qk_norm)
        self.ls1 = LayerScale(width, layer_scale)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, mlp_size)
        self.ls2 = LayerScale(width, layer_scale)

    def forward(self, x: Tensor, rotation: Rotation | None = None) -> Tensor:
        """Mix the tokens of each row of `x` [B, N, C]."""
        x = x + self.ls1(self.attn(self.norm1(x), rotation))  # [B, N, C]
        mixed: Tensor = x + self.ls2(self.mlp(self.norm2(x)))  # [B, N, C]
        return mixed
