"""The table of the levers and the search of networks, on plain frames; milliseconds are the emulated chip's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from edge.learning import commands, lever_table
from edge.learning.cli import app as learning_app
from edge.learning.cost import predicted_ms
from edge.learning.epoch import EpochReport
from edge.learning.frames import FrameSet
from edge.learning.frontier_plot import draw
from edge.learning.lever_table import (
    LEVERS,
    PRUNING_EPOCHS,
    LeverRow,
    levers_for,
    measure_levers,
    settings_with,
    table,
)
from edge.learning.model_folder import read_model
from edge.learning.network import topology_of
from edge.learning.parts import Parts
from edge.learning.pipeline import check_trainable
from edge.learning.search import Candidate, Plan, Search, Trained, frontier, price, search, settings_of, space
from edge.learning.settings import Settings, settings_for
from shared.errors import BadInputError
from shared.intervals import wilson
from shared.task import load_task

SIZE = 16
TASK = load_task("pizza").with_size(SIZE)
SETTINGS = Settings(shape="4,6/2,8", size_px=SIZE, epochs=1, batch=16, fine_tune_epochs=1, calibration_bakes=4)
PLAN = Plan(sample=4, train=2, limit_ms=3.0, seed=5)


class Silent:
    """A reporter that counts epochs."""

    def __init__(self) -> None:
        self.epochs = 0

    def stage(self, text: str, total: int) -> Callable[[int], None]:
        return lambda steps: None

    def epoch(self, report: EpochReport) -> None:
        self.epochs += 1


def coloured(count: int, seed: int) -> FrameSet:
    """Items of two frames whose brightness is their label."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 5
    frames = rng.integers(0, 40, (count, 2, SIZE, SIZE, 3)) + 40 * labels[:, None, None, None, None]
    return FrameSet(seed, frames.astype(np.uint8), labels)


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts(coloured(20, 1), coloured(20, 2), coloured(20, 3))


def test_the_table_measures_each_lever_and_goes_on_where_it_stopped(
    tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lever_table, "bench_model", lambda path, cores: type("Bench", (), {"ms": 1.0}))
    silent, seen = Silent(), list[LeverRow]()
    levers = (LEVERS[1], LEVERS[5])

    def stop(row: LeverRow) -> None:
        seen.append(row)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_levers(SETTINGS, TASK, parts, tmp_path, reporter=silent, levers=levers, after_row=stop)
    assert silent.epochs == 2  # float, int8
    monkeypatch.undo()
    rows = measure_levers(SETTINGS, TASK, parts, tmp_path, reporter=silent, levers=levers)
    assert silent.epochs == 2 + PRUNING_EPOCHS  # the second lever's int8 phase
    assert rows[0].accuracy == seen[0].accuracy
    plain, all_three = rows
    assert all_three.ms < plain.ms
    assert all_three.ms_two_cores < all_three.ms
    assert plain.accuracy.n == 20
    assert plain.error_at_70.n == 14
    graph = read_model(Path(all_three.model)).graph
    assert predicted_ms(graph) == pytest.approx(all_three.ms, rel=0.05)
    assert max(int(np.abs(weights).max()) for weights in weights_of(graph)) == 31
    lines = table(rows)
    assert lines[2].startswith("all three")
    assert f"{all_three.ms:.2f} / {all_three.ms_two_cores:.2f}" in lines[2]


def test_a_row_has_its_own_levers_only() -> None:
    task_has_levers = replace(SETTINGS, multiplier_bits=8, weight_bound=31, fine_tune_epochs=3)
    plain, short, pruned = (settings_with(task_has_levers, LEVERS[row][1]) for row in (1, 2, 4))
    assert (plain.multiplier_bits, plain.weight_bound, plain.pair_zeros, plain.fine_tune_epochs) == (0, 127, 0.0, 3)
    assert (short.multiplier_bits, short.weight_bound) == (8, 127)
    assert (pruned.multiplier_bits, pruned.pair_zeros, pruned.fine_tune_epochs) == (0, 0.5, 9)


def weights_of(graph: object) -> list[np.ndarray]:
    return [operator.weights for operator in graph.operators if hasattr(operator, "weights")]  # type: ignore[attr-defined]


def test_other_settings_train_anew(tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lever_table, "bench_model", lambda path, cores: type("Bench", (), {"ms": 1.0}))
    silent = Silent()
    measure_levers(SETTINGS, TASK, parts, tmp_path, reporter=silent, levers=LEVERS[:1])
    with pytest.raises(BadInputError, match="other settings"):
        measure_levers(replace(SETTINGS, seed=9), TASK, parts, tmp_path, reporter=silent, levers=LEVERS[:1])


def test_every_shape_of_the_space_is_one() -> None:
    shapes = space()
    assert len(shapes) == len(set(shapes)) > 200
    for shape in shapes:
        topology = topology_of(shape, 5, 48)
        assert [stride for stride, _ in topology.blocks].count(2) == 2


def test_the_price_is_that_of_the_trained_network(
    tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = Silent()
    on_the_way: list[Search] = []
    found = search(PLAN, SETTINGS, TASK, parts, tmp_path, reporter=silent, after_training=on_the_way.append)
    assert [len(so_far.trained) for so_far in on_the_way] == [1, 2]
    assert on_the_way[-1] == found
    assert len(found.priced) == PLAN.sample
    assert [one.predicted_ms for one in found.priced] == sorted(one.predicted_ms for one in found.priced)
    assert len(found.trained) == PLAN.train
    for one in found.trained:
        assert one.row.ms == pytest.approx(one.candidate.predicted_ms, rel=0.12)
    shapes = {one.candidate.shape for one in found.trained}
    assert SETTINGS.shape in shapes  # what there is already is compared too
    assert found.chosen in shapes
    epochs = silent.epochs
    monkeypatch.setattr(lever_table, "bench_model", lambda path, cores: type("Bench", (), {"ms": 1.0}))
    again = search(PLAN, SETTINGS, TASK, parts, tmp_path, reporter=silent)
    assert silent.epochs == epochs  # everything was there
    assert [one.held_out_accuracy for one in again.trained] == [one.held_out_accuracy for one in found.trained]
    picture = tmp_path / "frontier.png"
    draw(found, "test", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_levers_lower_the_price() -> None:
    held = replace(SETTINGS, multiplier_bits=8, weight_bound=31, pair_zeros=0.5)
    assert price("4,6/2,8", held, TASK).predicted_ms < price("4,6/2,8", SETTINGS, TASK).predicted_ms


def trained(shape: str, ms: float, correct: int) -> Trained:
    share = wilson(correct, 100)
    return Trained(Candidate(shape, 1, ms, ms / 2), share, LeverRow(shape, ms, ms / 2, share, share, shape))


def test_the_frontier_leaves_out_what_is_slower_and_no_better() -> None:
    found = frontier([trained("d", 9.0, 95), trained("b", 5.0, 80), trained("a", 4.0, 80), trained("c", 6.0, 90)])
    assert [one.candidate.shape for one in found] == ["a", "c", "d"]


def test_a_search_survives_its_file() -> None:
    found = Search(8.0, (Candidate("a", 1, 2.0, 1.0),), (trained("a", 4.0, 80),), ("a",), "a")
    assert msgspec.json.decode(msgspec.json.encode(found), type=Search) == found
    assert json.loads(msgspec.json.encode(found))["chosen"] == "a"


@pytest.mark.parametrize(("sample", "train"), [(3, 0), (2, 3)])
def test_a_plan_without_networks_is_refused(sample: int, train: int) -> None:
    with pytest.raises(BadInputError, match="networks to price"):
        Plan(sample, train, 8.0, 1)


def test_wrong_levers_are_an_error_and_not_networks_that_do_not_fit(tmp_path: Path, parts: Parts) -> None:
    with pytest.raises(BadInputError, match="weights bounded by 1000"):
        search(PLAN, replace(SETTINGS, weight_bound=1000), TASK, parts, tmp_path, reporter=Silent())


@pytest.mark.parametrize("task", ["pizza", "elpv"])
def test_every_lever_of_a_task_can_be_trained(task: str) -> None:
    settings, known = settings_for(task), load_task(task)
    for _, changes in levers_for(settings, known):
        check_trainable(settings_with(settings, changes), known)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shape", "8,x"], "no network shape '8,x'"),
        (["--multiplier-bits", "99"], "99 bits for multipliers"),
        (["--weight-bound", "0"], "weights bounded by 0"),
        (["--pair-zeros", "1"], "a share of 1.0 zero pairs"),
        (["--shape", "8,16x6", "--pair-zeros", "0.5"], "8,16x6 has inverted residuals"),
    ],
)
def test_what_training_would_refuse_is_refused_before_rendering(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "rendered_parts", None)
    done = CliRunner().invoke(learning_app, ["train", "--out", str(tmp_path / "model"), *options])
    assert isinstance(done.exception, BadInputError), done.output
    assert said in str(done.exception)


def test_only_the_tasks_own_shape_begins_with_pretrained_weights() -> None:
    elpv = settings_for("elpv")
    assert settings_of(elpv.shape, elpv) == elpv
    other = settings_of("8,16/2", elpv)
    assert (other.shape, other.start, other.learning_rate) == ("8,16/2", "none", Settings().learning_rate)
    assert settings_of("8,16/2", SETTINGS) == replace(SETTINGS, shape="8,16/2")


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_search_needs_milliseconds(limit: float) -> None:
    with pytest.raises(BadInputError, match="is no limit"):
        Plan(2, 1, limit, 1)
