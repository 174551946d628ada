"""Constant and unread channels are left out, PAD is folded into windows, and the output keeps its bytes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_tflite import legal_network, random_inputs

from firmware_sim.compiler.channels import simplified
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph, Operator, Pad
from firmware_sim.compiler.reference import run_batch
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.firmware.build import DEFAULT_MODEL
from firmware_sim.firmware.host import build_host_graph

INPUTS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all builds: only the model's file is compiled again."""
    return tmp_path_factory.mktemp("channels")


def sparse_network(seed: int) -> tuple[bytes, Graph]:
    """A random network of which most channels have no weights, and most inputs of the others neither."""
    data = legal_network(seed, 5 + seed % 4)
    rng = np.random.default_rng(seed)

    def sparse(operator: Operator) -> Operator:
        if not isinstance(operator, Conv2D | DepthwiseConv2D):
            return operator
        weights, depthwise = operator.weights.copy(), isinstance(operator, DepthwiseConv2D)
        weights[..., rng.random(weights.shape[-1]) < 0.6] = 0  # outputs of a depthwise one, else inputs
        if not depthwise:
            weights[rng.random(len(weights)) < 0.5] = 0
        return replace(operator, weights=weights)

    graph = read_graph(data)
    return data, replace(graph, operators=tuple(sparse(operator) for operator in graph.operators))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**31))
def test_the_output_keeps_its_bytes(seed: int) -> None:
    data, graph = sparse_network(seed)
    x = random_inputs(data, INPUTS, seed)
    np.testing.assert_array_equal(run_batch(simplified(graph), x), run_batch(graph, x))


def test_channels_are_left_out() -> None:
    found = [simplified(sparse_network(seed)[1]) for seed in range(60)]
    assert sum(bool(graph.unread) for graph in found) > 20
    unread = [(graph, index) for graph in found for index in graph.unread]
    made_by = {type(op) for graph, index in unread for op in graph.operators if op.output == index}
    assert made_by >= {Conv2D, DepthwiseConv2D}


def test_pads_before_convolutions_are_folded() -> None:
    """The pizza model's come before stride 2."""
    graph = read_graph((DEFAULT_MODEL / "model.tflite").read_bytes())
    found = simplified(graph)
    pads = [operator for operator in found.operators if isinstance(operator, Pad)]
    assert [pad.folded for pad in pads] == [True] * 3
    x = np.random.default_rng(0).integers(-128, 128, (INPUTS, *graph.input_tensor.shape)).astype(np.int8)
    np.testing.assert_array_equal(run_batch(found, x), run_batch(graph, x))


@pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="needs a C compiler")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**31))
def test_the_c_code_leaves_them_out_too(folder: Path, seed: int) -> None:
    data, graph = sparse_network(seed)
    x = random_inputs(data, INPUTS, seed)
    found = build_host_graph(graph, data, folder, cores=1 + seed % 2).run(x)
    np.testing.assert_array_equal(found, run_batch(graph, x).reshape(found.shape))
