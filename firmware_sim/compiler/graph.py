"""The checked form of a network: what every later stage (reference, memory plan, C emitter) may rely on.

Activations are int8 [H, W, C]: leading axes of one are dropped and missing ones put in front, so [1, n] is [1, 1, n].
Only the network's input and output may be uint8 or float32, which QUANTIZE and DEQUANTIZE turn into int8 and back. The
reader has checked all shapes and has proved that no accumulator leaves int32, so the stages after it never check again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.fixed_point import SoftmaxTables

Shape = tuple[int, int, int]  # H, W, C


@dataclass(frozen=True, slots=True)
class Tensor:
    """An activation: real value = (q - zero_point) * scale."""

    name: str
    shape: Shape
    scale: float  # a float32, held exactly
    zero_point: int  # -128..127; 0..255 of uint8
    dtype: str = "int8"  # "uint8" and "float32" only at the borders

    @property
    def elements(self) -> int:
        """Number of values."""
        height, width, channels = self.shape
        return height * width * channels

    @property
    def bytes(self) -> int:
        """Its size in the arena."""
        return self.elements * np.dtype(self.dtype).itemsize


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
    """Fixed-point multipliers multiplier * 2^(exponent - 31), one an output channel (or three for ADD and SUB)."""

    multiplier: NDArray[np.int32]  # [n], 0 or 2^30..2^31-1 (MEAN: 0..2^31-1)
    exponent: NDArray[np.int8]  # [n], -31..30
    once: bool = False  # rounded once, as LiteRT's FULLY_CONNECTED does, not twice


@dataclass(frozen=True, slots=True)
class Conv2D:
    """CONV_2D, and FULLY_CONNECTED as a 1x1 convolution."""

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
class MaxPool2D:
    """MAX_POOL_2D: the largest of the taps that lie inside the input; same quantisation in and out."""

    input: int
    output: int
    window: Window
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Pad:
    """PAD with the zero point: so many elements before the input along height, width and channels."""

    input: int
    output: int
    top: int
    left: int
    before: int
    folded: bool = False  # into the windows of the convolutions that read it (padding.py): nothing to do


@dataclass(frozen=True, slots=True)
class Add:
    """ADD and SUB; a side of one of either input is repeated."""

    input: int
    input2: int
    output: int
    rescale: Rescale  # [3]: input, input2 (after << 20), output
    low: int
    high: int
    sign: int = 1  # -1: SUB


@dataclass(frozen=True, slots=True)
class Mul:
    """MUL; a side of one of either input is repeated."""

    input: int
    input2: int
    output: int
    rescale: Rescale  # [1]
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Mean:
    """MEAN over some of the axes H, W, C: rescale(sum - n * zero point) with the 1/n in the factor."""

    input: int
    output: int
    axes: tuple[int, ...]
    rescale: Rescale  # [1]


@dataclass(frozen=True, slots=True)
class Concatenation:
    """CONCATENATION along one of the axes H, W, C; the same quantisation everywhere."""

    inputs: tuple[int, ...]
    output: int
    axis: int


@dataclass(frozen=True, slots=True)
class Softmax:
    """SOFTMAX over the channels, from the table of exponentials (fixed_point.py)."""

    input: int
    output: int
    tables: SoftmaxTables


@dataclass(frozen=True, slots=True)
class Lookup:
    """Any function of one 8-bit value: LOGISTIC, RELU, RELU6, and QUANTIZE between 8-bit types."""

    input: int
    output: int
    kind: str  # "LOGISTIC"
    table: NDArray[np.int8] | NDArray[np.uint8]  # [256], by the input's byte


@dataclass(frozen=True, slots=True)
class Quantize:
    """QUANTIZE of a float32 input: round(x / scale) + zero point, half away from zero, saturated."""

    input: int
    output: int


@dataclass(frozen=True, slots=True)
class Dequantize:
    """DEQUANTIZE to a float32 output, from a table."""

    input: int
    output: int
    table: NDArray[np.float32]  # [256], by the input's byte


@dataclass(frozen=True, slots=True)
class Reshape:
    """RESHAPE: the same bytes under another shape."""

    input: int
    output: int


Operator = (
    Conv2D
    | DepthwiseConv2D
    | AveragePool2D
    | MaxPool2D
    | Pad
    | Add
    | Mul
    | Mean
    | Concatenation
    | Softmax
    | Lookup
    | Quantize
    | Dequantize
    | Reshape
)


def inputs_of(operator: Operator) -> tuple[int, ...]:
    """Indices of the tensors that `operator` reads, constants of ADD, SUB and MUL among them."""
    if isinstance(operator, Concatenation):
        return operator.inputs
    return (operator.input, operator.input2) if isinstance(operator, Add | Mul) else (operator.input,)


@dataclass(frozen=True, slots=True)
class Graph:
    """One network: operators in order of execution, one input, one output."""

    tensors: dict[int, Tensor]  # by index in the file: activations, and the constants below
    operators: tuple[Operator, ...]
    input: int
    output: int
    constants: dict[int, NDArray[np.int8]]  # [H, W, C] by tensor index: operands of ADD, SUB and MUL
    unread: dict[int, NDArray[np.bool_]] = field(default_factory=dict)  # channels [C] nobody reads (channels.py)
    views: dict[int, tuple[int, int]] = field(default_factory=dict)  # rows of another tensor from a byte on (strips.py)

    @property
    def input_tensor(self) -> Tensor:
        """The frame, int8 [H, W, C]."""
        return self.tensors[self.input]

    @property
    def output_tensor(self) -> Tensor:
        """The result; a classifier's is int8 [1, 1, labels]."""
        return self.tensors[self.output]

    @property
    def labels(self) -> int:
        """Number of logits."""
        return self.output_tensor.elements

    @property
    def activations(self) -> Iterator[int]:
        """The tensors that live in the arena."""
        return (index for index in self.tensors if index not in self.constants)

    def needed(self, index: int) -> NDArray[np.bool_]:
        """The channels bool [C] of a tensor that must be computed."""
        channels = self.tensors[index].shape[2]
        return ~self.unread[index] if index in self.unread else np.ones(channels, np.bool_)

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
