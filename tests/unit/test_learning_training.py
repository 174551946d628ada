"""Training: folding, grids and resuming, on synthetic frames (no rendering, a few seconds)."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge.learning.calibration import apply_layer, calibrate
from edge.learning.epoch import EpochReport
from edge.learning.folding import fold
from edge.learning.grid import Grid
from edge.learning.network import EdgeNetwork, Topology, topology_of
from edge.learning.quantised import quantise_weights
from edge.learning.rounded import RoundedNetwork, to_integers
from edge.learning.student import label_loss, targets_of
from edge.learning.tflite_writer import write_tflite
from edge.learning.training import Schedule, fit, to_tensor
from firmware_sim.compiler.arena import plan
from firmware_sim.compiler.reference import run_batch
from firmware_sim.compiler.tflite_reader import read_graph
from shared.errors import BadInputError

SMALL = Topology(16, 4, ((1, 6), (2, 8)), 3)
INPUT_GRID = Grid(float(np.float32(1 / 255)), -128)
SCHEDULE = Schedule("float", 3, 16, 5e-3, 0.01, 0.3, seed=4)


def coloured_frames(count: int, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 [N, S, S, 3] whose strongest channel is their label, int64 [N]."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, count)
    frames = rng.integers(40, 140, (count, size, size, 3))
    frames[np.arange(count), :, :, labels] += 80
    return frames.astype(np.uint8), labels.astype(np.int64)


def train(folder: Path, epochs: int, *, resume: bool = False, identity: dict[str, Any] | None = None) -> EdgeNetwork:
    torch.manual_seed(0)
    network = EdgeNetwork(SMALL)
    frames, labels = coloured_frames(96)

    def stop_early(report: EpochReport) -> None:
        if report.epoch == epochs:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        fit(
            network,
            frames,
            label_loss(targets_of(labels, None, 3), 0.0),
            (frames, labels),
            SCHEDULE,
            folder=folder,
            resume=resume,
            identity=identity or {"a": 1},
            after_batch=lambda steps: None,
            after_epoch=stop_early,
        )
    return network


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 3)
    train(tmp_path / "parts", 1)
    resumed = train(tmp_path / "parts", 3, resume=True)
    for (name, one), two in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    train(tmp_path, 1)
    with pytest.raises(BadInputError, match=r"other settings \(a\)"):
        train(tmp_path, 3, resume=True, identity={"a": 2})


def test_folding_changes_nothing(tmp_path: Path) -> None:
    network = train(tmp_path, 2).eval()
    x = to_tensor(coloured_frames(8)[0])
    y = x
    for layer in fold(network).layers:
        if not layer.relu:
            y = y.mean(dim=(2, 3), keepdim=True)
        y = apply_layer(layer, y)
    torch.testing.assert_close(y[:, :, 0, 0], network(x), rtol=1e-4, atol=1e-4)


def test_the_integers_follow_the_rounded_network(tmp_path: Path) -> None:
    """Rounding is the only difference: the integer model stays within 2 steps of its float simulation."""
    network = train(tmp_path, 3).eval()
    frames = coloured_frames(64)[0]
    folded = fold(network)
    rounded = RoundedNetwork(folded, calibrate(folded, to_tensor(frames), seed=1), INPUT_GRID).eval()
    integers = to_integers(rounded, "test")
    graph = read_graph(write_tflite(integers))
    logits = run_batch(graph, (frames.astype(np.int16) - 128).astype(np.int8))
    out = graph.output_tensor
    with torch.no_grad():
        expected = rounded(to_tensor(frames)).numpy() / out.scale + out.zero_point
    assert np.abs(logits - expected).max() <= 2.01
    assert len(np.unique(logits)) > 10  # the frames are told apart


def test_the_default_topology_fits_the_chip() -> None:
    network = EdgeNetwork(topology_of("small", 5, 48)).eval()
    folded = fold(network)
    frames = torch.rand(4, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    rounded = RoundedNetwork(folded, calibrate(folded, frames, seed=1), INPUT_GRID)
    tflite = write_tflite(to_integers(rounded, "test"))
    graph = read_graph(tflite)
    assert len(tflite) <= 180 * 1024
    assert plan(graph).bytes <= 100 * 1024
    assert graph.input_tensor.shape == (48, 48, 3)
    assert graph.labels == 5


def test_a_grid_holds_zero_and_its_bounds() -> None:
    grid = Grid.over(-1.0, 3.0)
    values = torch.tensor([-5.0, -1.0, 0.0, 0.01, 3.0, 9.0])
    rounded = grid.rounded(values)
    assert rounded[2] == 0.0
    assert torch.allclose(rounded[[1, 4]], values[[1, 4]], atol=grid.scale)
    assert torch.allclose(rounded[[0, 5]], values[[1, 4]], atol=grid.scale)
    assert Grid.over(0.0, 2.0).zero_point == -128


def test_the_gradient_passes_inside_and_stops_outside() -> None:
    values = torch.tensor([-5.0, 0.4, 9.0], requires_grad=True)
    torch.autograd.backward(Grid.over(-1.0, 3.0).rounded(values).sum())
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 1.0, 0.0]


def test_a_channel_without_weights_keeps_its_bias() -> None:
    weights = np.zeros((2, 1, 1, 1), np.float32)
    weights[1] = 0.5
    integers, scales, bias = quantise_weights(weights, np.array([3.0, -2.0], np.float32), 0.01, 0.1)
    assert integers[1] == 127
    assert bias * (0.01 * scales.astype(np.float64)) == pytest.approx([3.0, -2.0], rel=1e-3)
