"""Which weights of a dense layer may be zero for a whole pair of output channels: what the compiler then never loads.

Generated code (firmware_sim/compiler/dense_code.py) does output channels 0 and 1 together, then 2 and 3, ...; a word of
input that neither of a pair weighs is not loaded, and zero weights are no instructions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

RAMP = 2 / 3  # of the epochs: by then the whole share is zero, the rest makes good for it


def pair_mask(weight: Tensor, share: float) -> Tensor:
    """Bool [O, I, kh, kw]: false where the weakest `share` of the (pair of channels, tap) groups of `weight` lie.

    A channel's weights count relative to their own norm: what follows scales channels as it likes.
    """
    channels = len(weight)
    flat = weight.detach().flatten(1)  # [O, taps]
    energy = (flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-12)) ** 2
    pairs = F.pad(energy, (0, 0, 0, channels % 2)).reshape(-1, 2, energy.shape[1]).sum(dim=1)  # [P, taps]
    zeros = round(share * pairs.numel())
    keep = torch.ones(pairs.numel(), dtype=torch.bool)
    keep[torch.argsort(pairs.flatten(), stable=True)[:zeros]] = False
    return keep.reshape(pairs.shape).repeat_interleave(2, dim=0)[:channels].reshape(weight.shape)


def ramped(share: float, epoch: int, epochs: int) -> float:
    """The share that is zero during `epoch`, 0-based: rises as Zhu and Gupta 2017 (arXiv:1710.01878) have it."""
    done = min(1.0, (epoch + 1) / max(1.0, RAMP * epochs))
    return share * (1 - (1 - done) ** 3)
