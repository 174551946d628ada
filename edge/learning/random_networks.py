"""Networks with random shapes, integers and scales: what writers, compiler and kernels are compared on.

Scales are chosen so that most results land inside int8, and a few saturate on either side.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge.learning.quantised import (
    Activation,
    Addition,
    Convolution,
    Fused,
    Layer,
    Padding,
    Pooling,
    QuantisedNetwork,
    ZeroPadding,
)

FUSED: tuple[Fused, ...] = ("NONE", "RELU", "RELU6")
PADDINGS: tuple[Padding, ...] = ("SAME", "VALID")
KINDS = ("convolution", "depthwise", "pooling", "padding", "addition")
LARGEST_BYTES = 20_000  # of an activation


def random_network(seed: int, layers: int = 5) -> QuantisedNetwork:
    """A chain of `layers` random layers (an addition counts with its branch), then average pool and 1x1 convolution."""
    return _Builder(np.random.default_rng(seed)).build(layers)


class _Builder:
    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._activations: list[Activation] = []
        self._layers: list[Layer] = []

    def build(self, layers: int) -> QuantisedNetwork:
        rng = self._rng
        shape = (int(rng.integers(1, 17)), int(rng.integers(1, 17)), int(rng.integers(1, 9)))
        current = self._activation(shape, float(rng.uniform(0.002, 0.1)), int(rng.integers(-128, 128)))
        for _ in range(layers):
            current = self._random_layer(current, KINDS[int(rng.integers(len(KINDS)))])
        height, width, _ = self._activations[current].shape
        current = self._pooling(current, (height, width), 1, "VALID")
        labels = int(rng.integers(2, 9))
        current = self._convolution(current, (1, 1), 1, "VALID", labels)
        return QuantisedNetwork(tuple(self._activations), tuple(self._layers), 0, current, "random")

    def _activation(self, shape: tuple[int, int, int], scale: float, zero_point: int) -> int:
        name = f"activation{len(self._activations)}"
        self._activations.append(Activation(name, shape, float(np.float32(scale)), zero_point))
        return len(self._activations) - 1

    def _random_layer(self, current: int, kind: str) -> int:
        rng = self._rng
        height, width, channels = self._activations[current].shape
        kernel = (int(rng.integers(1, min(6, height + 1))), int(rng.integers(1, min(6, width + 1))))
        stride, padding = int(rng.integers(1, 4)), PADDINGS[int(rng.integers(2))]
        if kind == "convolution":
            return self._convolution(current, kernel, stride, padding, int(rng.integers(1, 17)))
        if kind == "depthwise":
            multiplier = int(rng.integers(1, 4)) if channels <= 32 else 1
            return self._convolution(current, kernel, stride, padding, channels * multiplier, depthwise=True)
        if kind == "pooling":
            return self._pooling(current, kernel, stride, padding)
        if kind == "padding" and (height + 4) * (width + 4) * channels <= LARGEST_BYTES:
            return self._zero_padding(current)
        branch = self._convolution(current, (3, 3), 1, "SAME", channels, depthwise=bool(rng.integers(2)))
        return self._addition(current, branch)

    def _windowed(self, side: int, kernel: int, stride: int, padding: Padding) -> int:
        return -(-side // stride) if padding == "SAME" else -(-(side - kernel + 1) // stride)

    def _convolution(
        self, current: int, kernel: tuple[int, int], stride: int, padding: Padding, out: int, *, depthwise: bool = False
    ) -> int:
        rng = self._rng
        source = self._activations[current]
        height, width, channels = source.shape
        shape = (1, *kernel, out) if depthwise else (out, *kernel, channels)
        weights = rng.integers(-127, 128, shape).astype(np.int8)
        taps = kernel[0] * kernel[1] * (1 if depthwise else channels)
        scales: NDArray[np.float32] = rng.uniform(0.0005, 0.02, out).astype(np.float32)  # [O]
        spread = 74.0 * 73.0 * math.sqrt(taps)  # standard deviation of a sum of uniform int8 products
        bias = rng.normal(0.0, spread, out).astype(np.int32)  # [O]
        # Two standard deviations of the channel with the middle scale fill half of int8.
        scale = source.scale * float(np.median(scales)) * spread * float(rng.uniform(0.5, 4.0)) / 64.0
        side_h, side_w = (
            self._windowed(side, size, stride, padding) for side, size in zip((height, width), kernel, strict=True)
        )
        target = self._activation((side_h, side_w, out), scale, int(rng.integers(-128, 128)))
        self._layers.append(
            Convolution(
                f"convolution{len(self._layers)}",
                depthwise,
                current,
                target,
                weights,
                scales,
                bias,
                stride,
                padding,
                FUSED[int(rng.integers(len(FUSED)))],
            )
        )
        return target

    def _pooling(self, current: int, kernel: tuple[int, int], stride: int, padding: Padding) -> int:
        source = self._activations[current]
        side_h, side_w = (
            self._windowed(side, size, stride, padding) for side, size in zip(source.shape[:2], kernel, strict=True)
        )
        target = self._activation((side_h, side_w, source.shape[2]), source.scale, source.zero_point)
        self._layers.append(Pooling(current, target, kernel, stride, padding))
        return target

    def _zero_padding(self, current: int) -> int:
        source = self._activations[current]
        top, bottom, left, right = (int(amount) for amount in self._rng.integers(0, 3, 4))
        height, width, channels = source.shape
        shape = (height + top + bottom, width + left + right, channels)
        target = self._activation(shape, source.scale, source.zero_point)
        self._layers.append(ZeroPadding(current, target, (top, bottom, left, right)))
        return target

    def _addition(self, one: int, two: int) -> int:
        first, second = self._activations[one], self._activations[two]
        scale = max(first.scale, second.scale) * float(self._rng.uniform(0.3, 2.0))
        target = self._activation(first.shape, scale, int(self._rng.integers(-128, 128)))
        self._layers.append(Addition(one, two, target, FUSED[int(self._rng.integers(len(FUSED)))]))
        return target
