"""The folded network with every weight and activation on its int8 grid: quantisation-aware fine-tuning, and export."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.learning.calibration import convolved
from edge.learning.folding import FoldedLayer, FoldedNetwork
from edge.learning.grid import Grid, rounded_weights
from edge.learning.levers import PLAIN, Levers
from edge.learning.network import rectified
from edge.learning.pruning import pair_mask
from edge.learning.quantised import (
    Activation,
    Addition,
    Convolution,
    Layer,
    Pooling,
    QuantisedNetwork,
    ZeroPadding,
    quantise_weights,
)


class RoundedNetwork(nn.Module):
    """Trainable folded weights, held to `levers`; `grids` are those that `calibrate` found for outputs and sums."""

    def __init__(
        self, folded: FoldedNetwork, grids: tuple[Grid, ...], input_grid: Grid, levers: Levers = PLAIN
    ) -> None:
        super().__init__()
        sums = sum(layer.added is not None for layer in folded.layers)
        if len(grids) != len(folded.layers) + sums:
            raise ValueError(f"{len(grids)} grids for {len(folded.layers)} layers and {sums} sums")
        self.input_px, self.grids, self._forms = folded.input_px, grids, folded.layers
        self.input_grid, self.levers = input_grid, levers
        self.weights = nn.ParameterList(nn.Parameter(layer.weight.clone()) for layer in folded.layers)
        self.biases = nn.ParameterList(nn.Parameter(layer.bias.clone()) for layer in folded.layers)
        for position, layer in enumerate(folded.layers):
            self.register_buffer(f"kept{position}", torch.ones_like(layer.weight, dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        """Frames float32 [N, 3, H, W] on the input's grid to logits float32 [N, labels] on theirs."""
        grid, grids = self.input_grid, iter(self.grids)
        kept: dict[int, Tensor] = {}
        read_again = {form.added for form in self._forms}
        for position, (form, bias) in enumerate(zip(self._forms, self.biases, strict=True)):
            output = next(grids)
            if form.pooled:
                x = grid.rounded(x.mean(dim=(2, 3), keepdim=True))  # [N, C, 1, 1]
            weight = self._kept(position)  # [O, I / groups, kh, kw]
            with torch.no_grad():
                scales = self.levers.scales(weight.numpy(), bias.numpy(), grid.scale, output.scale)  # [O]
            weight = rounded_weights(weight, torch.from_numpy(scales), self.levers.weight_bound)
            x = convolved(form, x, weight, bias)
            x = output.rounded(rectified(x, form.ceiling) if form.relu else x)  # [N, O, h, w]
            if form.added is not None:
                output = next(grids)
                x = output.rounded(x + kept[form.added])  # [N, O, h, w]
            if position in read_again:
                kept[position] = x
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
    """The integers of a rounded network: average pool and 1x1 convolution as the head.

    Before a stride of 2 comes a PAD, unless the layer is padded as SAME does. A ceiling needs no RELU6: what is above
    it is above the layer's grid as well.
    """
    side, input_grid = network.input_px, network.input_grid
    activations = [Activation("frame", (side, side, 3), input_grid.scale, input_grid.zero_point)]
    layers: list[Layer] = []

    def append(name: str, shape: tuple[int, int, int], grid: Grid) -> int:
        activations.append(Activation(name, shape, grid.scale, grid.zero_point))
        return len(activations) - 1

    current, grid, grids = 0, input_grid, iter(network.grids)
    results: list[int] = []
    for form, weight, bias in network.layers():
        output_grid = next(grids)
        height, width, channels = activations[current].shape
        kernel = weight.shape[2]
        if form.pooled:
            pooled = append("pooled", (1, 1, channels), grid)
            layers.append(Pooling(current, pooled, (height, width), 1, "VALID"))
            current, height, width = pooled, 1, 1
        out_h, out_w = -(-height // form.stride), -(-width // form.stride)
        if form.stride > 1 and not form.far:
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
        out = append("logits" if form.pooled else form.name, (out_h, out_w, len(scales)), output_grid)
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
                "SAME" if form.stride == 1 or form.far else "VALID",
                "RELU" if form.relu else "NONE",
            )
        )
        current, grid = out, output_grid
        if form.added is not None:
            grid = next(grids)
            current = append(f"{form.name}/sum", (out_h, out_w, len(scales)), grid)
            layers.append(Addition(results[form.added], out, current, "NONE"))
        results.append(current)
    return QuantisedNetwork(tuple(activations), tuple(layers), 0, current, description)
