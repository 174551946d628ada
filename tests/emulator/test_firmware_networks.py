"""The kernels on the chip, assembly included, on networks of all shapes: the bytes of the numpy reference."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.gate.integer import exponential_table
from edge.learning.quantised import Activation, Convolution, QuantisedNetwork
from edge.learning.random_networks import random_network
from edge.learning.tflite_writer import write_tflite
from firmware_sim.board.client import BoardClient
from firmware_sim.board.emulated import EmulatedLine
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph
from firmware_sim.compiler.reference import run_batch
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.firmware.build import build

pytestmark = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed")

SEEDS = range(100, 116)
FRAMES = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all builds: only the model's file is compiled again."""
    return tmp_path_factory.mktemp("networks")


def network(seed: int) -> tuple[bytes, Graph]:
    data = write_tflite(random_network(seed, layers=9))
    return data, read_graph(data)


def check_on_the_chip(data: bytes, frames: NDArray[np.uint8], folder: Path) -> NDArray[np.int8]:
    """Build the firmware of `data` and compare it with the reference on uint8 [N, H, W, C]; logits int8 [N, labels]."""
    graph = read_graph(data)
    (folder / "model.tflite").write_bytes(data)
    (folder / "gate.json").write_text(json.dumps({"lut": exponential_table(0.1, 1.0), "tau_q15": [0] * graph.labels}))
    build(folder, folder / "build")
    wanted = run_batch(graph, (frames ^ 0x80).view(np.int8))  # [N, labels]
    client = BoardClient(EmulatedLine(folder / "build" / "firmware.elf"))
    for frame, row in zip(frames, wanted, strict=True):
        assert client.classify(frame.tobytes()).logits == tuple(row.tolist())
    return wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks_give_the_reference_bytes_on_the_chip(seed: int, folder: Path) -> None:
    data, graph = network(seed)
    frames = np.random.default_rng(seed).integers(0, 256, (FRAMES, *graph.input_tensor.shape), np.uint8)
    frames[-2:] = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    check_on_the_chip(data, frames, folder)


def test_ties_round_away_from_zero_and_shifts_go_both_ways(folder: Path) -> None:
    """Factors 2^2 to 2^-9 on one pixel: sums of small weights, many of whose halves are ties; large ones clamp."""
    exponents = np.arange(2, -10, -1)
    rng = np.random.default_rng(1)
    weights = rng.integers(-1, 2, (len(exponents), 1, 1, 6)) << np.maximum(-exponents // 2, 0)[:, None, None, None]
    scales = np.exp2(exponents).astype(np.float32)  # [12]
    layer = Convolution(
        "ties",
        depthwise=False,
        input=0,
        output=1,
        weights=weights.astype(np.int8),
        weight_scales=scales,
        bias=rng.integers(-40, 40, len(exponents)).astype(np.int32),
        stride=1,
        padding="VALID",
        fused="NONE",
    )
    activations = (Activation("frame", (1, 1, 6), 1.0, 0), Activation("logits", (1, 1, len(exponents)), 1.0, 3))
    data = write_tflite(QuantisedNetwork(activations, (layer,), 0, 1, "ties"))
    (convolution,) = read_graph(data).operators
    assert isinstance(convolution, Conv2D)
    assert convolution.rescale.exponent.tolist() == (exponents + 1).tolist()
    logits = check_on_the_chip(data, rng.integers(0, 256, (60, 1, 1, 6), np.uint8), folder)
    assert {-128, 127} <= set(logits.ravel().tolist())
    assert len(np.unique(logits[:, -1])) > 5


def test_the_networks_reach_every_path_of_the_kernels() -> None:
    operators = [operator for seed in SEEDS for operator in network(seed)[1].operators]
    convolutions = [operator for operator in operators if isinstance(operator, Conv2D | DepthwiseConv2D)]
    depthwise = [operator for operator in convolutions if isinstance(operator, DepthwiseConv2D)]
    is_3x3 = [(operator.window.height, operator.window.width) == (3, 3) for operator in depthwise]
    assert any(is_3x3)
    assert not all(is_3x3)
    assert any(operator.multiplier > 1 for operator in depthwise)
    assert any((operator.rescale.exponent < 0).any() and operator.low == -128 for operator in convolutions)  # no ReLU
    assert any(operator.weights[0].size % 4 for operator in convolutions if isinstance(operator, Conv2D))
    assert {type(operator).__name__ for operator in operators} >= {"Add", "AveragePool2D", "Pad"}
