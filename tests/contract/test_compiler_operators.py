"""Every operator against LiteRT's reference kernels, in numpy and in C; models that do not fit; changed files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import ai_edge_litert.schema_py_generated as schema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_tflite import KINDS, RandomNetwork, legal_network, random_inputs
from tflite_files import SAME, TfliteFile

from firmware_sim.compiler.placement import RAM_BYTES, place
from firmware_sim.compiler.reference import run_batch
from firmware_sim.compiler.tflite_operators import OPERATORS
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.firmware.host import build_host_model, build_model_program
from firmware_sim.firmware.measure_model import litert_outputs
from shared.errors import BadInputError

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("gcc") is None, reason="needs a C compiler: apt install gcc"
)
INPUTS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all builds: only the model's file is compiled again."""
    return tmp_path_factory.mktemp("host")


def same_bytes(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted.reshape(found.shape))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**31), st.integers(0, 7))
def test_random_networks_give_litert_s_bytes(seed: int, layers: int) -> None:
    data = legal_network(seed, layers)
    x = random_inputs(data, INPUTS, seed)
    same_bytes(run_batch(read_graph(data), x), litert_outputs(data, x))


@needs_compiler
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**31), st.integers(0, 7), st.integers(1, 2))
def test_random_networks_give_litert_s_bytes_in_c(folder: Path, seed: int, layers: int, cores: int) -> None:
    data = legal_network(seed, layers)
    x = random_inputs(data, INPUTS, seed)
    same_bytes(build_host_model(data, folder, cores=cores).run(x), litert_outputs(data, x))


@needs_compiler
@pytest.mark.parametrize("cores", [1, 2])
def test_a_mean_over_channels_that_drops_the_axis(folder: Path, cores: int) -> None:
    data = legal_network(21334, 1)
    x = random_inputs(data, INPUTS, 0)
    same_bytes(build_host_model(data, folder, cores=cores).run(x), litert_outputs(data, x))


@needs_compiler
@pytest.mark.parametrize("seed", range(6))
def test_random_networks_under_the_sanitizers(folder: Path, seed: int) -> None:
    data = legal_network(seed, 8)
    x = random_inputs(data, INPUTS, seed)
    graph = read_graph(data)
    program = build_model_program(data, folder, cores=1 + seed % 2)
    done = subprocess.run([program], input=x.tobytes(), capture_output=True, check=False)
    assert done.stderr == b""
    same_bytes(np.frombuffer(done.stdout, graph.output_tensor.dtype).reshape(INPUTS, -1), litert_outputs(data, x))


def test_the_random_networks_reach_every_operator() -> None:
    kinds: set[str] = set()
    operators: set[str] = set()
    for seed in range(150):
        network = RandomNetwork(seed)
        data = network.write(7)
        kinds |= set(network.kinds)
        operators |= {name for code in schema.ModelT.InitFromPackedBuf(data).operatorCodes for name in names(code)}
    assert kinds == set(KINDS)
    assert operators == set(OPERATORS)


def names(code: schema.OperatorCodeT) -> list[str]:
    return [name for name, number in vars(schema.BuiltinOperator).items() if number == code.builtinCode]


@pytest.mark.parametrize("scale", [1e-6, 1 / 256, 0.01, 0.1, 0.7, 3.0, 100.0])
@pytest.mark.parametrize("zero_point", [-128, 5, 127])
def test_logistic_and_softmax_of_every_value(scale: float, zero_point: int) -> None:
    every = np.arange(-128, 128).astype(np.int8)
    for kind, options, rows in (
        ("LOGISTIC", None, every[None]),
        ("SOFTMAX", schema.SoftmaxOptionsT(beta=1.0), np.stack([every, every[::-1], np.full(256, 3, np.int8)])),
    ):
        file = TfliteFile()
        into, out = file.tensor([1, 256], scale, zero_point), file.tensor([1, 256], 1 / 256, -128)
        data = file.write([into], [file.operator(kind, [into], out, options)])
        same_bytes(run_batch(read_graph(data), rows.reshape(-1, 1, 1, 256)), litert_outputs(data, rows))


def convolution(height: int, width: int, depth: int, channels: int) -> bytes:
    file = TfliteFile()
    into, out = file.tensor([1, height, width, depth], 0.1), file.tensor([1, height, width, channels], 0.1, name="wide")
    weights = file.constant(np.ones((channels, 1, 1, depth), np.int8), 0.1)
    bias = file.constant(np.zeros(channels, np.int32), 0.01)
    options = schema.Conv2DOptionsT(padding=SAME, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1)
    return file.write([into], [file.operator("CONV_2D", [into, weights, bias], out, options)])


def test_a_model_that_does_not_fit_says_where_and_by_how_much() -> None:
    graph = read_graph(convolution(96, 96, 3, 40))
    with pytest.raises(
        BadInputError, match=r"needs (\d+) bytes of SRAM, (\d+) more .* operator 0 Conv2D, .*'wide'"
    ) as error:
        place(graph, "model")
    needed, over = [int(word) for word in str(error.value).replace(",", "").split() if word.isdigit()][:2]
    assert needed - over == RAM_BYTES


def test_weights_that_do_not_fit_stay_in_flash() -> None:
    graph = read_graph(convolution(1, 1, 1000, 300))
    assert place(graph, "model").in_flash == {0}
    small = read_graph(convolution(1, 1, 100, 30))
    assert place(small, "model").in_flash == frozenset()
