"""The classifier's float network: depthwise-separable, 48x48x3 to one logit a label.

MobileNet v1 blocks (Howard et al. 2017, arXiv:1704.04861) after a strided stem; the head is an average pool and a
1x1 convolution, because FULLY_CONNECTED is the one operator that LiteRT and tflite-micro round differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shared.errors import BadInputError


@dataclass(frozen=True, slots=True)
class Topology:
    """Sizes of the network; a block is (stride, channels)."""

    input_px: int
    stem: int
    blocks: tuple[tuple[int, int], ...]
    labels: int


SHAPES = {
    # The pizza model before the levers: 3,800 parameters, 0.36 M multiply-accumulates at 48 px (decisions 0064, 0067).
    "small": "8,8,16/2,16,32/2,32",
    # For fine detail: 38,000 parameters, 3.9 M multiply-accumulates at 96 px.
    "large": "16,16,32/2,32,64/2,64,128/2,128",
    # For photographs: 73,000 parameters, 8.3 M multiply-accumulates at 96 px.
    "deep": "16,16,40/2,40,80/2,80,80,80,160/2,160",
}
"""By name: channels of the stem and of each block, /2 behind a block of stride 2."""
MOST_CHANNELS, MOST_BLOCKS = 512, 24


def topology_of(shape: str, labels: int, input_px: int) -> Topology:
    """Sizes by name, or as SHAPES has them. Raises BadInputError for what is neither."""
    text = SHAPES.get(shape, shape)
    stem, *blocks = (_block(item, shape) for item in text.split(","))
    if stem[0] != 1 or not 1 <= len(blocks) <= MOST_BLOCKS:
        raise _unknown(shape)
    return Topology(input_px, stem[1], tuple(blocks), labels)


def _block(item: str, shape: str) -> tuple[int, int]:
    """Stride and channels of "16" or "16/2"."""
    found = re.fullmatch(r"([0-9]{1,3})(/2)?", item.strip())
    if found is None or not 1 <= int(found[1]) <= MOST_CHANNELS:
        raise _unknown(shape)
    return (2 if found[2] else 1, int(found[1]))


def _unknown(shape: str) -> BadInputError:
    return BadInputError(
        f"no network shape {shape!r}: one of {', '.join(SHAPES)}, or channels of the stem and of 1 to {MOST_BLOCKS} "
        f"blocks (1 to {MOST_CHANNELS}, /2 for stride 2), such as {SHAPES['small']}"
    )


class Unit(nn.Module):
    """Convolution, batch norm, ReLU. Stride 2 pads one pixel on every side, which `.tflite` holds as a PAD."""

    def __init__(self, name: str, into: int, out: int, kernel: int, stride: int, depthwise: bool) -> None:
        super().__init__()
        self.name, self.stride, self.depthwise = name, stride, depthwise
        groups = into if depthwise else 1
        self.convolution = nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """Float32 [N, into, h, w] to [N, out, h / stride, w / stride]."""
        result: Tensor = torch.relu(self.norm(self.convolution(x)))
        return result


class EdgeNetwork(nn.Module):
    """`units` in a chain, then mean over the plane and a 1x1 convolution to the labels."""

    def __init__(self, topology: Topology) -> None:
        super().__init__()
        self.topology = topology
        units = [Unit("stem", 3, topology.stem, 3, 2, depthwise=False)]
        channels = topology.stem
        for position, (stride, out) in enumerate(topology.blocks):
            units.append(Unit(f"block{position}/depthwise", channels, channels, 3, stride, depthwise=True))
            units.append(Unit(f"block{position}/pointwise", channels, out, 1, 1, depthwise=False))
            channels = out
        self.units = nn.ModuleList(units)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Conv2d(channels, topology.labels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Frames float32 [N, 3, H, W] in 0..1 to logits float32 [N, labels]."""
        logits: Tensor = self.head(self.pooled(x))[:, :, 0, 0]  # [N, labels]
        return logits

    def pooled(self, x: Tensor) -> Tensor:
        """What the head reads: frames float32 [N, 3, H, W] to [N, c, 1, 1]."""
        for unit in self.units:
            x = unit(x)  # [N, c, h, w]
        result: Tensor = self.dropout(x.mean(dim=(2, 3), keepdim=True))
        return result
