"""One `.tflite` file behind bounds-checked access: tensors, constants and operators, errors that name them.

The schema is LiteRT's own (ai_edge_litert.schema_py_generated, extra `litert`). A file is hostile until proved
otherwise: every index, shape and buffer is checked here, before any arithmetic sees it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.graph import Tensor
from firmware_sim.compiler.tflite_tables import read_tables
from shared.errors import BadInputError, MissingPartError

MAX_FILE_BYTES = 2**21  # the RP2040's usual flash
MAX_CONSTANT_BYTES = 2 * MAX_FILE_BYTES  # of all operators; tensors may share a buffer
MAX_SIDE = 65_535  # nn.h holds sides as uint16
MAX_TENSOR_BYTES = 2**20
INNER = ("int8",)
BORDER = ("int8", "uint8", "float32")


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant tensor with its per-axis scales."""

    name: str
    values: NDArray[Any]  # int8 or int32, of the file's shape
    scales: NDArray[np.float32]  # [1] or [n] along `axis`; [0] when not quantised
    axis: int


@dataclass(frozen=True, slots=True)
class Source:
    """One operator of the file: where errors point, and the raw tables."""

    file: TfliteFile
    position: int
    kind: str  # "CONV_2D"
    inputs: tuple[int, ...]  # tensor indices; -1 for an optional one left out
    outputs: tuple[int, ...]
    options_kind: str  # "Conv2DOptions"
    options: Any  # the schema's object of it

    def error(self, what: str, tensor: int | None = None) -> BadInputError:
        """The error to raise: names the file, the operator and, when given, the tensor."""
        where = f"{self.file.origin}: operator {self.position} {self.kind}"
        if tensor is not None:
            where += f", tensor {self.file.name(tensor)}"
        return BadInputError(f"{where}: {what}")

    def expect_arity(self, inputs: tuple[int, ...]) -> None:
        """Raise unless the operator has one of these numbers of inputs, and one output."""
        if len(self.inputs) not in inputs or len(self.outputs) != 1:
            raise self.error(f"has {len(self.inputs)} inputs and {len(self.outputs)} outputs")

    def expect_options(self, table: str) -> Any:
        """The options table, which must be of that type, one of tflite_tables.OPTIONS."""
        if self.options_kind != table:
            raise self.error(f"needs {table}, not {self.options_kind}")
        return self.options

    def activation(self, position: int) -> tuple[int, Tensor]:
        """Index and form of the int8 activation at that input."""
        index = self.inputs[position]
        return index, self.file.activation(index, self)

    def operand(self, position: int) -> tuple[int, Tensor]:
        """Index and form of the int8 tensor at that input, which may be a constant."""
        index = self.inputs[position]
        return index, self.file.activation(index, self, constant=True)

    def border(self, position: int) -> tuple[int, Tensor]:
        """As `activation`; the network's input may be uint8 or float32."""
        index = self.inputs[position]
        return index, self.file.activation(index, self, BORDER if index == self.file.input else INNER)

    def output(self) -> tuple[int, Tensor]:
        """Index and form of the output."""
        return self.outputs[0], self.file.activation(self.outputs[0], self)

    def border_output(self) -> tuple[int, Tensor]:
        """As `output`; the network's output may be uint8 or float32."""
        index = self.outputs[0]
        return index, self.file.activation(index, self, BORDER if index == self.file.output else INNER)

    def rank(self, position: int) -> int:
        """Number of axes of that input in the file."""
        return self.file.rank(self.inputs[position])

    def axes(self, position: int) -> NDArray[np.int32]:
        """The constant list of axes at that input: int32, a scalar or [n]."""
        index = self.inputs[position]
        return self.file.constant(index, np.int32, min(1, self.file.rank(index)), self).values.reshape(-1)

    def constant(self, position: int, dtype: type[np.generic], rank: int) -> Constant:
        """The constant at that input, checked for dtype and rank."""
        return self.file.constant(self.inputs[position], dtype, rank, self)


class TfliteFile:
    """A parsed file; raises BadInputError from the constructor when it is none, MissingPartError without LiteRT."""

    def __init__(self, data: bytes, origin: str) -> None:
        self.origin = origin
        if len(data) > MAX_FILE_BYTES:
            raise BadInputError(f"{origin}: {len(data)} bytes; a model for the RP2040 has at most {MAX_FILE_BYTES}")
        if len(data) < 8 or data[4:8] != b"TFL3":
            raise BadInputError(f"{origin}: not a .tflite file (bytes 4 to 8 must be TFL3)")
        try:
            import ai_edge_litert.schema_py_generated as schema
        except ImportError:
            raise MissingPartError("reading .tflite files needs LiteRT: pip install 'crustwatch[litert]'") from None
        self._schema = schema
        tables = read_tables(schema, data, origin)
        self._codes, self._buffers, self._tensors = tables.codes, tables.buffers, tables.tensors
        self._operators = tables.operators
        self._constants: dict[int, NDArray[Any]] = {}
        self._constant_bytes = 0
        self.input = self._single(tables.inputs, "input")
        self.output = self._single(tables.outputs, "output")

    def _single(self, indices: tuple[int, ...], what: str) -> int:
        if len(indices) != 1:
            raise BadInputError(f"{self.origin}: a classifier has one {what}, not {len(indices)}")
        return self._checked(indices[0], what)

    def _checked(self, index: int, where: str) -> int:
        if not 0 <= index < len(self._tensors):
            raise BadInputError(f"{self.origin}: {where} names tensor {index} of {len(self._tensors)}")
        return index

    def name(self, index: int) -> str:
        """`index 'name'` for messages; hostile names are cut and escaped."""
        if not 0 <= index < len(self._tensors):
            return str(index)
        return f"{index} {self._tensors[index].name.decode('utf-8', 'replace')[:60]!r}"

    def operators(self) -> Iterator[Source]:
        """The operators in order of execution."""
        kinds = {value: key for key, value in vars(self._schema.BuiltinOperator).items() if isinstance(value, int)}
        for position, operator in enumerate(self._operators):
            where = f"operator {position}"
            if not 0 <= operator.code < len(self._codes):
                raise BadInputError(f"{self.origin}: {where} has code {operator.code} of {len(self._codes)}")
            number = self._codes[operator.code]
            for index in (*(i for i in operator.inputs if i != -1), *operator.outputs):
                self._checked(index, where)
            yield Source(
                self,
                position,
                kinds.get(number, f"code {number}"),
                operator.inputs,
                operator.outputs,
                operator.options_kind,
                operator.options,
            )

    def _buffer(self, index: int) -> NDArray[np.uint8]:
        """The bytes of tensor `index`, a view of the file; none for an activation."""
        number = self._tensors[index].buffer
        if not 0 <= number < len(self._buffers):
            raise BadInputError(
                f"{self.origin}: tensor {self.name(index)} names buffer {number} of {len(self._buffers)}"
            )
        return self._buffers[number]

    def rank(self, index: int) -> int:
        """Number of axes of tensor `index`."""
        return len(self._tensors[index].shape) if index >= 0 else 0

    def activation(
        self,
        index: int,
        source: Source | None = None,
        dtypes: tuple[str, ...] = INNER,
        *,
        constant: bool = False,
    ) -> Tensor:
        """The activation `index`; BadInputError unless batch 1, at most three other axes and quantised per tensor.

        With `constant` it may be a constant, whose bytes `operand_values` gives.
        """

        def bad(what: str) -> BadInputError:
            return (
                source.error(what, index)
                if source
                else BadInputError(f"{self.origin}: tensor {self.name(index)}: {what}")
            )

        if index < 0:
            raise bad("is left out but needed")
        tensor, shape = self._tensors[index], self._tensors[index].shape
        numbers = {"int8": self._schema.TensorType.INT8, "uint8": self._schema.TensorType.UINT8}
        numbers["float32"] = self._schema.TensorType.FLOAT32
        dtype = next((name for name in dtypes if numbers[name] == tensor.type), None)
        if dtype is None:
            raise bad("is not int8: quantise the whole network to int8 (QUANTIZE and DEQUANTIZE only at its ends)")
        if len(self._buffer(index)) and not constant:
            raise bad("is a constant where an activation belongs")
        sides = [side for at, side in enumerate(shape) if side != 1 or at >= len(shape) - 3]
        if len(sides) > 3 or not all(1 <= side <= MAX_SIDE for side in sides):
            raise bad(f"has shape {list(shape)}; a batch of one and at most three axes of 1 to {MAX_SIDE} behind it")
        if math.prod(sides) > MAX_TENSOR_BYTES:
            raise bad(f"has {math.prod(sides)} elements; at most {MAX_TENSOR_BYTES} are supported")
        height, width, channels = (1,) * (3 - len(sides)) + tuple(sides)
        name = tensor.name.decode("utf-8", "replace")
        if dtype == "float32":
            return Tensor(name, (height, width, channels), 1.0, 0, dtype)
        scales, zero_points = self._quantisation(index)
        low = 0 if dtype == "uint8" else -128
        if len(scales) != 1 or len(zero_points) != 1 or not low <= zero_points[0] <= low + 255:
            raise bad(f"needs one scale and one zero point from {low} to {low + 255}")
        return Tensor(name, (height, width, channels), float(scales[0]), int(zero_points[0]), dtype)

    def operand_values(self, index: int, source: Source) -> NDArray[np.int8] | None:
        """Values int8 [H, W, C] of a constant operand; None for an activation."""
        data = self._buffer(index)
        if not len(data):
            return None
        tensor = self.activation(index, source, constant=True)
        if len(data) != tensor.elements:
            raise source.error(f"shape {list(tensor.shape)} needs {tensor.elements} bytes, not {len(data)}", index)
        return data.view(np.int8).reshape(tensor.shape)

    def _quantisation(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        table = self._tensors[index].quantisation
        if table is None:
            return np.zeros(0, np.float32), np.zeros(0, np.int64)
        if not (np.isfinite(table.scales).all() and (table.scales > 0).all()):
            raise BadInputError(f"{self.origin}: tensor {self.name(index)}: scales must be positive numbers")
        return table.scales, table.zero_points

    def constant(self, index: int, dtype: type[np.generic], rank: int, source: Source) -> Constant:
        """The constant `index` of int8 or int32 and that rank; int8 constants need symmetric scales."""
        if index < 0:
            raise source.error("a constant that is needed is left out")
        types = {np.int8: self._schema.TensorType.INT8, np.int32: self._schema.TensorType.INT32}
        tensor, shape = self._tensors[index], self._tensors[index].shape
        if tensor.type != types[dtype] or tensor.sparse:
            raise source.error(f"must be a dense {dtype.__name__} constant", index)
        if len(shape) != rank or not all(1 <= side <= MAX_SIDE for side in shape):
            raise source.error(f"has shape {list(shape)}; rank {rank} is supported", index)
        data = self._buffer(index)
        expected = math.prod(shape) * np.dtype(dtype).itemsize
        if len(data) != expected:
            raise source.error(f"shape {list(shape)} needs {expected} bytes, its buffer has {len(data)}", index)
        values = self._values(index, dtype, data, source).reshape(shape)
        scales, zero_points = self._quantisation(index)
        if dtype is np.int8 and (len(scales) == 0 or len(zero_points) != len(scales) or zero_points.any()):
            raise source.error("int8 weights need scales, and zero points of 0", index)
        axis = 0 if tensor.quantisation is None else tensor.quantisation.axis
        return Constant(self.name(index), values, scales, axis)

    def _values(
        self, index: int, dtype: type[np.generic], data: NDArray[np.uint8], source: Source
    ) -> NDArray[np.generic]:
        """A copy of a constant's bytes as numbers, made once; a tensor has one type."""
        if index not in self._constants:
            self._constant_bytes += len(data)
            if self._constant_bytes > MAX_CONSTANT_BYTES:
                raise source.error(f"brings the constants above {MAX_CONSTANT_BYTES} bytes", index)
            little = np.frombuffer(data.tobytes(), np.dtype(dtype).newbyteorder("<"))
            self._constants[index] = little.astype(dtype)
        return self._constants[index]
