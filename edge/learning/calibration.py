"""Ranges of the activations, from calibration frames: what each int8 scale and zero point is made of."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edge.learning.folding import FoldedLayer, FoldedNetwork
from edge.learning.grid import Grid

SAMPLE = 200_000  # values a layer that the search looks at
CANDIDATES = 48
SMALLEST_SHARE = 0.25  # of the largest value, where the search begins


def apply_layer(layer: FoldedLayer, x: Tensor) -> Tensor:
    """The folded layer in float: [N, I, h, w] to [N, O, h', w']; torch's symmetric padding."""
    groups = x.shape[1] if layer.depthwise else 1
    y = F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.weight.shape[2] // 2, groups=groups)
    return torch.relu(y) if layer.relu else y


def calibrate(network: FoldedNetwork, frames: Tensor, seed: int) -> tuple[Grid, ...]:
    """One grid a layer's output, the head's last, from frames float32 [N, 3, H, W] in 0..1.

    Rectified outputs take the upper bound of least squared rounding error on a sample; logits take their whole range.
    """
    generator = torch.Generator().manual_seed(seed)
    grids: list[Grid] = []
    x = frames
    with torch.no_grad():
        for layer in network.layers:
            if not layer.relu:
                x = x.mean(dim=(2, 3), keepdim=True)  # [N, C, 1, 1]
            x = apply_layer(layer, x)
            if layer.relu:
                flat = x.reshape(-1)
                picks = torch.randint(flat.numel(), (min(SAMPLE, flat.numel()),), generator=generator)
                grids.append(_least_error_grid(flat[picks]))
            else:
                grids.append(Grid.over(float(x.min()), float(x.max())))
    return tuple(grids)


def _least_error_grid(values: Tensor) -> Grid:
    """The grid over 0..high with the least squared error on `values` float32 [n]."""
    largest = max(float(values.max()), 1e-3)
    grids = [Grid.over(0.0, largest * share) for share in np.linspace(SMALLEST_SHARE, 1.0, CANDIDATES)]
    errors = [float(((grid.rounded(values) - values) ** 2).mean()) for grid in grids]
    return grids[int(np.argmin(errors))]
