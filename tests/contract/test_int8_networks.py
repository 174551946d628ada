"""Writer, reader, reference and host C on networks of all shapes: random ones, and real ones nobody here wrote."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tflite_micro.python.tflite_micro import runtime as tflite_micro

from edge.gate.integer import exponential_table
from edge.learning.onnx_writer import write_onnx
from edge.learning.random_networks import random_network
from edge.learning.tflite_writer import write_tflite
from firmware_sim.compiler.emit_c import emit_c
from firmware_sim.compiler.graph import Conv2D, Graph
from firmware_sim.compiler.reference import run_batch
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.firmware.host import build_host_library, build_host_model

MODELS = "CRUSTWATCH_MODELS"  # folder of int8 models of the MLPerf Tiny reference, no part of the project
ARENA_BYTES = 2_000_000
LUT = exponential_table(0.1, 1.0)
needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("gcc") is None, reason="needs a C compiler: apt install gcc"
)


def inputs(graph: Graph, count: int, seed: int = 0) -> np.ndarray:
    """Uniform int8 [count, H, W, C], the last two constant at the ends of the range."""
    x = np.random.default_rng(seed).integers(-128, 128, (count, *graph.input_tensor.shape)).astype(np.int8)
    x[-2:] = np.array([-128, 127], np.int8).reshape(2, 1, 1, 1)
    return x


def tflite_micro_logits(data: bytes, x: np.ndarray) -> np.ndarray:
    interpreter = tflite_micro.Interpreter.from_bytes(data, arena_size=ARENA_BYTES)
    rows = []
    for row in x:
        interpreter.set_input(row[None], 0)
        interpreter.invoke()
        rows.append(interpreter.get_output(0).ravel().copy())
    return np.stack(rows)


def litert_logits(data: bytes, x: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(
        model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    source, target = (d()[0]["index"] for d in (interpreter.get_input_details, interpreter.get_output_details))
    rows = []
    for row in x:
        interpreter.set_tensor(source, row[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target).ravel().copy())
    return np.stack(rows)


def host_logits(data: bytes, x: np.ndarray, folder: Path) -> np.ndarray:
    graph = read_graph(data)
    height, width, channels = graph.input_tensor.shape
    text = emit_c(data, gate_lut=LUT, tau_q15=[0] * graph.labels)
    library = build_host_library(text, folder, height=height, width=width, channels=channels, labels=graph.labels)
    frames = (x.astype(np.int16) + 128).astype(np.uint8)
    return np.stack([library.infer(frame) for frame in frames])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**31), st.integers(0, 9))
def test_random_networks_give_the_same_bytes_everywhere(seed: int, layers: int) -> None:
    data = write_tflite(random_network(seed, layers))
    graph = read_graph(data)
    x = inputs(graph, 5, seed)
    ours = run_batch(graph, x)
    np.testing.assert_array_equal(ours, tflite_micro_logits(data, x))
    np.testing.assert_array_equal(ours, litert_logits(data, x))


@needs_compiler
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_random_networks_give_the_same_bytes_in_c(seed: int, tmp_path: Path) -> None:
    data = write_tflite(random_network(seed, layers=8))
    graph = read_graph(data)
    x = inputs(graph, 40)
    np.testing.assert_array_equal(run_batch(graph, x), host_logits(data, x, tmp_path))


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_in_onnx_are_close(seed: int) -> None:
    network = random_network(seed)
    graph = read_graph(write_tflite(network))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # real arithmetic, no kernels
    session = onnxruntime.InferenceSession(write_onnx(network), options, providers=["CPUExecutionProvider"])
    x = inputs(graph, 20)
    logits = session.run(None, {"input": x})[0].astype(int)
    # Rounding twice differs from rounding once by a step a layer at most, and weights spread it.
    assert np.abs(logits - run_batch(graph, x)).max() <= 4


def without_softmax(data: bytes) -> bytes:
    model = schema.ModelT.InitFromPackedBuf(data)
    graph = model.subgraphs[0]
    graph.outputs = np.array([graph.operators.pop().inputs[0]], np.int32)
    builder = flatbuffers.Builder(1 << 18)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture(params=["kws_int8", "resnet8_cifar10_int8", "vww_96_int8"])
def real_model(request: Any) -> bytes:
    folder = os.environ.get(MODELS)
    if folder is None:
        pytest.skip(f"{MODELS} names no folder with {request.param}.tflite (mlcommons/tiny, Apache-2.0)")
    return (Path(folder) / f"{request.param}.tflite").read_bytes()


def test_real_networks_give_the_same_bytes(real_model: bytes) -> None:
    graph = read_graph(real_model)
    x = inputs(graph, 40)
    np.testing.assert_array_equal(run_batch(graph, x), litert_logits(real_model, x))


def test_tflite_micro_rounds_fully_connected_otherwise_by_one_step_at_most(real_model: bytes) -> None:
    data = without_softmax(real_model)
    graph = read_graph(data)
    assert isinstance(graph.operators[-1], Conv2D)
    assert graph.operators[-1].rescale.once
    x = inputs(graph, 40)
    difference = np.abs(run_batch(graph, x).astype(int) - tflite_micro_logits(data, x))
    assert difference.max() <= 1


@needs_compiler
def test_real_networks_give_the_same_bytes_in_c(real_model: bytes, tmp_path: Path) -> None:
    graph = read_graph(real_model)
    x = inputs(graph, 40)
    np.testing.assert_array_equal(run_batch(graph, x), build_host_model(real_model, tmp_path).run(x))
