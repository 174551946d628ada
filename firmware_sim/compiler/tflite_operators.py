"""Each supported operator of a `.tflite` file, checked and turned into its form in graph.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.arithmetic import INT32_MAX, activation_range, add_rescale, quantise_multiplier
from firmware_sim.compiler.graph import (
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    Operator,
    Pad,
    Rescale,
    Reshape,
    Shape,
    Tensor,
    Window,
)
from firmware_sim.compiler.tflite_file import Constant, Source

ACTIVATIONS = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH", 5: "SIGN_BIT"}  # schema.fbs
SAME = 0  # schema.fbs, Padding
MAX_WINDOW = 255  # nn.h holds window sides, strides and padding as uint8
MAX_EXPONENT = 30


def _window(source: Source, options: Any, kernel: tuple[int, int], shape_in: Shape, shape_out: Shape) -> Window:
    """Padding as ComputePaddingHeightWidth (tensorflow/lite/kernels/padding.h); checks the output's shape."""
    same = options.padding == SAME
    strides = (int(options.strideH), int(options.strideW))
    if not all(1 <= side <= MAX_WINDOW for side in (*kernel, *strides)):
        raise source.error(f"window {kernel} with strides {strides}: 1 to {MAX_WINDOW} is supported")
    pads = []
    for side, size, stride, out in zip(shape_in[:2], kernel, strides, shape_out[:2], strict=True):
        expected = -(-side // stride) if same else -(-(side - size + 1) // stride)
        if expected != out or expected < 1:
            raise source.error(f"output side is {out}, but the window gives {expected}", source.outputs[0])
        pads.append(max(0, (out - 1) * stride + size - side) // 2)
    return Window(*kernel, *strides, *pads)


def _no_dilation(source: Source, options: Any) -> None:
    factors = (options.dilationHFactor, options.dilationWFactor)
    if factors != (1, 1):
        raise source.error(f"dilation {factors}: only 1 is supported")


def _activation(source: Source, options: Any, out: Tensor) -> tuple[int, int]:
    number = int(options.fusedActivationFunction)
    try:
        return activation_range(ACTIVATIONS.get(number, f"code {number}"), out.scale, out.zero_point)
    except ValueError as error:
        raise source.error(str(error)) from None


def _bias(source: Source, channels: int) -> NDArray[np.int32]:
    if len(source.inputs) < 3 or source.inputs[2] == -1:
        return np.zeros(channels, np.int32)
    bias = source.constant(2, np.int32, 1)
    if bias.values.shape != (channels,):
        raise source.error(f"bias has {bias.values.size} values for {channels} channels", source.inputs[2])
    return bias.values  # [O]


def _rescale(source: Source, weights: Constant, axis: int, into: Tensor, out: Tensor, channels: int) -> Rescale:
    """Per-channel factors s_in * s_w / s_out in double, as PopulateConvolutionQuantizationParams computes them."""
    if weights.scales.size not in (1, channels) or (weights.scales.size > 1 and weights.axis != axis):
        raise source.error(
            f"{weights.scales.size} scales along axis {weights.axis} for {channels} channels", source.inputs[1]
        )
    try:
        pairs = [
            quantise_multiplier(into.scale * float(scale) / out.scale)
            for scale in np.broadcast_to(weights.scales, channels)
        ]
    except ValueError as error:
        raise source.error(str(error), source.inputs[1]) from None
    multipliers, exponents = zip(*pairs, strict=True)
    return Rescale(np.array(multipliers, np.int32), np.array(exponents, np.int8))  # [O], [O]


SUM_MAX = INT32_MAX - 1024  # the firmware adds up to 511 before its last halving (requantise_m0.S)


def _prove_int32(
    source: Source, weights: NDArray[np.int8], bias: NDArray[np.int32], into: Tensor, rescale: Rescale
) -> None:
    """Raise unless no sum can leave int32, whatever the input: partial sums with the zero point inside or folded
    into the bias, and the accumulator after its left shift.

    `weights` int8 [taps, O].
    """
    magnitude = np.abs(weights.astype(np.int64)).sum(axis=0)  # [O]
    folded = np.abs(bias.astype(np.int64) - into.zero_point * weights.astype(np.int64).sum(axis=0))  # [O]
    largest_step = max(into.zero_point + 128, 127 - into.zero_point)  # of |x - zero_point|
    worst = np.maximum(np.abs(bias.astype(np.int64)) + magnitude * largest_step, folded + magnitude * 128)  # [O]
    left = np.maximum(rescale.exponent.astype(np.int64), 0)
    if (rescale.exponent > MAX_EXPONENT).any() or (worst > (SUM_MAX >> left)).any():
        raise source.error("its sums can leave int32: weights, bias or rescale factor are too large", source.inputs[1])


def conv_2d(source: Source) -> Operator:
    """CONV_2D: weights OHWI, no groups, no dilation."""
    source.expect_arity((2, 3))
    options = source.expect_options("Conv2DOptionsT")
    (index, into), (target, out) = source.activation(0), source.output()
    weights = source.constant(1, np.int8, 4)
    channels, height, width, depth = weights.values.shape
    if depth != into.shape[2] or channels != out.shape[2]:
        raise source.error(
            f"weights {list(weights.values.shape)} do not fit {into.shape[2]} to {out.shape[2]} channels",
            source.inputs[1],
        )
    _no_dilation(source, options)
    window = _window(source, options, (height, width), into.shape, out.shape)
    rescale, bias = _rescale(source, weights, 0, into, out, channels), _bias(source, channels)
    _prove_int32(source, weights.values.reshape(channels, -1).T, bias, into, rescale)
    return Conv2D(index, target, weights.values, bias, window, rescale, *_activation(source, options, out))


def depthwise_conv_2d(source: Source) -> Operator:
    """DEPTHWISE_CONV_2D: weights 1HWO, any depth multiplier, no dilation."""
    source.expect_arity((2, 3))
    options = source.expect_options("DepthwiseConv2DOptionsT")
    (index, into), (target, out) = source.activation(0), source.output()
    weights = source.constant(1, np.int8, 4)
    ones, height, width, channels = weights.values.shape
    multiplier, rest = divmod(channels, into.shape[2])
    if ones != 1 or rest or channels != out.shape[2] or not 1 <= multiplier <= MAX_WINDOW:
        raise source.error(
            f"weights {list(weights.values.shape)} do not fit {into.shape[2]} to {out.shape[2]} channels",
            source.inputs[1],
        )
    if int(options.depthMultiplier) not in (0, multiplier):
        raise source.error(f"depth multiplier {options.depthMultiplier}, but the weights give {multiplier}")
    _no_dilation(source, options)
    window = _window(source, options, (height, width), into.shape, out.shape)
    rescale, bias = _rescale(source, weights, 3, into, out, channels), _bias(source, channels)
    _prove_int32(source, weights.values.reshape(-1, channels), bias, into, rescale)
    low, high = _activation(source, options, out)
    return DepthwiseConv2D(index, target, weights.values[0], bias, multiplier, window, rescale, low, high)


def fully_connected(source: Source) -> Operator:
    """FULLY_CONNECTED, as a 1x1 convolution over one pixel that holds the whole input.

    LiteRT's reference kernel rounds this operator otherwise than tflite-micro: the result here is tflite-micro's.
    """
    source.expect_arity((2, 3))
    options = source.expect_options("FullyConnectedOptionsT")
    (index, into), (target, out) = source.activation(0), source.output()
    weights = source.constant(1, np.int8, 2)
    channels, depth = weights.values.shape
    if into.shape != (1, 1, depth) or out.shape != (1, 1, channels) or weights.scales.size != 1:
        raise source.error(
            f"weights {list(weights.values.shape)} with {weights.scales.size} scales do not fit {list(into.shape)} to "
            f"{list(out.shape)}; one scale and a flat input are supported",
            source.inputs[1],
        )
    rescale, bias = _rescale(source, weights, 0, into, out, channels), _bias(source, channels)
    _prove_int32(source, weights.values.T, bias, into, rescale)
    window = Window(1, 1, 1, 1, 0, 0)
    values = weights.values.reshape(channels, 1, 1, depth)  # [O, 1, 1, I]
    return Conv2D(index, target, values, bias, window, rescale, *_activation(source, options, out))


def _same_quantisation(source: Source, into: Tensor, out: Tensor) -> None:
    if (into.scale, into.zero_point) != (out.scale, out.zero_point):
        raise source.error("needs the same scale and zero point in and out", source.outputs[0])


def average_pool_2d(source: Source) -> Operator:
    """AVERAGE_POOL_2D of any window."""
    source.expect_arity((1,))
    options = source.expect_options("Pool2DOptionsT")
    (index, into), (target, out) = source.activation(0), source.output()
    _same_quantisation(source, into, out)
    if into.shape[2] != out.shape[2]:
        raise source.error(f"{into.shape[2]} channels in, {out.shape[2]} out", target)
    window = _window(source, options, (int(options.filterHeight), int(options.filterWidth)), into.shape, out.shape)
    return AveragePool2D(index, target, window, *_activation(source, options, out))


def pad(source: Source) -> Operator:
    """PAD of height and width by a constant [4, 2] of int32."""
    source.expect_arity((2,))
    (index, into), (target, out) = source.activation(0), source.output()
    _same_quantisation(source, into, out)
    amounts = source.constant(1, np.int32, 2).values  # [4, 2]: before and after, of N, H, W, C
    if amounts.shape != (4, 2) or amounts[[0, 3]].any() or not ((amounts >= 0) & (amounts <= MAX_WINDOW)).all():
        raise source.error(f"pads height and width by 0 to {MAX_WINDOW}, not {amounts.tolist()}", source.inputs[1])
    height, width = (into.shape[axis] + int(amounts[axis + 1].sum()) for axis in (0, 1))
    if out.shape != (height, width, into.shape[2]):
        raise source.error(
            f"output is {list(out.shape)}, but the padding gives {[height, width, into.shape[2]]}", target
        )
    return Pad(index, target, top=int(amounts[1, 0]), left=int(amounts[2, 0]))


def add(source: Source) -> Operator:
    """ADD of two activations of one shape."""
    source.expect_arity((2,))
    options = source.expect_options("AddOptionsT")
    (index, one), (index2, two), (target, out) = source.activation(0), source.activation(1), source.output()
    if not one.shape == two.shape == out.shape:
        raise source.error(f"adds {list(one.shape)} and {list(two.shape)} to {list(out.shape)}: no broadcasting here")
    try:
        multipliers, exponents = add_rescale(one.scale, two.scale, out.scale)
    except ValueError as error:
        raise source.error(str(error), target) from None
    rescale = Rescale(np.array(multipliers, np.int32), np.array(exponents, np.int8))  # [3]
    return Add(index, index2, target, rescale, *_activation(source, options, out))


def reshape(source: Source) -> Operator:
    """RESHAPE to the output tensor's shape; a shape input is not read."""
    source.expect_arity((1, 2))
    (index, into), (target, out) = source.activation(0), source.output()
    _same_quantisation(source, into, out)
    if into.bytes != out.bytes:
        raise source.error(f"{list(into.shape)} has not as many elements as {list(out.shape)}", target)
    return Reshape(index, target)


OPERATORS: dict[str, Callable[[Source], Operator]] = {
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "FULLY_CONNECTED": fully_connected,
    "AVERAGE_POOL_2D": average_pool_2d,
    "PAD": pad,
    "ADD": add,
    "RESHAPE": reshape,
}
