"""Reads a full-int8 `.tflite` file into a checked Graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.graph import Graph, Tensor, inputs_of
from firmware_sim.compiler.tflite_file import BORDER, Source, TfliteFile
from firmware_sim.compiler.tflite_operators import ADVICE, OPERATORS
from shared.errors import BadInputError


def read_graph(data: bytes, origin: str = "model") -> Graph:
    """The network in the bytes of a `.tflite` file; `origin` names it in errors.

    Raises BadInputError naming the operator and tensor for a damaged, hostile or unsupported model, MissingPartError
    without LiteRT's schema.
    """
    file = TfliteFile(data, origin)
    tensors: dict[int, Tensor] = {file.input: file.activation(file.input, dtypes=BORDER)}
    constants: dict[int, NDArray[np.int8]] = {}
    operators = []
    for source in file.operators():
        if source.kind not in OPERATORS:
            advice = f"{ADVICE[source.kind]}; " if source.kind in ADVICE else ""
            raise source.error(f"is not supported: {advice}supported are {', '.join(OPERATORS)}", _first(source))
        operator = OPERATORS[source.kind](source)
        for index in inputs_of(operator):
            if index in tensors:
                continue
            values = file.operand_values(index, source)
            if values is None:
                raise source.error("is read before an operator wrote it", index)
            tensors[index], constants[index] = file.activation(index, source, constant=True), values
        if operator.output in tensors:
            raise source.error("is written twice", operator.output)
        tensors[operator.output] = file.activation(operator.output, source, BORDER)
        operators.append(operator)
    if not operators:
        raise BadInputError(f"{origin}: has no operators")
    if file.output not in {operator.output for operator in operators}:  # it may be the input, or a constant
        raise BadInputError(f"{origin}: no operator writes output tensor {file.name(file.output)}")
    return Graph(tensors, tuple(operators), file.input, file.output, constants)


def _first(source: Source) -> int | None:
    """The tensor that an error about a whole operator names: its output."""
    return source.outputs[0] if source.outputs else None


def read_graph_file(path: Path) -> Graph:
    """`read_graph` of a file; BadInputError when it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    return read_graph(data, str(path))
