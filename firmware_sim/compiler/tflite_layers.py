"""Convolutions and FULLY_CONNECTED of a `.tflite` file, checked and turned into their form in graph.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.arithmetic import INT32_MAX, activation_range, quantise_multiplier
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Operator, Rescale, Shape, Tensor, Window
from firmware_sim.compiler.tflite_file import MAX_SIDE, Constant, Source

ACTIVATIONS = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH", 5: "SIGN_BIT"}  # schema.fbs
SAME = 0  # schema.fbs, Padding
MAX_EXPONENT = 30
SUM_MAX = INT32_MAX - 1024  # the firmware adds up to 511 before its last halving (requantise_m0.S)


def window_of(source: Source, options: Any, kernel: tuple[int, int], shape_in: Shape, shape_out: Shape) -> Window:
    """Padding as ComputePaddingHeightWidth (tensorflow/lite/kernels/padding.h); checks the output's shape."""
    same = options.padding == SAME
    strides = (int(options.strideH), int(options.strideW))
    if not all(1 <= side <= MAX_SIDE for side in (*kernel, *strides)):
        raise source.error(f"window {kernel} with strides {strides}: 1 to {MAX_SIDE} is supported")
    pads = []
    for side, size, stride, out in zip(shape_in[:2], kernel, strides, shape_out[:2], strict=True):
        expected = -(-side // stride) if same else -(-(side - size + 1) // stride)
        if expected != out or expected < 1:
            raise source.error(f"output side is {out}, but the window gives {expected}", source.outputs[0])
        pads.append(max(0, (out - 1) * stride + size - side) // 2)
    return Window(*kernel, *strides, *pads)


def activation_of(source: Source, options: Any, out: Tensor) -> tuple[int, int]:
    """The fused activation's int8 range."""
    number = int(options.fusedActivationFunction)
    try:
        return activation_range(ACTIVATIONS.get(number, f"code {number}"), out.scale, out.zero_point)
    except ValueError as error:
        raise source.error(str(error)) from None


def _no_dilation(source: Source, options: Any) -> None:
    factors = (options.dilationHFactor, options.dilationWFactor)
    if factors != (1, 1):
        raise source.error(f"dilation {factors}: only 1 is supported")


def _bias(source: Source, channels: int) -> NDArray[np.int32]:
    if len(source.inputs) < 3 or source.inputs[2] == -1:
        return np.zeros(channels, np.int32)
    bias = source.constant(2, np.int32, 1)
    if bias.values.shape != (channels,):
        raise source.error(f"bias has {bias.values.size} values for {channels} channels", source.inputs[2])
    return bias.values  # [O]


def _rescale(
    source: Source, weights: Constant, axis: int, into: Tensor, out: Tensor, channels: int, *, once: bool = False
) -> Rescale:
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
    return Rescale(np.array(multipliers, np.int32), np.array(exponents, np.int8), once)  # [O], [O]


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
    options = source.expect_options("Conv2DOptions")
    (index, into), (target, out) = source.activation(0), source.output()
    weights = source.constant(1, np.int8, 4)
    channels, height, width, depth = weights.values.shape
    if depth != into.shape[2] or channels != out.shape[2]:
        raise source.error(
            f"weights {list(weights.values.shape)} do not fit {into.shape[2]} to {out.shape[2]} channels",
            source.inputs[1],
        )
    _no_dilation(source, options)
    window = window_of(source, options, (height, width), into.shape, out.shape)
    rescale, bias = _rescale(source, weights, 0, into, out, channels), _bias(source, channels)
    _prove_int32(source, weights.values.reshape(channels, -1).T, bias, into, rescale)
    return Conv2D(index, target, weights.values, bias, window, rescale, *activation_of(source, options, out))


def depthwise_conv_2d(source: Source) -> Operator:
    """DEPTHWISE_CONV_2D: weights 1HWO, any depth multiplier, no dilation."""
    source.expect_arity((2, 3))
    options = source.expect_options("DepthwiseConv2DOptions")
    (index, into), (target, out) = source.activation(0), source.output()
    weights = source.constant(1, np.int8, 4)
    ones, height, width, channels = weights.values.shape
    multiplier, rest = divmod(channels, into.shape[2])
    if ones != 1 or rest or channels != out.shape[2] or not 1 <= multiplier <= MAX_SIDE:
        raise source.error(
            f"weights {list(weights.values.shape)} do not fit {into.shape[2]} to {out.shape[2]} channels",
            source.inputs[1],
        )
    if int(options.depthMultiplier) not in (0, multiplier):
        raise source.error(f"depth multiplier {options.depthMultiplier}, but the weights give {multiplier}")
    _no_dilation(source, options)
    window = window_of(source, options, (height, width), into.shape, out.shape)
    rescale, bias = _rescale(source, weights, 3, into, out, channels), _bias(source, channels)
    _prove_int32(source, weights.values.reshape(-1, channels), bias, into, rescale)
    low, high = activation_of(source, options, out)
    return DepthwiseConv2D(index, target, weights.values[0], bias, multiplier, window, rescale, low, high)


def fully_connected(source: Source) -> Operator:
    """FULLY_CONNECTED: the input's bytes in rows of the weights' depth, each row a pixel of a 1x1 convolution.

    LiteRT's reference kernel rounds its results once and tflite-micro's twice: here it is LiteRT's.
    """
    source.expect_arity((2, 3))
    options = source.expect_options("FullyConnectedOptions")
    (index, into), (target, out) = source.activation(0), source.output()
    weights = source.constant(1, np.int8, 2)
    channels, depth = weights.values.shape
    rows, rest = divmod(into.elements, depth)
    if rest or out.elements != rows * channels or out.shape[2] != channels or int(options.weightsFormat) != 0:
        raise source.error(
            f"weights {list(weights.values.shape)} of format {int(options.weightsFormat)} do not fit "
            f"{list(into.shape)} to {list(out.shape)}; plain weights [O, I] and rows of I values are supported",
            source.inputs[1],
        )
    rescale = _rescale(source, weights, 0, into, out, channels, once=True)
    bias = _bias(source, channels)
    _prove_int32(source, weights.values.T, bias, into, rescale)
    window = Window(1, 1, 1, 1, 0, 0)
    values = weights.values.reshape(channels, 1, 1, depth)  # [O, 1, 1, I]
    return Conv2D(index, target, values, bias, window, rescale, *activation_of(source, options, out))
