"""Random small networks of every operator that the compiler knows, as `.tflite` files: odd sizes, strides and
paddings, 1 to 65 channels, extreme scales and zero points, weights of -128, constants and repeated sides.
"""

from __future__ import annotations

import ai_edge_litert.schema_py_generated as schema
import numpy as np
from numpy.typing import NDArray
from tflite_files import NONE, RELU, RELU6, SAME, VALID, TfliteFile

from firmware_sim.compiler.tflite_reader import read_graph
from shared.errors import BadInputError

PROBABILITY = (1 / 256, -128)
KINDS = (
    "conv", "conv", "depthwise", "depthwise", "pool", "pad", "add", "mul", "mean", "concat", "softmax", "logistic",
    "relu", "requantize", "reshape", "connected", "branch",
)  # fmt: skip
MOST_ELEMENTS = 6_000


class RandomNetwork:
    """`RandomNetwork(seed).write(layers)` gives a file with one input and one output."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.file = TfliteFile()
        self.kinds: list[str] = []
        self._form: dict[int, tuple[tuple[int, ...], float, int]] = {}

    def write(self, layers: int, kinds: tuple[str, ...] = KINDS) -> bytes:
        rng = self.rng
        shape = (1, *(int(rng.integers(1, 14)) for _ in range(2)), int(rng.choice([1, 2, 3, 4, 7, 8, 16, 33, 65])))
        if np.prod(shape) > MOST_ELEMENTS:
            shape = (1, shape[1] % 8 + 1, shape[2] % 8 + 1, shape[3])
        border = str(rng.choice(["int8", "int8", "uint8", "float32"]))
        current = self.tensor(shape, self.scale(), self.zero_point())
        source = current
        if border != "int8":
            scale, zero_point = (None, 0) if border == "float32" else (self.scale(), int(rng.integers(0, 256)))
            source = self.file.tensor(shape, scale, zero_point, dtype=border)
            self.file.operator("QUANTIZE", [source], current, schema.QuantizeOptionsT())
        for _ in range(layers):
            kind = str(rng.choice(kinds))
            made = getattr(self, kind)(current)
            if made is not None:
                self.kinds.append(kind)
                current = made
        border = str(rng.choice(["int8", "int8", "uint8", "float32"]))
        if border == "float32":
            out = self.file.tensor(self._form[current][0], dtype="float32")
            current = self.file.operator("DEQUANTIZE", [current], out, schema.DequantizeOptionsT())
        elif border == "uint8" or not self.kinds:
            dtype = border
            out = self.file.tensor(self._form[current][0], self.scale(), int(rng.integers(0, 128)), dtype=dtype)
            current = self.file.operator("QUANTIZE", [current], out, schema.QuantizeOptionsT())
        return self.file.write([source], [current])

    def scale(self) -> float:
        """Mostly usual, sometimes extreme."""
        low, high = [(-3, 0), (-3, 0), (-3, 0), (-9, 3)][int(self.rng.integers(4))]
        return float(np.float32(10.0 ** self.rng.uniform(low, high)))

    def zero_point(self) -> int:
        return int(self.rng.choice([-128, 127, 0, int(self.rng.integers(-128, 128))]))

    def fused(self) -> int:
        return int(self.rng.choice([NONE, NONE, RELU, RELU6]))

    def tensor(self, shape: tuple[int, ...], scale: float, zero_point: int) -> int:
        index = self.file.tensor(shape, scale, zero_point)
        self._form[index] = (shape, float(np.float32(scale)), zero_point)
        return index

    def _rank4(self, current: int) -> tuple[int, int, int] | None:
        shape = self._form[current][0]
        return None if len(shape) != 4 else (shape[1], shape[2], shape[3])

    def _window(self, shape: tuple[int, int, int]) -> tuple[int, int, int, int, int, int, int]:
        """(kernel h, w, strides h, w, padding, out h, w)."""
        rng = self.rng
        kernel = [
            int(rng.integers(1, min(6, side + 1) if side < 9 or rng.random() < 0.8 else side + 1)) for side in shape[:2]
        ]
        if rng.random() < 0.4:
            kernel = [min(3, side) for side in shape[:2]]
        strides = [int(rng.integers(1, 4)) for _ in range(2)]
        if rng.random() < 0.4:
            strides = [1, 1]
        padding = int(rng.choice([SAME, VALID]))
        sides = zip(shape[:2], kernel, strides, strict=True)
        out = [-(-side // stride) if padding == SAME else (side - size) // stride + 1 for side, size, stride in sides]
        return (*kernel, *strides, padding, *out)

    def _weights(self, shape: tuple[int, ...]) -> NDArray[np.int8]:
        rng = self.rng
        lowest = int(rng.choice([-127, -127, -128]))
        weights = rng.integers(lowest, 128, shape)
        if rng.random() < 0.3:
            weights = weights // 16
        if rng.random() < 0.3:
            weights = weights * (rng.random(shape) < 0.5)
        if lowest == -128 and rng.random() < 0.5:
            weights.flat[: max(1, weights.size // 3)] = -128
        return weights.astype(np.int8)

    def _finish(
        self, current: int, weights: NDArray[np.int8], taps: int, channels: int, shape: tuple[int, ...], axis: int
    ):
        """Output tensor, weight and bias constants whose scales let most results land inside int8."""
        rng = self.rng
        scales = (10.0 ** rng.uniform(-3.5, -1.5, channels if rng.random() < 0.8 else 1)).astype(np.float32)
        spread = max(1.0, float(np.abs(weights.astype(float)).mean()) * 74.0 * np.sqrt(taps))
        bias = rng.normal(0.0, spread, channels).astype(np.int32)
        into = self._form[current][1]
        out_scale = into * float(np.median(scales)) * spread * float(10 ** rng.uniform(-0.3, 0.5)) / 64.0
        if rng.random() < 0.1:
            out_scale *= float(10.0 ** rng.uniform(-2, 3))
        target = self.tensor(shape, max(out_scale, 1e-30), self.zero_point())
        weight = self.file.constant(weights, scales, axis)
        inputs = [current, weight]
        if weights.ndim == 4 or rng.random() < 0.8:  # LiteRT's convolutions want one
            bias_scale = (np.float64(into) * np.broadcast_to(scales, scales.shape)).astype(np.float32)
            inputs.append(self.file.constant(bias, np.maximum(bias_scale, np.float32(1e-38)).tolist()))
        return inputs, target

    def conv(self, current: int) -> int | None:
        if (shape := self._rank4(current)) is None:
            return None
        kh, kw, sh, sw, padding, oh, ow = self._window(shape)
        channels = int(self.rng.integers(1, 66)) if self.rng.random() < 0.2 else int(self.rng.integers(1, 18))
        if oh * ow * channels > MOST_ELEMENTS:
            channels = 1
        weights = self._weights((channels, kh, kw, shape[2]))
        inputs, target = self._finish(current, weights, kh * kw * shape[2], channels, (1, oh, ow, channels), 0)
        options = schema.Conv2DOptionsT(
            padding=padding, strideH=sh, strideW=sw, dilationHFactor=1, dilationWFactor=1,
            fusedActivationFunction=self.fused(),
        )  # fmt: skip
        return self.file.operator("CONV_2D", inputs, target, options)

    def depthwise(self, current: int) -> int | None:
        if (shape := self._rank4(current)) is None:
            return None
        kh, kw, sh, sw, padding, oh, ow = self._window(shape)
        multiplier = int(self.rng.integers(1, 4)) if shape[2] < 20 and self.rng.random() < 0.4 else 1
        channels = shape[2] * multiplier
        if oh * ow * channels > MOST_ELEMENTS:
            return None
        weights = self._weights((1, kh, kw, channels))
        inputs, target = self._finish(current, weights, kh * kw, channels, (1, oh, ow, channels), 3)
        options = schema.DepthwiseConv2DOptionsT(
            padding=padding, strideH=sh, strideW=sw, dilationHFactor=1, dilationWFactor=1, depthMultiplier=multiplier,
            fusedActivationFunction=self.fused(),
        )  # fmt: skip
        return self.file.operator("DEPTHWISE_CONV_2D", inputs, target, options)

    def connected(self, current: int) -> int | None:
        shape = self._form[current][0]
        elements = int(np.prod(shape))
        if elements > 2_000:
            return None
        channels = int(self.rng.integers(1, 34))
        depth = elements if self.rng.random() < 0.6 else shape[-1]
        weights = self._weights((channels, depth))
        inputs, target = self._finish(current, weights, depth, channels, (elements // depth, channels), 0)
        return self.file.operator(
            "FULLY_CONNECTED", inputs, target, schema.FullyConnectedOptionsT(fusedActivationFunction=self.fused())
        )

    def pool(self, current: int) -> int | None:
        if (shape := self._rank4(current)) is None:
            return None
        kh, kw, sh, sw, padding, oh, ow = self._window(shape)
        target = self.tensor((1, oh, ow, shape[2]), *self._form[current][1:])
        options = schema.Pool2DOptionsT(
            padding=padding, strideH=sh, strideW=sw, filterHeight=kh, filterWidth=kw,
            fusedActivationFunction=self.fused(),
        )  # fmt: skip
        return self.file.operator(str(self.rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"])), [current], target, options)

    def pad(self, current: int) -> int | None:
        shape = self._form[current][0]
        amounts = np.zeros((len(shape), 2), np.int32)
        amounts[1:] = self.rng.integers(0, 3, (len(shape) - 1, 2))
        sides = tuple(int(side) for side in np.array(shape) + amounts.sum(axis=1))
        if len(shape) == 2 or np.prod(sides) > MOST_ELEMENTS:
            return None
        target = self.tensor(sides, *self._form[current][1:])
        return self.file.operator("PAD", [current, self.file.constant(amounts)], target, schema.PadOptionsT())

    def _second(self, current: int) -> tuple[int, int]:
        """Another operand and its position: itself, or a constant, whole or with sides of one."""
        rng = self.rng
        shape = self._form[current][0]
        choice = int(rng.integers(3))
        if choice == 0:
            return current, 1
        sides = shape if choice == 1 else tuple(side if rng.random() < 0.5 else 1 for side in shape)
        values = rng.integers(-128, 128, sides).astype(np.int8)
        scale, zero_point = self.scale(), self.zero_point()
        index = self.file.tensor(sides, scale, zero_point, values=values)
        self._form[index] = (sides, scale, zero_point)
        return index, int(rng.integers(2))

    def add(self, current: int) -> int | None:
        second, position = self._second(current)
        inputs = [current, second] if position else [second, current]
        larger = max(self._form[current][1], self._form[second][1])
        scale = larger * float(10 ** self.rng.uniform(-0.5, 1))
        target = self.tensor(self._form[current][0], scale, self.zero_point())
        if self.rng.random() < 0.5:
            return self.file.operator("ADD", inputs, target, schema.AddOptionsT(fusedActivationFunction=self.fused()))
        return self.file.operator("SUB", inputs, target, schema.SubOptionsT(fusedActivationFunction=self.fused()))

    def mul(self, current: int) -> int | None:
        second, position = self._second(current)
        inputs = [current, second] if position else [second, current]
        scale = self._form[current][1] * self._form[second][1] * float(10 ** self.rng.uniform(0, 2.5))
        if not 1e-30 < scale < 1e30:
            return None
        target = self.tensor(self._form[current][0], scale, self.zero_point())
        return self.file.operator("MUL", inputs, target, schema.MulOptionsT(fusedActivationFunction=self.fused()))

    def mean(self, current: int) -> int | None:
        if self._rank4(current) is None:
            return None
        shape = self._form[current][0]
        axes = [axis for axis in (1, 2, 3) if self.rng.random() < 0.5] or [1, 2]
        keep = bool(self.rng.integers(2))
        sides = tuple(1 if axis in axes else side for axis, side in enumerate(shape))
        if not keep:
            sides = tuple(side for axis, side in enumerate(shape) if axis not in axes)
        if len(sides) == 1:
            return None
        scale = self._form[current][1] * float(10 ** self.rng.uniform(-0.5, 0.5))
        target = self.tensor(sides, scale, self.zero_point())
        given = np.array([axis - 4 if self.rng.random() < 0.3 else axis for axis in axes], np.int32)
        return self.file.operator(
            "MEAN", [current, self.file.constant(given)], target, schema.ReducerOptionsT(keepDims=keep)
        )

    def concat(self, current: int) -> int | None:
        shape, scale, zero_point = self._form[current]
        axis = int(self.rng.integers(1, len(shape)))
        others = [i for i, form in self._form.items() if form == self._form[current] and i != current]
        inputs = [current, current, *others[:1]]
        self.rng.shuffle(inputs)
        sides = tuple(side * (len(inputs) if at == axis else 1) for at, side in enumerate(shape))
        if np.prod(sides) > MOST_ELEMENTS:
            return None
        target = self.tensor(sides, scale, zero_point)
        given = axis - len(shape) if self.rng.random() < 0.5 else axis
        return self.file.operator("CONCATENATION", inputs, target, schema.ConcatenationOptionsT(axis=given))

    def softmax(self, current: int) -> int | None:
        shape, scale, _ = self._form[current]
        beta = float(self.rng.choice([1.0, 0.5, 2.0]))
        if scale * beta * 2**26 <= 1.001:
            return None
        target = self.tensor(shape, *PROBABILITY)
        return self.file.operator("SOFTMAX", [current], target, schema.SoftmaxOptionsT(beta=beta))

    def logistic(self, current: int) -> int | None:
        target = self.tensor(self._form[current][0], *PROBABILITY)
        return self.file.operator("LOGISTIC", [current], target)

    def relu(self, current: int) -> int | None:
        shape, scale, _ = self._form[current]
        target = self.tensor(shape, scale * float(10 ** self.rng.uniform(-1, 1)), self.zero_point())
        return self.file.operator(str(self.rng.choice(["RELU", "RELU6"])), [current], target)

    def requantize(self, current: int) -> int | None:
        shape, scale, _ = self._form[current]
        target = self.tensor(shape, scale * float(10 ** self.rng.uniform(-1, 1)), self.zero_point())
        return self.file.operator("QUANTIZE", [current], target, schema.QuantizeOptionsT())

    def reshape(self, current: int) -> int | None:
        shape, scale, zero_point = self._form[current]
        elements = int(np.prod(shape))
        if self.rng.random() < 0.3:
            sides: tuple[int, ...] = (1, elements)
        else:
            height = int(self.rng.choice([d for d in range(1, 14) if elements % d == 0]))
            width = int(self.rng.choice([d for d in range(1, 14) if (elements // height) % d == 0]))
            sides = (1, height, width, elements // height // width)
        target = self.tensor(sides, scale, zero_point)
        return self.file.operator(
            "RESHAPE", [current, self.file.constant(np.array(sides, np.int32))], target, schema.ReshapeOptionsT()
        )

    def branch(self, current: int) -> int | None:
        """A convolution added to its input."""
        if (shape := self._rank4(current)) is None or shape[2] > 16:
            return None
        weights = self._weights((shape[2], 1, 1, shape[2]))
        inputs, side = self._finish(current, weights, shape[2], shape[2], (1, *shape), 0)
        options = schema.Conv2DOptionsT(padding=SAME, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1)
        self.file.operator("CONV_2D", inputs, side, options)
        scale = max(self._form[current][1], self._form[side][1]) * float(10 ** self.rng.uniform(-0.5, 1))
        target = self.tensor((1, *shape), scale, self.zero_point())
        return self.file.operator("ADD", [current, side], target, schema.AddOptionsT())


def legal_network(seed: int, layers: int, kinds: tuple[str, ...] = KINDS) -> bytes:
    """The first random file from `seed` on whose extreme scales the compiler takes."""
    for number in range(seed, seed + 20):
        data = RandomNetwork(number).write(layers, kinds)
        try:
            read_graph(data)
        except BadInputError:
            continue
        return data
    raise AssertionError(f"none of the networks from {seed} on is legal")


def random_inputs(data: bytes, count: int, seed: int) -> NDArray[np.generic]:
    """Inputs [count, ...] of the file's dtype: random, and the last two constant at the ends of the range."""
    graph = read_graph(data)
    tensor = graph.input_tensor
    rng = np.random.default_rng(seed)
    if tensor.dtype == "float32":
        scale = graph.tensors[graph.operators[0].output].scale  # of the QUANTIZE that reads it
        values = rng.normal(0.0, scale * 10.0 ** rng.uniform(-1, 3, (count, 1, 1, 1)), (count, *tensor.shape))
        return values.astype(np.float32)
    low, high = (-128, 127) if tensor.dtype == "int8" else (0, 255)
    values = rng.integers(low, high + 1, (count, *tensor.shape))
    values[-2:] = np.array([low, high]).reshape(2, 1, 1, 1)
    return values.astype(tensor.dtype)
