"""The checked form of a network: what every later stage (reference, memory plan, C emitter) may rely on.

Activations are int8 [H, W, C] (the batch of one is dropped); a rank-2 tensor [1, n] is [1, 1, n]. The reader has
checked all shapes and has proved that no accumulator leaves int32, so the stages after it never check again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]  # H, W, C


@dataclass(frozen=True, slots=True)
class Tensor:
    """An activation: real value = (q - zero_point) * scale."""

    name: str
    shape: Shape
    scale: float  # a float32, held exactly
    zero_point: int  # -128..127

    @property
    def bytes(self) -> int:
        """Its size in the arena."""
        height, width, channels = self.shape
        return height * width * channels


@dataclass(frozen=True, slots=True)
class Window:
    """Geometry of a sliding window. A tap above or left of the input lies in the padding."""

    height: int
    width: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int


@dataclass(frozen=True, slots=True)
class Rescale:
    """Fixed-point multipliers multiplier * 2^(exponent - 31), one an output channel (or three for ADD)."""

    multiplier: NDArray[np.int32]  # [n], 0 or 2^30..2^31-1
    exponent: NDArray[np.int8]  # [n], -31..30


@dataclass(frozen=True, slots=True)
class Conv2D:
    """CONV_2D, and FULLY_CONNECTED as a 1x1 convolution over one pixel."""

    input: int
    output: int
    weights: NDArray[np.int8]  # [O, kh, kw, I]
    bias: NDArray[np.int32]  # [O], at scale s_in * s_w[o]
    window: Window
    rescale: Rescale  # [O]
    low: int  # activation range, int8
    high: int


@dataclass(frozen=True, slots=True)
class DepthwiseConv2D:
    """DEPTHWISE_CONV_2D: output channel i * multiplier + m reads input channel i."""

    input: int
    output: int
    weights: NDArray[np.int8]  # [kh, kw, O]
    bias: NDArray[np.int32]  # [O]
    multiplier: int  # O / I
    window: Window
    rescale: Rescale  # [O]
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class AveragePool2D:
    """AVERAGE_POOL_2D: the mean of the taps that lie inside the input; same quantisation in and out."""

    input: int
    output: int
    window: Window
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Pad:
    """PAD of height and width with the zero point; same quantisation in and out."""

    input: int
    output: int
    top: int
    left: int


@dataclass(frozen=True, slots=True)
class Add:
    """ADD of two tensors of the same shape."""

    input: int
    input2: int
    output: int
    rescale: Rescale  # [3]: input, input2 (after << 20), output
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Reshape:
    """RESHAPE: the same bytes under another shape."""

    input: int
    output: int


Operator = Conv2D | DepthwiseConv2D | AveragePool2D | Pad | Add | Reshape


def inputs_of(operator: Operator) -> tuple[int, ...]:
    """Indices of the activations that `operator` reads."""
    return (operator.input, operator.input2) if isinstance(operator, Add) else (operator.input,)


@dataclass(frozen=True, slots=True)
class Graph:
    """One network: operators in order of execution, one input, one output."""

    tensors: dict[int, Tensor]  # by index in the file; activations only
    operators: tuple[Operator, ...]
    input: int
    output: int

    @property
    def input_tensor(self) -> Tensor:
        """The frame, int8 [H, W, C]."""
        return self.tensors[self.input]

    @property
    def output_tensor(self) -> Tensor:
        """The logits, int8 [1, 1, labels]."""
        return self.tensors[self.output]

    @property
    def labels(self) -> int:
        """Number of logits."""
        return self.output_tensor.bytes

    def macs(self) -> int:
        """Multiply-accumulates of one inference (convolutions only; taps in the padding count)."""
        return sum(count for _, count in self.macs_by_operator())

    def macs_by_operator(self) -> Iterator[tuple[Operator, int]]:
        """Each operator with its multiply-accumulates."""
        for operator in self.operators:
            height, width, channels = self.tensors[operator.output].shape
            if isinstance(operator, Conv2D):
                yield operator, height * width * operator.weights.size
            elif isinstance(operator, DepthwiseConv2D):
                yield operator, height * width * channels * operator.window.height * operator.window.width
            else:
                yield operator, 0

    def parameter_bytes(self) -> int:
        """Bytes of weights (int8) and biases (int32)."""
        layers = (op for op in self.operators if isinstance(op, Conv2D | DepthwiseConv2D))
        return sum(op.weights.nbytes + op.bias.nbytes for op in layers)
