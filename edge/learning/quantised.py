"""A quantised network as the writers take it: integers, scales and shapes, no torch and no container.

One QuantisedNetwork becomes a `.tflite` file and an ONNX QDQ file with the same integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.learning.levers import PLAIN, Levers

Fused = Literal["NONE", "RELU", "RELU6"]
Padding = Literal["SAME", "VALID"]


@dataclass(frozen=True, slots=True)
class Activation:
    """An int8 activation: shape without the batch of one, [H, W, C]; real value = (q - zero_point) * scale."""

    name: str
    shape: tuple[int, int, int]
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Convolution:
    """CONV_2D or DEPTHWISE_CONV_2D (depth multiplier 1 or more)."""

    name: str
    depthwise: bool
    input: int  # position in QuantisedNetwork.activations
    output: int
    weights: NDArray[np.int8]  # [O, kh, kw, I]; depthwise [1, kh, kw, O]
    weight_scales: NDArray[np.float32]  # [O]
    bias: NDArray[np.int32]  # [O], at scale s_in * weight_scales
    stride: int
    padding: Padding
    fused: Fused


@dataclass(frozen=True, slots=True)
class Pooling:
    """AVERAGE_POOL_2D over a window; input and output share their quantisation."""

    input: int
    output: int
    window: tuple[int, int]
    stride: int
    padding: Padding


@dataclass(frozen=True, slots=True)
class ZeroPadding:
    """PAD of height and width: (top, bottom, left, right)."""

    input: int
    output: int
    amounts: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Addition:
    """ADD of two activations of one shape."""

    input: int
    input2: int
    output: int
    fused: Fused


Layer = Convolution | Pooling | ZeroPadding | Addition


@dataclass(frozen=True, slots=True)
class QuantisedNetwork:
    """Layers in order of execution over `activations`; the output is int8 [1, 1, labels]."""

    activations: tuple[Activation, ...]
    layers: tuple[Layer, ...]
    input: int
    output: int
    description: str


def quantise_weights(
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    input_scale: float,
    output_scale: float,
    levers: Levers = PLAIN,
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.int32]]:
    """Symmetric per-channel integers (int8 weights, float32 scales [O], int32 bias [O]) of [O, ...] float weights."""
    scales = levers.scales(weights, bias, input_scale, output_scale)  # [O]
    shaped = scales.reshape(-1, *[1] * (weights.ndim - 1))
    integers = np.clip(np.rint(weights / shaped), -levers.weight_bound, levers.weight_bound).astype(np.int8)
    bias_integers = np.rint(bias / (input_scale * scales.astype(np.float64))).astype(np.int32)  # [O]
    return integers, scales, bias_integers
