"""Which channels of a dense layer make a pair, and which weights are zero for both: those the compiler never loads.

Generated code (firmware_sim/compiler/dense_code.py) does output channels 0 and 1 together, then 2 and 3, ...; a word of
input that neither of a pair weighs is not loaded, and zero weights are no instructions.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from edge.learning.folding import FoldedLayer, FoldedNetwork
from shared.errors import BadInputError

RAMP = 2 / 3  # of the epochs: by then the whole share is zero, the rest makes good for it


def pair_mask(weight: Tensor, share: float) -> Tensor:
    """Bool [O, I, kh, kw]: false where the weakest `share` of the (pair of channels, tap) groups of `weight` lie.

    A channel's weights count relative to their own norm: what follows scales channels as it likes.
    """
    channels, energy = len(weight), _energy(weight)
    pairs = F.pad(energy, (0, 0, 0, channels % 2)).reshape(-1, 2, energy.shape[1]).sum(dim=1)  # [P, taps]
    zeros = round(share * pairs.numel())
    keep = torch.ones(pairs.numel(), dtype=torch.bool)
    keep[torch.argsort(pairs.flatten(), stable=True)[:zeros]] = False
    return keep.reshape(pairs.shape).repeat_interleave(2, dim=0)[:channels].reshape(weight.shape)


def _energy(weight: Tensor) -> Tensor:
    """Squares of [O, ...] relative to their channel's: float32 [O, taps]."""
    flat = weight.detach().flatten(1)
    energy: Tensor = (flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-12)) ** 2
    return energy


def with_pairs(network: FoldedNetwork) -> FoldedNetwork:
    """The same function with each dense layer's output channels in an order that puts those of like weights together.

    Greedy: the two channels whose energies overlap most, then of the rest, and so on. The layers behind read the
    channels in their new places. Raises BadInputError for inverted residuals: sums hold channels in their places.
    """
    if any(layer.added is not None for layer in network.layers):
        raise BadInputError("pairs of zeros need a plain chain of layers: this network has residuals")
    layers: list[FoldedLayer] = []
    order: Tensor | None = None  # of the channels that come into a layer
    for layer in network.layers:
        if order is not None:
            if layer.depthwise:
                layers.append(replace(layer, weight=layer.weight[order], bias=layer.bias[order]))
                continue
            layer = replace(layer, weight=layer.weight[:, order])
        if layer.relu and not layer.depthwise:
            order = _pair_order(_energy(layer.weight))
            layer = replace(layer, weight=layer.weight[order], bias=layer.bias[order])
        layers.append(layer)
    return replace(network, layers=tuple(layers))


def _pair_order(energy: Tensor) -> Tensor:
    """Channels int64 [O], pair behind pair, an odd one last; energy float32 [O, taps]."""
    channels = len(energy)
    overlap = energy @ energy.T  # [O, O]
    overlap.fill_diagonal_(-1.0)
    order: list[int] = []
    for _ in range(channels // 2):
        one, two = divmod(int(overlap.argmax()), channels)
        order += sorted((one, two))
        overlap[[one, two]] = -1.0
        overlap[:, [one, two]] = -1.0
    return torch.tensor(order + sorted(set(range(channels)) - set(order)))


def ramped(share: float, epoch: int, epochs: int) -> float:
    """The share that is zero during `epoch`, 0-based: rises as Zhu and Gupta 2017 (arXiv:1710.01878) have it."""
    done = min(1.0, (epoch + 1) / max(1.0, RAMP * epochs))
    return share * (1 - (1 - done) ** 3)
