"""Ranges of the activations, from calibration frames: what each int8 scale and zero point is made of."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edge.learning.folding import FoldedLayer, FoldedNetwork
from edge.learning.grid import Grid
from edge.learning.network import padded_as_same, rectified

SAMPLE = 200_000  # values a layer that the search looks at
CANDIDATES = 48
SMALLEST_SHARE = 0.25  # of the largest value, where the search begins


def apply_layer(layer: FoldedLayer, x: Tensor) -> Tensor:
    """The folded layer in float, without what is added to it: [N, I, h, w] to [N, O, h', w']."""
    y = convolved(layer, x, layer.weight, layer.bias)
    return rectified(y, layer.ceiling) if layer.relu else y


def convolved(layer: FoldedLayer, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The layer's convolution with these weights [O, I / groups, kh, kw]: [N, I, h, w] to [N, O, h', w']."""
    kernel, groups = weight.shape[2], x.shape[1] if layer.depthwise else 1
    if layer.far:
        return F.conv2d(padded_as_same(x, kernel, layer.stride), weight, bias, layer.stride, 0, groups=groups)
    return F.conv2d(x, weight, bias, layer.stride, kernel // 2, groups=groups)


def calibrate(network: FoldedNetwork, frames: Tensor, seed: int) -> tuple[Grid, ...]:
    """One grid a layer's output, behind it one for the sum if there is one; from frames float32 [N, 3, H, W] in 0..1.

    Outputs take the bounds of least squared rounding error on a sample, rectified ones from zero on; logits take their
    whole range.
    """
    generator = torch.Generator().manual_seed(seed)
    grids: list[Grid] = []
    x = frames
    kept: dict[int, Tensor] = {}
    read_again = {layer.added for layer in network.layers}

    def sampled(x: Tensor) -> Grid:
        flat = x.reshape(-1)
        picks = torch.randint(flat.numel(), (min(SAMPLE, flat.numel()),), generator=generator)
        return _least_error_grid(flat[picks])

    with torch.no_grad():
        for position, layer in enumerate(network.layers):
            if layer.pooled:
                x = x.mean(dim=(2, 3), keepdim=True)  # [N, C, 1, 1]
            x = apply_layer(layer, x)
            grids.append(Grid.over(float(x.min()), float(x.max())) if layer.pooled else sampled(x))
            if layer.added is not None:
                x = x + kept[layer.added]  # [N, O, h', w']
                grids.append(sampled(x))
            if position in read_again:
                kept[position] = x
    return tuple(grids)


def _least_error_grid(values: Tensor) -> Grid:
    """The grid over low..high with the least squared error on `values` float32 [n]; low is 0 where none is negative."""
    smallest, largest = min(float(values.min()), 0.0), max(float(values.max()), 1e-3)
    shares = np.linspace(SMALLEST_SHARE, 1.0, CANDIDATES)
    grids = [Grid.over(smallest * share, largest * share) for share in shares]
    errors = [float(((grid.rounded(values) - values) ** 2).mean()) for grid in grids]
    return grids[int(np.argmin(errors))]
