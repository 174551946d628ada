"""From a model's integers back to weights that can be trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edge.devices.model import DEFAULT_MODEL
from edge.learning.calibration import calibrate
from edge.learning.continued import settings_of
from edge.learning.dequantised import dequantised
from edge.learning.evaluation import integer_logits
from edge.learning.folding import FoldedNetwork, fold
from edge.learning.grid import Grid
from edge.learning.levers import PLAIN
from edge.learning.model_folder import read_model
from edge.learning.network import RELU6, EdgeNetwork, topology_of
from edge.learning.rounded import RoundedNetwork, to_integers
from edge.learning.settings import Settings
from edge.learning.tflite_writer import write_tflite
from edge.learning.training import to_tensor
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph
from firmware_sim.compiler.tflite_reader import read_graph
from shared.errors import BadInputError
from shared.task import load_task

FRAMES = np.random.default_rng(3).integers(0, 256, (60, 48, 48, 3), np.uint8)
SMOOTH = np.repeat(np.repeat(FRAMES[:, ::8, ::8], 8, axis=1), 8, axis=2)  # [60, 48, 48, 3]: nearer to pictures


def there_and_back(graph: Graph, settings: Settings) -> Graph:
    folded, grids = dequantised(graph)
    grid = Grid(graph.input_tensor.scale, graph.input_tensor.zero_point)
    network = to_integers(RoundedNetwork(folded, grids, grid, settings.levers), "")
    return read_graph(write_tflite(network), "again")


def test_a_plain_model_comes_back_with_the_same_integers() -> None:
    torch.manual_seed(1)
    network = EdgeNetwork(topology_of("8,8,16/2,16", 5, 48)).eval()
    folded = fold(network)
    grids = calibrate(folded, to_tensor(SMOOTH), 1)
    task = load_task("pizza").input
    rounded = RoundedNetwork(folded, grids, Grid(float(np.float32(task.scale)), task.zero_point), PLAIN)
    graph = read_graph(write_tflite(to_integers(rounded, "")), "there")
    again = there_and_back(graph, Settings())
    for one, other in zip(graph.operators, again.operators, strict=True):
        if isinstance(one, Conv2D | DepthwiseConv2D):
            assert isinstance(other, Conv2D | DepthwiseConv2D)
            np.testing.assert_array_equal(one.weights, other.weights)
            np.testing.assert_array_equal(one.bias, other.bias)
    np.testing.assert_array_equal(integer_logits(again, SMOOTH), integer_logits(graph, SMOOTH))


def test_the_shipped_model_comes_back_nearly_the_same_and_held_to_its_levers() -> None:
    settings = settings_of(DEFAULT_MODEL, load_task("pizza"))
    graph = read_model(DEFAULT_MODEL).graph
    again = there_and_back(graph, settings)
    before, after = integer_logits(graph, SMOOTH).astype(int), integer_logits(again, SMOOTH).astype(int)
    assert np.abs(before - after).mean() < 2
    assert (before.argmax(axis=1) == after.argmax(axis=1)).mean() > 0.9
    largest = max(int(np.abs(op.weights).max()) for op in again.operators if hasattr(op, "weights"))
    assert largest <= settings.weight_bound


def test_settings_of_a_model_without_a_card_are_the_tasks(tmp_path: Path) -> None:
    task = load_task("pizza")
    assert settings_of(tmp_path, task).shape == settings_of(DEFAULT_MODEL.parent, task).shape
    (tmp_path / "card.json").write_text('{"settings": {"shape": "8,16", "unknown": 1}}')
    assert settings_of(tmp_path, task).shape == "8,16"


def test_a_network_of_another_form_is_refused() -> None:
    graph = read_model(DEFAULT_MODEL).graph
    with pytest.raises(BadInputError, match="cannot be trained on"):
        dequantised(Graph(graph.tensors, graph.operators[-1:], graph.input, graph.output, {}))


@pytest.mark.parametrize("shape", ["8,16x1,16/2x6,16x6", "8,8,16/2,16"])
def test_a_rectifier_s_ceiling_comes_back_where_the_shape_has_one(shape: str) -> None:
    torch.manual_seed(2)
    network = EdgeNetwork(topology_of(shape, 2, 48)).eval()
    folded = fold(network)
    loud = [replace(layer, weight=4 * layer.weight) for layer in folded.layers[:-1]]  # so that ceilings are reached
    folded = FoldedNetwork(folded.input_px, (*loud, folded.layers[-1]))
    task = load_task("elpv").input
    grid = Grid(float(np.float32(task.scale)), task.zero_point)
    rounded = RoundedNetwork(folded, calibrate(folded, to_tensor(SMOOTH), 1), grid, PLAIN)
    graph = read_graph(write_tflite(to_integers(rounded, "")), "there")
    again, stored = dequantised(graph)
    assert [layer.ceiling for layer in again.layers] == [layer.ceiling for layer in folded.layers]
    assert (RELU6 in [layer.ceiling for layer in again.layers]) == ("x6" in shape)
    fresh = calibrate(again, to_tensor(SMOOTH), 1)  # what learning on does; without ceilings it would reach further
    for one, other in zip(stored, fresh, strict=True):
        assert other.scale == pytest.approx(one.scale, rel=0.2)
