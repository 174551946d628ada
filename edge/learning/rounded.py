"""The folded network with every weight and activation on its int8 grid: quantisation-aware fine-tuning, and export."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge.learning.folding import FoldedLayer, FoldedNetwork
from edge.learning.grid import Grid, rounded_weights
from edge.learning.levers import PLAIN, Levers
from edge.learning.pruning import pair_mask
from edge.learning.quantised import (
    Activation,
    Convolution,
    Layer,
    Pooling,
    QuantisedNetwork,
    ZeroPadding,
    quantise_weights,
)


class RoundedNetwork(nn.Module):
    """Trainable folded weights, held to `levers`; `grids` are the layers' outputs, fixed by calibration."""

    def __init__(
        self, folded: FoldedNetwork, grids: tuple[Grid, ...], input_grid: Grid, levers: Levers = PLAIN
    ) -> None:
        super().__init__()
        if len(grids) != len(folded.layers):
            raise ValueError(f"{len(grids)} grids for {len(folded.layers)} layers")
        self.topology, self.grids, self._forms = folded.topology, grids, folded.layers
        self.input_grid, self.levers = input_grid, levers
        self.weights = nn.ParameterList(nn.Parameter(layer.weight.clone()) for layer in folded.layers)
        self.biases = nn.ParameterList(nn.Parameter(layer.bias.clone()) for layer in folded.layers)
        for position, layer in enumerate(folded.layers):
            self.register_buffer(f"kept{position}", torch.ones_like(layer.weight, dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        """Frames float32 [N, 3, H, W] on the input's grid to logits float32 [N, labels] on theirs."""
        grid = self.input_grid
        for position, (form, bias, output) in enumerate(zip(self._forms, self.biases, self.grids, strict=True)):
            if not form.relu:
                x = grid.rounded(x.mean(dim=(2, 3), keepdim=True))  # [N, C, 1, 1]
            weight = self._kept(position)  # [O, I / groups, kh, kw]
            with torch.no_grad():
                scales = self.levers.scales(weight.numpy(), bias.numpy(), grid.scale, output.scale)  # [O]
            weight = rounded_weights(weight, torch.from_numpy(scales), self.levers.weight_bound)
            groups = x.shape[1] if form.depthwise else 1
            x = F.conv2d(x, weight, bias, form.stride, weight.shape[2] // 2, groups=groups)
            x = output.rounded(torch.relu(x) if form.relu else x)  # [N, O, h, w]
            grid = output
        return x[:, :, 0, 0]  # [N, labels]

    def _kept(self, position: int) -> Tensor:
        """A layer's weights, zero where they are pruned: [O, I / groups, kh, kw]."""
        kept: Tensor = self.weights[position] * self.get_buffer(f"kept{position}")
        return kept

    def prune(self, share: float) -> None:
        """Make `share` of each dense layer's pairs of weights zero, the head's aside; what is zero already stays so."""
        for position, form in enumerate(self._forms):
            if form.relu and not form.depthwise:
                self.get_buffer(f"kept{position}").copy_(pair_mask(self._kept(position), share))

    def layers(self) -> list[tuple[FoldedLayer, NDArray[np.float32], NDArray[np.float32]]]:
        """Each layer's form with its present weights [O, I / groups, kh, kw] and bias [O]."""
        return [
            (form, self._kept(position).detach().numpy(), bias.detach().numpy())
            for position, (form, bias) in enumerate(zip(self._forms, self.biases, strict=True))
        ]


def to_integers(network: RoundedNetwork, description: str) -> QuantisedNetwork:
    """The integers of a rounded network: PAD before each stride 2, average pool and 1x1 convolution as the head."""
    side, input_grid = network.topology.input_px, network.input_grid
    activations = [Activation("frame", (side, side, 3), input_grid.scale, input_grid.zero_point)]
    layers: list[Layer] = []

    def append(name: str, shape: tuple[int, int, int], grid: Grid) -> int:
        activations.append(Activation(name, shape, grid.scale, grid.zero_point))
        return len(activations) - 1

    current, grid = 0, input_grid
    for (form, weight, bias), output_grid in zip(network.layers(), network.grids, strict=True):
        height, width, channels = activations[current].shape
        kernel = weight.shape[2]
        if not form.relu:
            pooled = append("pooled", (1, 1, channels), grid)
            layers.append(Pooling(current, pooled, (height, width), 1, "VALID"))
            current, height, width = pooled, 1, 1
        out_h, out_w = -(-height // form.stride), -(-width // form.stride)
        if form.stride > 1:
            before = kernel // 2
            bottom, right = (
                max(0, (out - 1) * form.stride + kernel - side_in - before)  # torch's far padding, if it is read
                for out, side_in in ((out_h, height), (out_w, width))
            )
            padded = append(f"{form.name}/padded", (height + before + bottom, width + before + right, channels), grid)
            layers.append(ZeroPadding(current, padded, (before, bottom, before, right)))
            current = padded
        integers, scales, biases = quantise_weights(weight, bias, grid.scale, output_grid.scale, network.levers)
        arranged = integers.transpose((1, 2, 3, 0) if form.depthwise else (0, 2, 3, 1))  # 1HWO or OHWI
        out = append("logits" if not form.relu else form.name, (out_h, out_w, len(scales)), output_grid)
        layers.append(
            Convolution(
                f"{form.name}/convolution",
                form.depthwise,
                current,
                out,
                np.ascontiguousarray(arranged),
                scales,
                biases,
                form.stride,
                "SAME" if form.stride == 1 else "VALID",
                "RELU" if form.relu else "NONE",
            )
        )
        current, grid = out, output_grid
    return QuantisedNetwork(tuple(activations), tuple(layers), 0, current, description)
