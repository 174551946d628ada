"""The levers: weights as the compiler's cheap forms want them, and that it then takes these forms."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch

from edge.learning.calibration import apply_layer, calibrate
from edge.learning.cost import predicted_cycles
from edge.learning.epoch import EpochReport
from edge.learning.folding import FoldedNetwork, fold
from edge.learning.grid import Grid
from edge.learning.levers import Levers, next_short
from edge.learning.network import EdgeNetwork, topology_of
from edge.learning.pruning import pair_mask, ramped, with_pairs
from edge.learning.rounded import RoundedNetwork, to_integers
from edge.learning.settings import Settings
from edge.learning.student import label_loss
from edge.learning.tflite_writer import write_tflite
from edge.learning.training import Schedule, fit, to_tensor
from firmware_sim.compiler.depthwise_channels import channels_of
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph
from firmware_sim.compiler.prover import F1, prove, staircase_of
from firmware_sim.compiler.reference import run_batch
from firmware_sim.compiler.tflite_reader import read_graph
from shared.errors import BadInputError

INPUT_GRID = Grid(float(np.float32(1 / 255)), -128)
LEVERS = Levers(multiplier_bits=8, weight_bound=31, pair_zeros=0.5)


def random_frames(count: int, size: int = 24) -> np.ndarray:
    """Frames uint8 [N, S, S, 3]."""
    return np.random.default_rng(3).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def untrained(levers: Levers) -> RoundedNetwork:
    torch.manual_seed(2)
    folded = fold(EdgeNetwork(topology_of("7,8,16/2,12", 5, 24)).eval())
    network = RoundedNetwork(folded, calibrate(folded, to_tensor(random_frames(8)), seed=1), INPUT_GRID, levers)
    network.prune(levers.pair_zeros)
    return network


def graph_with(levers: Levers) -> Graph:
    return read_graph(write_tflite(to_integers(untrained(levers), "test")))


def dense_and_depthwise(graph: Graph) -> tuple[list[Conv2D], list[DepthwiseConv2D]]:
    """The convolutions before a RELU: all but the head."""
    dense = [operator for operator in graph.operators if isinstance(operator, Conv2D)]
    return dense[:-1], [operator for operator in graph.operators if isinstance(operator, DepthwiseConv2D)]


def test_numbers_of_few_bits_are_the_next_ones_up() -> None:
    values = np.array([1.0, 1.001, 0.7, 3e-5, 2**-9 * 255, 2**-9 * 255.5])
    short = next_short(values, 8)
    mantissa, _ = np.frexp(short)
    assert (mantissa * 256 == np.rint(mantissa * 256)).all()
    assert (short >= values).all()
    assert (short <= values * (1 + 1 / 128)).all()
    assert short[[0, 4]].tolist() == values[[0, 4]].tolist()  # those already


def test_multipliers_of_eight_bits_are_proven_the_cheapest_form() -> None:
    graph = graph_with(Levers(multiplier_bits=8))
    for operator in dense_and_depthwise(graph)[0]:
        mantissa = operator.rescale.multiplier / 2.0**31
        np.testing.assert_allclose(mantissa * 256, np.rint(mantissa * 256), atol=1e-4)
        assert (prove(staircase_of(operator, graph)).form == F1).all()
    plain = graph_with(Levers())
    forms = [prove(staircase_of(operator, plain)).form for operator in dense_and_depthwise(plain)[0]]
    assert (np.concatenate(forms) == F1).mean() < 0.1


def test_bounded_depthwise_windows_are_one_block() -> None:
    graph = graph_with(Levers(weight_bound=31))
    dense, depthwise = dense_and_depthwise(graph)
    assert all(np.abs(operator.weights).max() == 31 for operator in (*dense, *depthwise))
    for operator in depthwise:
        channels = channels_of(operator.weights.reshape(9, -1), prove(staircase_of(operator, graph)))
        assert [channel.blocks for channel in channels] == [(9,)] * len(channels) != []
    equal = np.ones((2, 1, 3, 3), np.float32)  # nine times 31 would be too much for a block
    scales = Levers(weight_bound=31).scales(equal, np.zeros(2, np.float32), 0.1, 0.1)
    assert (np.rint(equal.reshape(2, 9) / scales[:, None]).sum(axis=1) <= 255).all()


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_zeros_are_shared_by_the_pairs_that_the_compiler_makes(share: float) -> None:
    dense, _ = dense_and_depthwise(graph_with(Levers(pair_zeros=share)))
    for operator in dense:
        rows = np.abs(operator.weights.reshape(len(operator.weights), -1).astype(int))
        pairs = np.array([rows[at : at + 2].max(axis=0) for at in range(0, len(rows), 2)])
        assert (pairs == 0).sum() >= round(share * pairs.size)
        assert (pairs == 0).mean() <= share + 0.1  # no more than asked for, but for weights that round to zero


def test_the_weakest_weights_go() -> None:
    weight = torch.tensor([[5.0, 1.0, 3.0, 0.1], [4.0, 1.0, 0.1, 3.0], [100.0, 1.0, 2.0, 300.0]]).reshape(3, 4, 1, 1)
    kept = pair_mask(weight, 0.5).reshape(3, 4).int()
    assert kept.tolist() == [[1, 0, 1, 1], [1, 0, 1, 1], [0, 0, 0, 1]]


def test_pairs_of_like_channels_change_no_output() -> None:
    torch.manual_seed(2)
    network = fold(EdgeNetwork(topology_of("7,8,16/2,12", 5, 24)).eval())
    paired, x = with_pairs(network), to_tensor(random_frames(4))

    def logits(network: FoldedNetwork) -> torch.Tensor:
        y = x
        for layer in network.layers:
            y = apply_layer(layer, y if layer.relu else y.mean(dim=(2, 3), keepdim=True))
        return y

    torch.testing.assert_close(logits(paired), logits(network), rtol=1e-4, atol=1e-5)
    for old, new in zip(network.layers, paired.layers, strict=True):
        if old.relu and not old.depthwise:
            assert kept_energy(new.weight) >= kept_energy(old.weight)
    assert kept_energy(paired.layers[2].weight) > 1.02 * kept_energy(network.layers[2].weight)


def kept_energy(weight: torch.Tensor) -> float:
    normed = weight.flatten(1) / weight.flatten(1).norm(dim=1, keepdim=True)
    return float((normed**2 * pair_mask(weight, 0.5).flatten(1)).sum())


def test_what_is_zero_once_stays_zero() -> None:
    network = untrained(Levers(pair_zeros=0.5))
    before = [weight == 0 for _, weight, _ in network.layers()]
    with torch.no_grad():
        for weight, zero in zip(network.weights, before, strict=True):
            weight[torch.from_numpy(zero)] = 100.0
    network.prune(0.6)
    assert all((weight == 0)[zero].all() for (_, weight, _), zero in zip(network.layers(), before, strict=True))


def test_each_lever_takes_cycles_away() -> None:
    plain = predicted_cycles(graph_with(Levers()))
    alone = [predicted_cycles(graph_with(Levers(**one))) for one in ({"multiplier_bits": 8}, {"weight_bound": 31})]
    alone.append(predicted_cycles(graph_with(Levers(pair_zeros=0.5))))
    assert max(alone) < plain
    assert predicted_cycles(graph_with(LEVERS)) < min(alone)


def test_the_integers_follow_the_network_under_all_levers() -> None:
    network = untrained(LEVERS).eval()
    graph = read_graph(write_tflite(to_integers(network, "test")))
    frames = random_frames(32)
    logits = run_batch(graph, (frames.astype(np.int16) - 128).astype(np.int8))
    out = graph.output_tensor
    with torch.no_grad():
        expected = network(to_tensor(frames)).numpy() / out.scale + out.zero_point
    assert np.abs(logits - expected).max() <= 2.01


def fine_tuned(folder: Path, stop_after: int, *, resume: bool = False) -> RoundedNetwork:
    network, frames = untrained(Levers(8, 31, 0.0)), random_frames(24)

    def stop(report: EpochReport) -> None:
        if report.epoch == stop_after:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        fit(
            network,
            frames,
            label_loss(np.eye(5, dtype=np.float32)[np.arange(24) % 5], 0.0),
            (frames, np.arange(24) % 5),
            Schedule("int8", 4, 8, 1e-3, 0.0, 0.2, seed=4),
            folder=folder,
            resume=resume,
            identity={},
            after_batch=lambda steps: None,
            after_epoch=stop,
            before_epoch=lambda epoch: network.prune(ramped(0.5, epoch, 4)),
        )
    return network


def test_an_interrupted_pruning_ends_with_the_same_integers(tmp_path: Path) -> None:
    whole = fine_tuned(tmp_path / "whole", 4)
    fine_tuned(tmp_path / "parts", 2)
    resumed = fine_tuned(tmp_path / "parts", 4, resume=True)
    assert write_tflite(to_integers(whole, "")) == write_tflite(to_integers(resumed, ""))
    zeros = [int((weight == 0).sum()) for form, weight, _ in whole.layers() if form.relu and not form.depthwise]
    assert min(zeros) > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"multiplier_bits": 1}, "1 bits for multipliers: 0 for any multiplier, or 2 to 16"),
        ({"weight_bound": 128}, "weights bounded by 128: 3 to 127"),
        ({"pair_zeros": 1.0}, "a share of 1.0 zero pairs: from 0 to below 1"),
    ],
)
def test_levers_out_of_range_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        Levers(**values)  # type: ignore[arg-type]


def test_settings_name_what_a_checkpoint_belongs_to() -> None:
    plain, levered = Settings(), Settings(weight_bound=31)
    assert plain.of_weights(fine=False) == levered.of_weights(fine=False)
    assert plain.of_weights(fine=True) != levered.of_weights(fine=True)


@pytest.mark.parametrize("shape", ["tiny", "8", "8/2,16", "8,0", "8,16/3", "8,,16", "8,600"])
def test_a_shape_that_is_none_is_refused(shape: str) -> None:
    with pytest.raises(BadInputError, match="no network shape"):
        topology_of(shape, 5, 48)
