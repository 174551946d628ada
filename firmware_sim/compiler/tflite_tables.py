"""What the compiler reads of a `.tflite` file, copied out of the flatbuffer under limits.

Offsets in a flatbuffer may all point at one table, string or vector. The schema's own `ModelT.InitFromPackedBuf` makes
an object of each, so that a file of 2 MB asks for terabytes. Here counts are compared with a limit before anything is
made of them, vectors stay views of the file, and tables that no operator of ours needs are not looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import BadInputError

MAX_TENSORS = 4096
MAX_OPERATORS = 1024
MAX_BUFFERS = 2 * MAX_TENSORS  # one a tensor, and those of metadata
MAX_OPERANDS = 256  # inputs or outputs of one operator
MAX_AXES = 8
MAX_SCALES = 65_535  # one a channel
MAX_NAME_BYTES = 1024  # what is behind them is cut off
OPTIONS = (
    "AddOptions",
    "ConcatenationOptions",
    "Conv2DOptions",
    "DepthwiseConv2DOptions",
    "FullyConnectedOptions",
    "MulOptions",
    "Pool2DOptions",
    "ReducerOptions",
    "SoftmaxOptions",
    "SubOptions",
)  # those that are read: numbers alone


@dataclass(frozen=True, slots=True)
class Quantisation:
    """Scales and zero points of a tensor, as they stand in the file."""

    scales: NDArray[np.float32]  # [n]
    zero_points: NDArray[np.int64]  # [n]
    axis: int


@dataclass(frozen=True, slots=True)
class TensorTable:
    """A tensor's entry."""

    name: bytes
    shape: tuple[int, ...]
    type: int  # schema.fbs, TensorType
    buffer: int
    quantisation: Quantisation | None  # None unless it has both scales and zero points
    sparse: bool


@dataclass(frozen=True, slots=True)
class OperatorTable:
    """An operator's entry."""

    code: int  # index among the codes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options_kind: str  # "Conv2DOptions"; "no options"
    options: Any  # the schema's object, when it is one of OPTIONS


@dataclass(frozen=True, slots=True)
class ModelTables:
    """One network; the indices in it are not checked yet."""

    codes: tuple[int, ...]  # schema.fbs, BuiltinOperator
    buffers: tuple[NDArray[np.uint8], ...]  # views of the file
    tensors: tuple[TensorTable, ...]
    operators: tuple[OperatorTable, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_tables(schema: Any, data: bytes, origin: str) -> ModelTables:
    """The tables of a file whose name in errors is `origin`; BadInputError when it is damaged or exceeds a limit."""
    try:
        return _Reader(schema, origin).model(data)
    except BadInputError:
        raise
    # What flatbuffers and numpy raise at offsets that lead out of the file.
    except (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise BadInputError(f"{origin}: damaged .tflite file: {error}") from None


class _Reader:
    """Reads the schema's lazy tables. Each `...AsNumpy` is a view, or 0 where the file has no such vector."""

    def __init__(self, schema: Any, origin: str) -> None:
        self._schema, self._origin = schema, origin
        self._kinds = {n: name for name, n in vars(schema.BuiltinOptions).items() if isinstance(n, int)}

    def model(self, data: bytes) -> ModelTables:
        model = self._schema.Model.GetRootAs(data)
        if model.SubgraphsLength() != 1:
            raise BadInputError(f"{self._origin}: has {model.SubgraphsLength()} subgraphs; one is supported")
        graph = model.Subgraphs(0)
        codes = self._each(model.OperatorCodesLength(), MAX_OPERATORS, "operator codes", model.OperatorCodes)
        buffers = self._each(model.BuffersLength(), MAX_BUFFERS, "buffers", model.Buffers)
        tensors = self._each(graph.TensorsLength(), MAX_TENSORS, "tensors", graph.Tensors)
        operators = self._each(graph.OperatorsLength(), MAX_OPERATORS, "operators", graph.Operators)
        return ModelTables(
            # Old files have the code in the older of the two fields (schema.fbs, OperatorCode).
            codes=tuple(max(int(code.BuiltinCode()), int(code.DeprecatedBuiltinCode())) for code in codes),
            buffers=tuple(
                np.asarray(buffer.DataAsNumpy(), np.uint8).reshape(-1)[: buffer.DataLength()] for buffer in buffers
            ),
            tensors=tuple(map(self._tensor, tensors)),
            operators=tuple(map(self._operator, operators)),
            inputs=self._numbers(graph.InputsLength(), MAX_OPERANDS, "inputs", graph.InputsAsNumpy),
            outputs=self._numbers(graph.OutputsLength(), MAX_OPERANDS, "outputs", graph.OutputsAsNumpy),
        )

    def _each(self, count: int, limit: int, what: str, table: Callable[[int], Any]) -> list[Any]:
        self._limit(count, limit, what)
        return [table(number) for number in range(count)]

    def _limit(self, count: int, limit: int, what: str) -> None:
        if count > limit:
            raise BadInputError(f"{self._origin}: {count} {what}; at most {limit} are supported")

    def _numbers(self, count: int, limit: int, what: str, view: Callable[[], Any]) -> tuple[int, ...]:
        self._limit(count, limit, what)
        return tuple(int(number) for number in view()) if count else ()

    def _tensor(self, tensor: Any) -> TensorTable:
        return TensorTable(
            name=(tensor.Name() or b"")[:MAX_NAME_BYTES],
            shape=self._numbers(tensor.ShapeLength(), MAX_AXES, "axes of a tensor", tensor.ShapeAsNumpy),
            type=int(tensor.Type()),
            buffer=int(tensor.Buffer()),
            quantisation=self._quantisation(tensor.Quantization()),
            sparse=tensor.Sparsity() is not None,
        )

    def _quantisation(self, table: Any) -> Quantisation | None:
        if table is None or table.ScaleIsNone() or table.ZeroPointIsNone():
            return None
        for count in (table.ScaleLength(), table.ZeroPointLength()):
            self._limit(count, MAX_SCALES, "scales of a tensor")
        scales, zero_points = table.ScaleAsNumpy(), table.ZeroPointAsNumpy()
        return Quantisation(
            np.asarray(scales, np.float32), np.asarray(zero_points, np.int64), int(table.QuantizedDimension())
        )

    def _operator(self, operator: Any) -> OperatorTable:
        number, table = operator.BuiltinOptionsType(), operator.BuiltinOptions()
        kind = "no options" if table is None or number == 0 else self._kinds.get(number, f"options {number}")
        options = None
        if kind in OPTIONS:
            options = getattr(self._schema, f"{kind}T").InitFromBuf(table.Bytes, table.Pos)
        return OperatorTable(
            code=int(operator.OpcodeIndex()),
            inputs=self._numbers(
                operator.InputsLength(), MAX_OPERANDS, "inputs of an operator", operator.InputsAsNumpy
            ),
            outputs=self._numbers(
                operator.OutputsLength(), MAX_OPERANDS, "outputs of an operator", operator.OutputsAsNumpy
            ),
            options_kind=kind,
            options=options,
        )
