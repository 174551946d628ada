"""Writes a QuantisedNetwork as a full-int8 `.tflite` file with LiteRT's schema: no TensorFlow, about a second.

Everything is int8 in and out with per-channel weights; stride-2 convolutions get an explicit PAD from the caller,
because torch pads both sides where TFLite's SAME pads one.
"""

from __future__ import annotations

from typing import Any

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np
from numpy.typing import NDArray

from edge.learning.quantised import Convolution, Layer, Pooling, QuantisedNetwork, ZeroPadding

BUFFER_ALIGNMENT = 16  # schema.fbs: force_align of Buffer.data
FUSED = {"NONE": 0, "RELU": 1, "RELU6": 3}  # schema.fbs, ActivationFunctionType
PADDING = {"SAME": 0, "VALID": 1}  # schema.fbs, Padding
VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "AVERAGE_POOL_2D": 2, "PAD": 2, "ADD": 2}  # first with int8


class _AlignedBuffer:
    """A schema Buffer whose bytes start at a multiple of 16; `Pack` is the generated object API's protocol."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data = data

    def Pack(self, builder: Any) -> int:  # noqa: N802
        builder.Prep(BUFFER_ALIGNMENT, self._data.size)
        vector = builder.CreateNumpyVector(self._data)
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


def write_tflite(network: QuantisedNetwork) -> bytes:
    """The bytes of the `.tflite` file; the same network always gives the same bytes."""
    return _Writer(network).write()


class _Writer:
    def __init__(self, network: QuantisedNetwork) -> None:
        self._network = network
        self._buffers: list[Any] = [schema.BufferT()]  # buffer 0 is empty by convention: activations point to it
        self._codes: list[str] = []
        self._tensors: list[Any] = []

    def write(self) -> bytes:
        network = self._network
        for activation in network.activations:
            quantisation = _quantisation(np.array([activation.scale], np.float32), activation.zero_point)
            self._tensor(activation.name, (1, *activation.shape), schema.TensorType.INT8, 0, quantisation)
        operators = [self._operator(layer) for layer in network.layers]
        graph = schema.SubGraphT(
            tensors=self._tensors,
            inputs=np.array([network.input], np.int32),
            outputs=np.array([network.output], np.int32),
            operators=operators,
            name="main",
        )
        model = schema.ModelT(
            version=3,
            operatorCodes=[_operator_code(kind) for kind in self._codes],
            subgraphs=[graph],
            description=network.description,
            buffers=self._buffers,
        )
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _tensor(self, name: str, shape: tuple[int, ...], kind: int, buffer: int, quantisation: Any) -> int:
        tensor = schema.TensorT(
            shape=np.array(shape, np.int32),
            type=kind,
            buffer=buffer,
            name=name,
            quantization=quantisation,
            hasRank=True,
        )
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _constant(self, name: str, values: NDArray[Any], quantisation: Any = None) -> int:
        kinds = {np.dtype(np.int8): schema.TensorType.INT8, np.dtype(np.int32): schema.TensorType.INT32}
        little_endian = values.astype(values.dtype.newbyteorder("<"))
        self._buffers.append(_AlignedBuffer(np.frombuffer(little_endian.tobytes(), np.uint8)))
        return self._tensor(name, values.shape, kinds[values.dtype], len(self._buffers) - 1, quantisation)

    def _operator(self, layer: Layer) -> Any:
        """The schema's operator for one layer, its constants added on the way."""
        if isinstance(layer, Convolution):
            return self._convolution(layer)
        if isinstance(layer, Pooling):
            options = schema.Pool2DOptionsT(
                padding=PADDING[layer.padding],
                strideH=layer.stride,
                strideW=layer.stride,
                filterHeight=layer.window[0],
                filterWidth=layer.window[1],
            )
            return self._packed("AVERAGE_POOL_2D", [layer.input], layer.output, "Pool2DOptions", options)
        if isinstance(layer, ZeroPadding):
            top, bottom, left, right = layer.amounts
            table = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)  # [4, 2]
            amounts = self._constant(f"{self._network.activations[layer.output].name}/amounts", table)
            return self._packed("PAD", [layer.input, amounts], layer.output, "PadOptions", schema.PadOptionsT())
        options = schema.AddOptionsT(fusedActivationFunction=FUSED[layer.fused])
        return self._packed("ADD", [layer.input, layer.input2], layer.output, "AddOptions", options)

    def _convolution(self, layer: Convolution) -> Any:
        axis = 3 if layer.depthwise else 0
        input_scale = np.float32(self._network.activations[layer.input].scale)
        weights = self._constant(f"{layer.name}/weights", layer.weights, _quantisation(layer.weight_scales, 0, axis))
        bias = self._constant(f"{layer.name}/bias", layer.bias, _quantisation(layer.weight_scales * input_scale, 0))
        common = {
            "padding": PADDING[layer.padding],
            "strideH": layer.stride,
            "strideW": layer.stride,
            "fusedActivationFunction": FUSED[layer.fused],
        }
        inputs = [layer.input, weights, bias]
        if layer.depthwise:
            multiplier = layer.weights.shape[3] // self._network.activations[layer.input].shape[2]
            options = schema.DepthwiseConv2DOptionsT(depthMultiplier=multiplier, **common)
            return self._packed("DEPTHWISE_CONV_2D", inputs, layer.output, "DepthwiseConv2DOptions", options)
        return self._packed("CONV_2D", inputs, layer.output, "Conv2DOptions", schema.Conv2DOptionsT(**common))

    def _packed(self, kind: str, inputs: list[int], output: int, table: str, options: Any) -> Any:
        if kind not in self._codes:
            self._codes.append(kind)
        return schema.OperatorT(
            opcodeIndex=self._codes.index(kind),
            inputs=np.array(inputs, np.int32),
            outputs=np.array([output], np.int32),
            builtinOptionsType=getattr(schema.BuiltinOptions, table),
            builtinOptions=options,
        )


def _operator_code(kind: str) -> Any:
    number = getattr(schema.BuiltinOperator, kind)
    return schema.OperatorCodeT(deprecatedBuiltinCode=min(number, 127), builtinCode=number, version=VERSIONS[kind])


def _quantisation(scales: NDArray[np.float32], zero_point: int, axis: int = 0) -> Any:
    return schema.QuantizationParametersT(
        scale=scales.astype(np.float32),
        zeroPoint=np.full(scales.size, zero_point, np.int64),
        quantizedDimension=axis,
    )
