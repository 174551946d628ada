"""Hand-made `.tflite` files whose offsets share tables: 2 MB that claim to be gigabytes are refused for a few MB."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np
import pytest
from tflite_files import TfliteFile

from firmware_sim.compiler.tflite_reader import read_graph
from shared.errors import BadInputError

MANY = 400_000  # offsets of 4 bytes: a file of under 2 MB
PEAK_BYTES = 24_000_000

Builder = Any  # flatbuffers.Builder, which has no types


def shared(builder: Builder, offset: int, count: int) -> int:
    """A vector of `count` offsets that all point at one table."""
    builder.StartVector(4, count, 4)
    for _ in range(count):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def tensor(builder: Builder, *, shape: int, name: str = "t") -> int:
    """A tensor's table with `shape` sides of 1, in buffer 0."""
    spelt = builder.CreateString(name)
    sides = builder.CreateNumpyVector(np.ones(shape, np.int32))
    some = builder.CreateNumpyVector(np.ones(1, np.float32)), builder.CreateNumpyVector(np.zeros(1, np.int64))
    schema.QuantizationParametersStart(builder)
    schema.QuantizationParametersAddScale(builder, some[0])
    schema.QuantizationParametersAddZeroPoint(builder, some[1])
    quantisation = schema.QuantizationParametersEnd(builder)
    schema.TensorStart(builder)
    schema.TensorAddName(builder, spelt)
    schema.TensorAddShape(builder, sides)
    schema.TensorAddQuantization(builder, quantisation)
    schema.TensorAddType(builder, schema.TensorType.INT8)
    return int(schema.TensorEnd(builder))


def graph(builder: Builder, *, tensors: int, operators: int = 0, inputs: int = 1) -> int:
    """A subgraph of vectors that were made before."""
    ends = builder.CreateNumpyVector(np.zeros(inputs, np.int32)), builder.CreateNumpyVector(np.zeros(1, np.int32))
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    schema.SubGraphAddOperators(builder, operators)
    schema.SubGraphAddInputs(builder, ends[0])
    schema.SubGraphAddOutputs(builder, ends[1])
    return int(schema.SubGraphEnd(builder))


def model(builder: Builder, graphs: int, buffers: int, codes: int = 0) -> bytes:
    """The file of vectors that were made before."""
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    schema.ModelAddBuffers(builder, buffers)
    schema.ModelAddOperatorCodes(builder, codes)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def empty_buffer(builder: Builder) -> int:
    schema.BufferStart(builder)
    return int(schema.BufferEnd(builder))


def graphs_of_graphs(builder: Builder) -> bytes:
    """As `ModelT` reads it: 40 thousand million tensors."""
    tensors = shared(builder, tensor(builder, shape=4), MANY // 2)
    graphs = shared(builder, graph(builder, tensors=tensors), MANY // 2)
    return model(builder, graphs, shared(builder, empty_buffer(builder), 1))


def tensors(builder: Builder) -> bytes:
    many = shared(builder, tensor(builder, shape=4), MANY)
    return model(builder, shared(builder, graph(builder, tensors=many), 1), shared(builder, empty_buffer(builder), 1))


def names(builder: Builder) -> bytes:
    """4,096 tensors share a name of 1.9 MB: 8 GB."""
    many = shared(builder, tensor(builder, shape=4, name="n" * 1_900_000), 4096)
    return model(builder, shared(builder, graph(builder, tensors=many), 1), shared(builder, empty_buffer(builder), 1))


def axes(builder: Builder) -> bytes:
    """4,096 tensors share 400,000 axes."""
    many = shared(builder, tensor(builder, shape=MANY), 4096)
    return model(builder, shared(builder, graph(builder, tensors=many), 1), shared(builder, empty_buffer(builder), 1))


def buffers(builder: Builder) -> bytes:
    many = shared(builder, tensor(builder, shape=4), 1)
    return model(
        builder, shared(builder, graph(builder, tensors=many), 1), shared(builder, empty_buffer(builder), MANY)
    )


def operands(builder: Builder) -> bytes:
    """1,024 operators share 400,000 inputs."""
    indices = builder.CreateNumpyVector(np.zeros(MANY, np.int32))
    schema.OperatorStart(builder)
    schema.OperatorAddInputs(builder, indices)
    operators = shared(builder, schema.OperatorEnd(builder), 1024)
    many = shared(builder, tensor(builder, shape=4), 1)
    found = graph(builder, tensors=many, operators=operators)
    return model(builder, shared(builder, found, 1), shared(builder, empty_buffer(builder), 1))


def ends(builder: Builder) -> bytes:
    many = shared(builder, tensor(builder, shape=4), 1)
    found = graph(builder, tensors=many, inputs=MANY)
    return model(builder, shared(builder, found, 1), shared(builder, empty_buffer(builder), 1))


@pytest.mark.parametrize("make", [graphs_of_graphs, tensors, names, axes, buffers, operands, ends])
def test_shared_tables_are_counted_before_they_are_read(make: Callable[[Builder], bytes]) -> None:
    data = make(flatbuffers.Builder(0))
    assert len(data) < 2**21, "larger files are refused by their size alone"
    with pytest.raises(BadInputError):
        read_graph(b"\0\0\0\0TFL3" + bytes(8))  # what imports and caches take
    tracemalloc.start()
    try:
        with pytest.raises(BadInputError):
            read_graph(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < PEAK_BYTES, f"{peak} bytes to refuse {len(data)}"


@pytest.mark.parametrize("which", ["input", "constant"])
def test_an_output_that_no_operator_writes_is_refused(which: str) -> None:
    """Found by damaging files: the planner looked for its place in the arena."""
    file = TfliteFile()
    into, other = file.tensor([1, 4], 0.5), file.constant(np.ones((1, 4), np.int8), 0.5)
    summed = file.tensor([1, 4], 0.5)
    file.operator("ADD", [into, other], summed, schema.AddOptionsT())
    with pytest.raises(BadInputError, match="no operator writes output tensor"):
        read_graph(file.write([into], [into if which == "input" else other]))
