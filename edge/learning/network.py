"""The classifier's float network: depthwise-separable, frames to one logit a label.

MobileNet v1 blocks (Howard et al. 2017, arXiv:1704.04861) or inverted residuals (Sandler et al. 2018,
arXiv:1801.04381) after a strided stem; the head is an average pool and a 1x1 convolution, because FULLY_CONNECTED is
the one operator that LiteRT and tflite-micro round differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shared.errors import BadInputError


@dataclass(frozen=True, slots=True)
class Topology:
    """Sizes of the network; a block is (stride, channels), or of inverted residuals (.., .., expansion, kernel)."""

    input_px: int
    stem: int
    blocks: tuple[tuple[int, ...], ...]
    labels: int

    @property
    def inverted(self) -> bool:
        """Is it made of inverted residuals?"""
        return len(self.blocks[0]) > PLAIN_BLOCK


PLAIN_BLOCK = 2  # numbers of a MobileNet v1 block

SHAPES = {
    # The pizza model before the levers: 3,800 parameters, 0.36 M multiply-accumulates at 48 px (decisions 0064, 0067).
    "small": "8,8,16/2,16,32/2,32",
    # For fine detail: 38,000 parameters, 3.9 M multiply-accumulates at 96 px.
    "large": "16,16,32/2,32,64/2,64,128/2,128",
    # For photographs: 73,000 parameters, 8.3 M multiply-accumulates at 96 px.
    "deep": "16,16,40/2,40,80/2,80,80,80,160/2,160",
    # The first eight blocks of EfficientNet-Lite0: 254,000 parameters, 29 M multiply-accumulates at 96 px.
    "lite8": "32,16x1,24/2x6,24x6,40/2x6k5,40x6k5,80/2x6,80x6,80x6",
    # Its first eleven: 653,000 parameters, 45 M multiply-accumulates at 96 px.
    "lite11": "32,16x1,24/2x6,24x6,40/2x6k5,40x6k5,80/2x6,80x6,80x6,112x6k5,112x6k5,112x6k5",
}
"""By name: channels of the stem and of each block, /2 behind a block of stride 2; behind an inverted residual x and how
many times it expands, then k and its kernel if that is not 3."""
MOST_CHANNELS, MOST_BLOCKS = 512, 24


def topology_of(shape: str, labels: int, input_px: int) -> Topology:
    """Sizes by name, or as SHAPES has them. Raises BadInputError for what is neither."""
    text = SHAPES.get(shape, shape)
    stem, *blocks = (_block(item, shape) for item in text.split(","))
    if stem[0] != 1 or len(stem) != PLAIN_BLOCK or not 1 <= len(blocks) <= MOST_BLOCKS:
        raise _unknown(shape)
    if len({len(block) for block in blocks}) != 1:
        raise BadInputError(f"network shape {shape!r} mixes plain blocks and inverted residuals: only one kind goes")
    return Topology(input_px, stem[1], tuple(blocks), labels)


def _block(item: str, shape: str) -> tuple[int, ...]:
    """Stride and channels of "16" or "16/2", with expansion and kernel of "16/2x6" or "16x6k5"."""
    found = re.fullmatch(r"([0-9]{1,3})(/2)?(?:x([1-8])(?:k([357]))?)?", item.strip())
    if found is None or not 1 <= int(found[1]) <= MOST_CHANNELS:
        raise _unknown(shape)
    plain = (2 if found[2] else 1, int(found[1]))
    return plain if found[3] is None else (*plain, int(found[3]), int(found[4] or 3))


def _unknown(shape: str) -> BadInputError:
    return BadInputError(
        f"no network shape {shape!r}: one of {', '.join(SHAPES)}, or channels of the stem and of 1 to {MOST_BLOCKS} "
        f"blocks (1 to {MOST_CHANNELS}, /2 for stride 2, x6 for an inverted residual), such as {SHAPES['small']}"
    )


class Unit(nn.Module):
    """Convolution, batch norm, and a rectifier if it is not linear.

    Stride 2 pads one pixel on every side, which `.tflite` holds as a PAD; with `far` it pads as TFLite's SAME does,
    which gives the far side the larger half.
    """

    def __init__(
        self,
        name: str,
        into: int,
        out: int,
        kernel: int,
        stride: int,
        depthwise: bool,
        *,
        linear: bool = False,
        ceiling: float | None = None,
        far: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.stride, self.depthwise = name, stride, depthwise
        self.linear, self.ceiling, self.far = linear, ceiling, far
        groups = into if depthwise else 1
        self.convolution = nn.Conv2d(into, out, kernel, stride, 0 if far else kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """Float32 [N, into, h, w] to [N, out, h / stride, w / stride]."""
        if self.far:
            x = padded_as_same(x, self.convolution.kernel_size[0], self.stride)
        x = self.norm(self.convolution(x))
        return x if self.linear else rectified(x, self.ceiling)


def padded_as_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zeros around [N, C, h, w] as TFLite's SAME lays them: half of them before, the larger half behind."""
    bottom, right = (max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in x.shape[2:])
    if not bottom and not right:
        return x
    return F.pad(x, (right // 2, right - right // 2, bottom // 2, bottom - bottom // 2))


def rectified(x: Tensor, ceiling: float | None) -> Tensor:
    """ReLU, or with a ceiling of 6 ReLU6."""
    return torch.relu(x) if ceiling is None else x.clamp(0.0, ceiling)


RELU6 = 6.0


class EdgeNetwork(nn.Module):
    """`units` in a chain, then mean over the plane and a 1x1 convolution to the labels.

    To the output of unit i that of unit `added[i]` is added, unless that is None.
    """

    def __init__(self, topology: Topology) -> None:
        super().__init__()
        self.topology = topology
        self.units = nn.ModuleList()
        self.added: list[int | None] = []
        inverted = topology.inverted
        self._append(Unit("stem", 3, topology.stem, 3, 2, False, ceiling=RELU6 if inverted else None, far=inverted))
        channels = topology.stem
        for position, block in enumerate(topology.blocks):
            build = self._inverted_residual if inverted else self._plain
            build(f"block{position}", channels, *block)
            channels = block[1]
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Conv2d(channels, topology.labels, 1)

    def _append(self, unit: Unit, added: int | None = None) -> None:
        self.units.append(unit)
        self.added.append(added)

    def _plain(self, name: str, into: int, stride: int, out: int) -> None:
        self._append(Unit(f"{name}/depthwise", into, into, 3, stride, depthwise=True))
        self._append(Unit(f"{name}/pointwise", into, out, 1, 1, depthwise=False))

    def _inverted_residual(self, name: str, into: int, stride: int, out: int, expansion: int, kernel: int) -> None:
        before, wide = len(self.units) - 1, into * expansion
        if expansion > 1:
            self._append(Unit(f"{name}/expand", into, wide, 1, 1, False, ceiling=RELU6, far=True))
        self._append(Unit(f"{name}/depthwise", wide, wide, kernel, stride, True, ceiling=RELU6, far=True))
        same = stride == 1 and into == out
        self._append(Unit(f"{name}/project", wide, out, 1, 1, False, linear=True, far=True), before if same else None)

    def forward(self, x: Tensor) -> Tensor:
        """Frames float32 [N, 3, H, W] in 0..1 to logits float32 [N, labels]."""
        logits: Tensor = self.head(self.pooled(x))[:, :, 0, 0]  # [N, labels]
        return logits

    def pooled(self, x: Tensor) -> Tensor:
        """What the head reads: frames float32 [N, 3, H, W] to [N, c, 1, 1]."""
        kept: dict[int, Tensor] = {}
        for position, (unit, other) in enumerate(zip(self.units, self.added, strict=True)):
            x = unit(x)  # [N, c, h, w]
            if other is not None:
                x = x + kept[other]  # [N, c, h, w]
            if position in self.added:
                kept[position] = x
        result: Tensor = self.dropout(x.mean(dim=(2, 3), keepdim=True))
        return result
