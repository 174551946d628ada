"""Writes any `.tflite` file with LiteRT's schema, operator by operator: what the compiler's tests feed it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np
from numpy.typing import NDArray

TYPES = {"int8": 9, "uint8": 3, "int32": 2, "float32": 0, "int16": 7, "int64": 4}  # schema.fbs, TensorType
NONE, RELU, RELU_N1_TO_1, RELU6, TANH = range(5)  # schema.fbs, ActivationFunctionType
SAME, VALID = 0, 1  # schema.fbs, Padding


class TfliteFile:
    """Collects tensors and operators; `write` gives the file's bytes. Tensors are named by the index returned."""

    def __init__(self) -> None:
        self._buffers: list[Any] = [schema.BufferT()]
        self._codes: list[int] = []
        self._tensors: list[Any] = []
        self._operators: list[Any] = []

    def tensor(
        self,
        shape: Sequence[int],
        scale: float | Sequence[float] | None = None,
        zero_point: int = 0,
        *,
        dtype: str = "int8",
        axis: int = 0,
        values: NDArray[Any] | None = None,
        name: str | None = None,
    ) -> int:
        """An activation, or a constant when `values` are given."""
        quantization = None
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            quantization = schema.QuantizationParametersT(
                scale=scales, zeroPoint=np.full(len(scales), zero_point, np.int64), quantizedDimension=axis
            )
        buffer = 0
        if values is not None:
            data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self._buffers.append(schema.BufferT(data=data))
            buffer = len(self._buffers) - 1
        self._tensors.append(
            schema.TensorT(
                shape=np.array(shape, np.int32),
                type=TYPES[dtype],
                buffer=buffer,
                name=name or f"tensor{len(self._tensors)}",
                quantization=quantization,
            )
        )
        return len(self._tensors) - 1

    def constant(self, values: NDArray[Any], scale: float | Sequence[float] | None = None, axis: int = 0) -> int:
        """A constant of the array's shape and dtype."""
        return self.tensor(values.shape, scale, dtype=str(values.dtype), axis=axis, values=values)

    def operator(
        self, kind: str, inputs: Sequence[int], output: int, options: Any = None, options_type: str | None = None
    ) -> int:
        """An operator such as "CONV_2D" with its options table (`schema.Conv2DOptionsT(...)`); returns `output`."""
        code = getattr(schema.BuiltinOperator, kind)
        if code not in self._codes:
            self._codes.append(code)
        named = None if options is None else options_type or type(options).__name__.removesuffix("T")
        self._operators.append(
            schema.OperatorT(
                opcodeIndex=self._codes.index(code),
                inputs=np.array(inputs, np.int32),
                outputs=np.array([output], np.int32),
                builtinOptionsType=0 if named is None else getattr(schema.BuiltinOptions, named),
                builtinOptions=options,
            )
        )
        return output

    def write(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The bytes of the file."""
        model = schema.ModelT(
            version=3,
            operatorCodes=[
                schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=min(code, 127), version=version(code))
                for code in self._codes
            ],
            subgraphs=[
                schema.SubGraphT(
                    tensors=self._tensors,
                    inputs=np.array(inputs, np.int32),
                    outputs=np.array(outputs, np.int32),
                    operators=self._operators,
                    name="main",
                )
            ],
            buffers=self._buffers,
            description="test",
        )
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "RESHAPE": 1,
}  # the first with int8; 2 for the others


def version(code: int) -> int:
    names = {getattr(schema.BuiltinOperator, name): number for name, number in VERSIONS.items()}
    return names.get(code, 2)
