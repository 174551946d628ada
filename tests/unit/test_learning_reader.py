"""Reading `.tflite` files: what is refused, and how the refusal names the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.learning.random_networks import random_network
from edge.learning.tflite_writer import write_tflite
from firmware_sim.compiler.graph import AveragePool2D, Conv2D
from firmware_sim.compiler.reference import run
from firmware_sim.compiler.tflite_reader import read_graph
from shared.errors import BadInputError

NETWORK = random_network(3, layers=6)
FILE = write_tflite(NETWORK)


def altered(change: Callable[[Any], None], data: bytes = FILE) -> bytes:
    """The file with its schema object changed."""
    model = schema.ModelT.InitFromPackedBuf(data)
    change(model)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def last_operator(model: Any) -> Any:
    return model.subgraphs[0].operators[-1]


def tensor(model: Any, index: int) -> Any:
    return model.subgraphs[0].tensors[index]


def test_a_written_file_reads_back_as_it_was() -> None:
    graph = read_graph(FILE)
    assert graph.input_tensor.shape == NETWORK.activations[0].shape
    assert [t.scale for t in graph.tensors.values()] == [a.scale for a in NETWORK.activations]
    assert [t.zero_point for t in graph.tensors.values()] == [a.zero_point for a in NETWORK.activations]
    head = graph.operators[-1]
    assert isinstance(head, Conv2D)
    assert isinstance(graph.operators[-2], AveragePool2D)
    assert graph.parameter_bytes() > 0


def test_writing_is_deterministic_and_constants_are_aligned() -> None:
    assert write_tflite(NETWORK) == FILE
    weights = NETWORK.layers[-1].weights.tobytes()  # type: ignore[union-attr]
    assert FILE.index(weights) % 16 == 0


def unsupported(model: Any) -> None:
    model.operatorCodes[last_operator(model).opcodeIndex].builtinCode = schema.BuiltinOperator.TANH
    model.operatorCodes[last_operator(model).opcodeIndex].deprecatedBuiltinCode = schema.BuiltinOperator.TANH


def float_input(model: Any) -> None:
    tensor(model, 0).type = schema.TensorType.FLOAT32


def two_inputs(model: Any) -> None:
    model.subgraphs[0].inputs = np.array([0, 1], np.int32)


def no_such_tensor(model: Any) -> None:
    last_operator(model).inputs = np.array([999, 0, 0], np.int32)


def no_such_buffer(model: Any) -> None:
    tensor(model, int(last_operator(model).inputs[1])).buffer = 77_777


def short_weights(model: Any) -> None:
    buffer = model.buffers[tensor(model, int(last_operator(model).inputs[1])).buffer]
    buffer.data = buffer.data[:-1]


def giant_shape(model: Any) -> None:
    tensor(model, 0).shape = np.array([1, 60_000, 60_000, 1], np.int32)


def negative_shape(model: Any) -> None:
    tensor(model, 0).shape = np.array([1, -4, 8, 3], np.int32)


def batch_of_two(model: Any) -> None:
    tensor(model, 0).shape = np.array([2, *tensor(model, 0).shape[1:]], np.int32)


def asymmetric_weights(model: Any) -> None:
    table = tensor(model, int(last_operator(model).inputs[1])).quantization
    table.zeroPoint = np.ones_like(table.zeroPoint)


def bad_scale(model: Any) -> None:
    tensor(model, 0).quantization.scale = np.array([np.nan], np.float32)


def wrong_output_side(model: Any) -> None:
    last_operator(model).builtinOptions.strideW = 0


def dilated(model: Any) -> None:
    last_operator(model).builtinOptions.dilationWFactor = 2


def read_before_written(model: Any) -> None:
    model.subgraphs[0].operators = model.subgraphs[0].operators[1:]


def written_twice(model: Any) -> None:
    model.subgraphs[0].operators.append(last_operator(model))


def overflowing_bias(model: Any) -> None:
    tensor_index = int(last_operator(model).inputs[2])
    buffer = model.buffers[tensor(model, tensor_index).buffer]
    buffer.data = np.frombuffer(np.full(len(buffer.data) // 4, 2**31 - 1, np.int32).tobytes(), np.uint8)


def no_operators(model: Any) -> None:
    model.subgraphs[0].operators = []


def two_subgraphs(model: Any) -> None:
    model.subgraphs.append(model.subgraphs[0])


def wrong_options(model: Any) -> None:
    last_operator(model).builtinOptions = schema.Pool2DOptionsT()
    last_operator(model).builtinOptionsType = schema.BuiltinOptions.Pool2DOptions


HOSTILE: list[tuple[Callable[[Any], None], str]] = [
    (unsupported, r"operator \d+ TANH, tensor \d+ .*: is not supported: use RELU.* supported are CONV_2D"),
    (float_input, r"tensor 0 'activation0': is not int8"),
    (two_inputs, "one input, not 2"),
    (no_such_tensor, r"operator \d+ names tensor 999"),
    (no_such_buffer, "names buffer 77777"),
    (short_weights, r"operator \d+ CONV_2D, tensor \d+ 'convolution\d+/weights': shape .* needs"),
    (giant_shape, "elements; at most"),
    (negative_shape, r"has shape \[1, -4, 8, 3\]"),
    (batch_of_two, "a batch of one"),
    (asymmetric_weights, "zero points of 0"),
    (bad_scale, "scales must be positive"),
    (wrong_output_side, "strides"),
    (dilated, "dilation"),
    (read_before_written, "is read before an operator wrote it"),
    (written_twice, "is written twice"),
    (overflowing_bias, "can leave int32"),
    (no_operators, "has no operators"),
    (two_subgraphs, "2 subgraphs"),
    (wrong_options, "needs Conv2DOptions, not"),
]


@pytest.mark.parametrize(("change", "message"), HOSTILE, ids=lambda part: getattr(part, "__name__", ""))
def test_hostile_and_unsupported_models_are_named(change: Callable[[Any], None], message: str) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        read_graph(altered(change), "bad.tflite")
    assert str(caught.value).startswith("bad.tflite: ")
    assert "\n" not in str(caught.value)


def test_every_truncated_file_is_refused() -> None:
    for length in range(0, len(FILE), 97):
        with pytest.raises(BadInputError):
            read_graph(FILE[:length])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(8, len(FILE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_never_end_in_another_error(flips: list[tuple[int, int]]) -> None:
    data = bytearray(FILE)
    for position, value in flips:
        data[position] = value
    try:
        graph = read_graph(bytes(data))
    except BadInputError:
        return
    if graph.input_tensor.bytes < 100_000:
        run(graph, np.zeros(graph.input_tensor.shape, np.int8))


def test_something_else_than_a_model_is_refused() -> None:
    with pytest.raises(BadInputError, match="TFL3"):
        read_graph(b"\x89PNG\r\n\x1a\n" + bytes(100), "photo.png")
    with pytest.raises(BadInputError, match="at most"):
        read_graph(bytes(2**21 + 1))


def test_the_reference_refuses_another_frame() -> None:
    graph = read_graph(FILE)
    with pytest.raises(BadInputError, match="the model takes int8"):
        run(graph, np.zeros((1, 2, 3), np.int8))
    with pytest.raises(BadInputError, match="the model takes int8"):
        run(graph, np.zeros(graph.input_tensor.shape, np.uint8))  # type: ignore[arg-type]
