"""The int8 grid of an activation: scale and zero point, and rounding to it with gradients passed straight through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LOW, HIGH = -128, 127


@dataclass(frozen=True, slots=True)
class Grid:
    """Real value = (q - zero_point) * scale for q in -128..127."""

    scale: float  # a float32, held exactly
    zero_point: int

    @classmethod
    def over(cls, low: float, high: float) -> Grid:
        """The grid that covers low..high and holds 0 exactly (padding and ReLU need it)."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = float(np.float32(max((high - low) / (HIGH - LOW), 1e-6)))
        return cls(scale, int(np.clip(round(LOW - low / scale), LOW, HIGH)))

    def rounded(self, x: Tensor) -> Tensor:
        """`x` on the grid, saturated; the gradient is 1 inside the range and 0 outside (straight-through)."""
        low, high = (LOW - self.zero_point) * self.scale, (HIGH - self.zero_point) * self.scale
        clamped = x.clamp(low, high)
        on_grid = torch.round(clamped / self.scale) * self.scale
        return clamped + (on_grid - clamped).detach()


def rounded_weights(weight: Tensor, scales: Tensor, bound: int) -> Tensor:
    """Weights [O, ...] on grids of `scales` float32 [O], `bound` steps a side, with straight-through gradient."""
    shaped = scales.reshape(-1, *[1] * (weight.dim() - 1))
    on_grid = torch.round(weight / shaped).clamp(-bound, bound) * shaped
    return weight + (on_grid - weight).detach()
