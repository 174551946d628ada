"""Networks for measuring kernels: layers of all kinds and sizes side by side, each with tensors of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.arithmetic import add_rescale
from firmware_sim.compiler.fixed_point import softmax_tables
from firmware_sim.compiler.graph import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    Graph,
    Lookup,
    MaxPool2D,
    Mean,
    Mul,
    Operator,
    Pad,
    Quantize,
    Rescale,
    Shape,
    Softmax,
    Tensor,
    Window,
)

MOST_VALUES = 9_000  # of an activation
MOST_WEIGHTS = 9_000
WINDOWS = ((1, 1), (1, 1), (1, 1), (3, 3), (3, 3), (3, 3), (5, 5), (1, 7), (10, 4), (2, 2))
CHANNELS = (1, 2, 3, 4, 8, 8, 16, 16, 24, 32, 33, 48, 64, 96, 128)
INPUT_SCALE = 0.05


@dataclass(slots=True)
class Layers:
    """Collects operators; `graph` is the network of all."""

    rng: np.random.Generator
    tensors: dict[int, Tensor] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)

    def tensor(self, shape: Shape, scale: float = INPUT_SCALE, zero_point: int = -128) -> int:
        """A new activation."""
        index = len(self.tensors)
        self.tensors[index] = Tensor(f"t{index}", shape, scale, zero_point)
        return index

    def shape(self, most: int = MOST_VALUES) -> Shape:
        """A random activation's."""
        channels = int(self.rng.choice(CHANNELS))
        side = max(1.0, (most / channels) ** 0.5)
        height, width = (max(1, int(min(48.0, side) ** self.rng.uniform(0.6, 1.0))) for _ in range(2))
        return height, width, channels

    def graph(self) -> Graph:
        """All operators, one input, one output."""
        return Graph(self.tensors, tuple(self.operators), self._inputs()[0], self.operators[-1].output, {})

    def _inputs(self) -> list[int]:
        return [op.inputs[0] if isinstance(op, Concatenation) else op.input for op in self.operators]

    def window(self, shape: Shape) -> tuple[Window, int, int]:
        """A window that fits, and the output's rows and columns."""
        rng = self.rng
        height, width = (int(side) for side in WINDOWS[int(rng.integers(len(WINDOWS)))])
        height, width = min(height, shape[0]), min(width, shape[1])
        strides = (2, 2) if rng.random() < 0.3 else (1, 1)
        if rng.random() < 0.8:  # SAME
            out = [-(-side // stride) for side, stride in zip(shape[:2], strides, strict=True)]
            pads = [
                max(0, (count - 1) * stride + size - side) // 2
                for count, stride, size, side in zip(out, strides, (height, width), shape[:2], strict=True)
            ]
        else:
            sizes = zip(shape[:2], strides, (height, width), strict=True)
            out, pads = [(side - size) // stride + 1 for side, stride, size in sizes], [0, 0]
        return Window(height, width, *strides, *pads), out[0], out[1]

    def weights(self, shape: tuple[int, ...]) -> NDArray[np.int8]:
        """Values -127 to 127, some zero."""
        keep = self.rng.random(shape) < self.rng.choice([1.0, 1.0, 0.7, 0.3])
        most = int(self.rng.choice([127, 127, 31]))
        values: NDArray[np.int8] = (self.rng.integers(-most, most + 1, shape) * keep).astype(np.int8)
        if self.rng.random() < 0.1:
            values.flat[0] = -128  # for the plain kernels
        return values

    def rescale(self, channels: int, taps: int, *, once: bool = False) -> tuple[Rescale, float]:
        """Factors that bring sums of products into int8, and the output's scale."""
        real = self.rng.uniform(0.3, 1.5, channels) / (60.0 * np.sqrt(max(1, taps)))
        fraction, exponent = np.frexp(real)
        multiplier = np.minimum(np.round(fraction * 2**31), 2**31 - 1).astype(np.int32)
        return Rescale(multiplier, exponent.astype(np.int8), once), 0.05

    def convolution(self) -> None:
        """CONV_2D, or FULLY_CONNECTED."""
        shape = self.shape()
        connected = self.rng.random() < 0.1
        if connected:
            shape = (1, 1, int(self.rng.integers(8, 400)))
        window, height, width = (Window(1, 1, 1, 1, 0, 0), 1, 1) if connected else self.window(shape)
        size = window.height * window.width * shape[2]
        most = max(1, min(MOST_WEIGHTS // size, MOST_VALUES // (height * width)))
        channels = min(most, int(self.rng.choice(CHANNELS)))
        relu = self.rng.random() < 0.6 and not connected
        rescale, scale = self.rescale(channels, size, once=connected)
        zero_point = -128 if relu else int(self.rng.integers(-40, 40))
        weights = self.weights((channels, window.height, window.width, shape[2]))
        bias = self.rng.integers(-3000, 3000, channels).astype(np.int32)
        into, out = self.tensor(shape), self.tensor((height, width, channels), scale, zero_point)
        self.operators.append(Conv2D(into, out, weights, bias, window, rescale, -128, 127))

    def depthwise(self) -> None:
        """DEPTHWISE_CONV_2D."""
        shape = self.shape()
        window, height, width = self.window(shape)
        if min(shape[:2]) > 2 and self.rng.random() < 0.5:
            stride = int(self.rng.integers(1, 3))
            height, width = (-(-side // stride) for side in shape[:2])
            pads = (max(0, (n - 1) * stride + 3 - s) // 2 for n, s in zip((height, width), shape[:2], strict=True))
            window = Window(3, 3, stride, stride, *pads)
        multiplier = 2 if self.rng.random() < 0.1 else 1
        channels = shape[2] * multiplier
        rescale, scale = self.rescale(channels, window.height * window.width)
        bias = self.rng.integers(-3000, 3000, channels).astype(np.int32)
        into, out = self.tensor(shape), self.tensor((height, width, channels), scale)
        weights = self.weights((window.height, window.width, channels))
        self.operators.append(DepthwiseConv2D(into, out, weights, bias, multiplier, window, rescale, -128, 127))

    def pool(self) -> None:
        """AVERAGE_POOL_2D or MAX_POOL_2D."""
        shape = self.shape()
        window, height, width = self.window(shape)
        if self.rng.random() < 0.3:
            window, height, width = Window(*shape[:2], 1, 1, 0, 0), 1, 1
        kind: Callable[..., Operator] = AveragePool2D if self.rng.random() < 0.6 else MaxPool2D
        into, out = self.tensor(shape), self.tensor((height, width, shape[2]))
        self.operators.append(kind(into, out, window, -128, 127))

    def sum(self) -> None:
        """ADD of one shape, or with one side repeated."""
        shape = self.shape()
        first, second = self.tensor(shape, 0.05, 3), self.tensor(shape, 0.04, -7)
        if self.rng.random() < 0.4:
            second = self.tensor((1, 1, shape[2]), 0.04, -7)
        out = self.tensor(shape, 0.08, -128 if self.rng.random() < 0.6 else 5)  # RELU, or not: then nothing is proven
        multiplier, exponent = add_rescale(0.05, 0.04, 0.08)
        rescale = Rescale(np.array(multiplier, np.int32), np.array(exponent, np.int8))
        self.operators.append(Add(first, second, out, rescale, -128, 127))

    def product(self) -> None:
        """MUL."""
        shape = self.shape()
        first, second = self.tensor(shape, 0.05, 3), self.tensor((1, 1, shape[2]), 0.04, -7)
        rescale = Rescale(np.array([2**30 + 5], np.int32), np.array([-5], np.int8))
        self.operators.append(Mul(first, second, self.tensor(shape, 0.08, 5), rescale, -128, 127))

    def mean(self) -> None:
        """MEAN over rows and columns, or channels."""
        shape = self.shape()
        axes = (0, 1) if self.rng.random() < 0.7 else (2,)
        left = tuple(1 if i in axes else side for i, side in enumerate(shape))
        rescale = Rescale(np.array([2**30 + 5], np.int32), np.array([-4], np.int8))
        out = self.tensor((left[0], left[1], left[2]))
        self.operators.append(Mean(self.tensor(shape), out, axes, rescale))

    def pad(self) -> None:
        """PAD by rows and columns."""
        shape = self.shape()
        top, left = (int(self.rng.integers(0, 3)) for _ in range(2))
        out = self.tensor((shape[0] + top + 1, shape[1] + left + 1, shape[2]))
        self.operators.append(Pad(self.tensor(shape), out, top, left, 0))

    def softmax(self) -> None:
        """SOFTMAX."""
        shape = (1, 1, int(self.rng.integers(2, 40)))
        tables = softmax_tables(float(self.rng.uniform(0.05, 0.3)), 1.0)
        self.operators.append(Softmax(self.tensor(shape), self.tensor(shape, 1 / 256), tables))

    def concatenation(self) -> None:
        """CONCATENATION of two along rows or channels."""
        height, width, channels = self.shape()
        axis = int(self.rng.choice([0, 2]))
        first, second = self.tensor((height, width, channels)), self.tensor((height, width, channels))
        out = (2 * height, width, channels) if axis == 0 else (height, width, 2 * channels)
        self.operators.append(Concatenation((first, second), self.tensor(out), axis))

    def quantize(self) -> None:
        """QUANTIZE from float32, which is the network's input."""
        shape = self.shape(MOST_VALUES // 4)
        index = len(self.tensors)
        self.tensors[index] = Tensor(f"t{index}", shape, 0.0, 0, "float32")
        self.operators.append(Quantize(index, self.tensor(shape)))

    def dequantize(self) -> None:
        """DEQUANTIZE to float32."""
        shape = self.shape(MOST_VALUES // 4)
        index = len(self.tensors)
        self.tensors[index] = Tensor(f"t{index}", shape, 0.0, 0, "float32")
        self.operators.append(Dequantize(self.tensor(shape), index, self.rng.random(256).astype(np.float32)))

    def lookup(self) -> None:
        """A table of 256."""
        shape = self.shape()
        table = self.rng.integers(-128, 128, 256).astype(np.int8)
        self.operators.append(Lookup(self.tensor(shape), self.tensor(shape), "LOGISTIC", table))


KINDS = (
    *("convolution",) * 8, *("depthwise",) * 5, *("pool",) * 3, "sum", "sum", "product", "mean", "mean", "pad", "pad",
    "softmax", "lookup", "concatenation", "dequantize",
)  # fmt: skip


def calibration_graph(seed: int, layers: int) -> Graph:
    """A network of `layers` layers to measure; nobody reads what they compute."""
    made = Layers(np.random.default_rng(seed))
    made.quantize()
    for i in range(layers):
        getattr(made, KINDS[i % len(KINDS)])()
    return made.graph()
