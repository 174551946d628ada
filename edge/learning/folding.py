"""Batch norms folded into their convolutions: the chain of layers that is calibrated, fine-tuned and quantised."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge.learning.network import EdgeNetwork, Unit


@dataclass(frozen=True, slots=True)
class FoldedLayer:
    """A convolution with its bias, before quantisation."""

    name: str
    weight: Tensor  # float32 [O, I / groups, kh, kw]
    bias: Tensor  # float32 [O]
    stride: int
    depthwise: bool
    relu: bool
    ceiling: float | None = None  # of the rectifier
    far: bool = False  # padded as TFLite's SAME, not alike on every side
    added: int | None = None  # position of the layer whose result is added to this one's output
    pooled: bool = False  # the mean over the plane comes before it: the head


@dataclass(frozen=True, slots=True)
class FoldedNetwork:
    """The layers in order; the average pool comes before the last one, the head."""

    input_px: int
    layers: tuple[FoldedLayer, ...]


def fold(network: EdgeNetwork) -> FoldedNetwork:
    """Fold every batch norm's running statistics and gain into weight and bias. The network stays as it is."""
    layers = [
        _folded(unit, added) for unit, added in zip(network.units, network.added, strict=True) if isinstance(unit, Unit)
    ]
    head: nn.Conv2d = network.head
    if head.bias is None:
        raise TypeError("the head has a bias by construction")
    weight, bias = head.weight.detach().clone(), head.bias.detach().clone()
    layers.append(FoldedLayer("head", weight, bias, 1, False, False, pooled=True))
    return FoldedNetwork(network.topology.input_px, tuple(layers))


def _folded(unit: Unit, added: int | None) -> FoldedLayer:
    norm = unit.norm
    if norm.running_mean is None or norm.running_var is None:
        raise TypeError("batch norms track their statistics by construction")
    with torch.no_grad():
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # [O]
        weight = unit.convolution.weight * gain[:, None, None, None]  # [O, I / groups, kh, kw]
        bias = norm.bias - norm.running_mean * gain  # [O]
    return FoldedLayer(
        unit.name,
        weight.detach(),
        bias.detach(),
        unit.stride,
        unit.depthwise,
        not unit.linear,
        unit.ceiling,
        unit.far,
        added,
    )
