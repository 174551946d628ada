"""Writes a QuantisedNetwork as ONNX in QDQ form, with the integers of the `.tflite` file.

Input int8 [N, H, W, C] and output int8 [N, labels], as the `.tflite` has them. On x86-64 without VNNI, ONNX Runtime
needs `session.x64quantprecision=1`, or it saturates silently.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge.learning.quantised import Addition, Convolution, Layer, Pooling, QuantisedNetwork, ZeroPadding

OPSET = 17
IR_VERSION = 9  # the one of onnx 1.14, which onnxruntime 1.15 and later read


def write_onnx(network: QuantisedNetwork) -> bytes:
    """The bytes of the `.onnx` file, checked by onnx's own checker."""
    return _Writer(network).write()


class _Writer:
    def __init__(self, network: QuantisedNetwork) -> None:
        self._network = network
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def write(self) -> bytes:
        network = self._network
        entry, out = network.activations[network.input], network.activations[network.output]
        self._dequantise("input", "input/real", entry.scale, entry.zero_point)
        self._node("Transpose", ["input/real"], self._real(network.input), perm=[0, 3, 1, 2])  # [N, C, H, W]
        for layer in network.layers:
            self._layer(layer)
        self._node("Flatten", [self._real(network.output)], "flat", axis=1)  # [N, labels]
        self._quantise("flat", "logits", out.scale, out.zero_point)
        graph = helper.make_graph(
            self._nodes,
            "main",
            [helper.make_tensor_value_info("input", TensorProto.INT8, ["N", *entry.shape])],
            [helper.make_tensor_value_info("logits", TensorProto.INT8, ["N", out.shape[2]])],
            list(self._constants.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="crustwatch")
        model.ir_version = IR_VERSION
        model.doc_string = network.description
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))

    def _real(self, position: int) -> str:
        """Name of the dequantised form of an activation, float32 [N, C, H, W]."""
        return f"{self._network.activations[position].name}/real"

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        self._constants[name] = numpy_helper.from_array(values, name)
        return name

    def _parameters(self, name: str, scale: float, zero_point: int) -> list[str]:
        return [
            self._constant(f"{name}/scale", np.array(scale, np.float32)),
            self._constant(f"{name}/zero_point", np.array(zero_point, np.int8)),
        ]

    def _quantise(self, source: str, target: str, scale: float, zero_point: int) -> None:
        self._node("QuantizeLinear", [source, *self._parameters(target, scale, zero_point)], target)

    def _dequantise(self, source: str, target: str, scale: float, zero_point: int) -> None:
        self._node("DequantizeLinear", [source, *self._parameters(target, scale, zero_point)], target)

    def _layer(self, layer: Layer) -> None:
        """The layer in real numbers, then through the output's int8 grid and back."""
        out = self._network.activations[layer.output]
        result = f"{out.name}/computed"
        if isinstance(layer, Convolution):
            self._convolution(layer, result)
        elif isinstance(layer, Pooling):
            self._node(
                "AveragePool",
                [self._real(layer.input)],
                result,
                kernel_shape=list(layer.window),
                strides=[layer.stride] * 2,
                auto_pad="SAME_UPPER" if layer.padding == "SAME" else "VALID",
                count_include_pad=0,
            )
        elif isinstance(layer, ZeroPadding):
            top, bottom, left, right = layer.amounts
            amounts = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
            self._node("Pad", [self._real(layer.input), self._constant(f"{out.name}/amounts", amounts)], result)
        else:
            self._node("Add", [self._real(layer.input), self._real(layer.input2)], result)
        if isinstance(layer, Convolution | Addition):
            result = self._fused(layer.fused, result)
        self._quantise(result, f"{out.name}/integers", out.scale, out.zero_point)
        self._dequantise(f"{out.name}/integers", self._real(layer.output), out.scale, out.zero_point)

    def _fused(self, fused: str, name: str) -> str:
        if fused == "RELU":
            return self._node("Relu", [name], f"{name}/relu")
        if fused == "RELU6":
            bounds = [self._constant("zero", np.array(0, np.float32)), self._constant("six", np.array(6, np.float32))]
            return self._node("Clip", [name, *bounds], f"{name}/relu6")
        return name

    def _convolution(self, layer: Convolution, result: str) -> None:
        scale = np.float32(self._network.activations[layer.input].scale)
        channels = layer.weight_scales.size
        # TFLite's OHWI or 1HWO to ONNX's [O, I / groups, kh, kw]
        weights = layer.weights.transpose((3, 0, 1, 2) if layer.depthwise else (0, 3, 1, 2))
        zeros: dict[str, NDArray[Any]] = {"weights": np.zeros(channels, np.int8), "bias": np.zeros(channels, np.int32)}
        scales: dict[str, NDArray[Any]] = {"weights": layer.weight_scales, "bias": layer.weight_scales * scale}
        integers: dict[str, NDArray[Any]] = {"weights": np.ascontiguousarray(weights), "bias": layer.bias}
        for part, values in integers.items():
            name = f"{layer.name}/{part}"
            inputs = [
                self._constant(name, values),
                self._constant(f"{name}/scale", scales[part]),
                self._constant(f"{name}/zero_point", zeros[part]),
            ]
            self._node("DequantizeLinear", inputs, f"{name}/real", axis=0)
        self._node(
            "Conv",
            [self._real(layer.input), f"{layer.name}/weights/real", f"{layer.name}/bias/real"],
            result,
            kernel_shape=list(weights.shape[2:]),
            strides=[layer.stride] * 2,
            auto_pad="SAME_UPPER" if layer.padding == "SAME" else "VALID",
            group=self._network.activations[layer.input].shape[2] if layer.depthwise else 1,
        )
