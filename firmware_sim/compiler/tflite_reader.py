"""Reads a full-int8 `.tflite` file into a checked Graph."""

from __future__ import annotations

from pathlib import Path

from firmware_sim.compiler.graph import Graph, Tensor, inputs_of
from firmware_sim.compiler.tflite_file import TfliteFile
from firmware_sim.compiler.tflite_operators import OPERATORS
from shared.errors import BadInputError


def read_graph(data: bytes, origin: str = "model") -> Graph:
    """The network in the bytes of a `.tflite` file; `origin` names it in errors.

    Raises BadInputError naming the operator and tensor for a damaged, hostile or unsupported model, MissingPartError
    without LiteRT's schema.
    """
    file = TfliteFile(data, origin)
    tensors: dict[int, Tensor] = {file.input: file.activation(file.input)}
    operators = []
    for source in file.operators():
        if source.kind not in OPERATORS:
            raise source.error(f"is not supported; supported: {', '.join(OPERATORS)}")
        operator = OPERATORS[source.kind](source)
        for index in inputs_of(operator):
            if index not in tensors:
                raise source.error("is read before an operator wrote it", index)
        if operator.output in tensors:
            raise source.error("is written twice", operator.output)
        tensors[operator.output] = file.activation(operator.output, source)
        operators.append(operator)
    if not operators:
        raise BadInputError(f"{origin}: has no operators")
    if file.output not in tensors:
        raise BadInputError(f"{origin}: no operator writes output tensor {file.name(file.output)}")
    graph = Graph(tensors, tuple(operators), file.input, file.output)
    if graph.output_tensor.shape[:2] != (1, 1):
        raise BadInputError(f"{origin}: output is {list(graph.output_tensor.shape)}; logits are [1, n] or [1, 1, 1, n]")
    return graph


def read_graph_file(path: Path) -> Graph:
    """`read_graph` of a file; BadInputError when it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    return read_graph(data, str(path))
