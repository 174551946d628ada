"""What a model may be judged by: never a photograph that it has learnt from, and no group on both sides."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from photograph_scene import coloured_photographs

from edge.certification.certificate import load_certificate
from edge.certification.commands import run_certification
from edge.comparison.commands import run_comparison
from edge.comparison.splits import compare_splits, halves
from edge.datasets import open_dataset, split_by_group
from edge.datasets.elpv import modules_of
from edge.devices.model import DEFAULT_MODEL
from edge.gate import load_gate
from edge.learning.commands import run_evaluation
from edge.learning.judged import Judged
from edge.learning.unseen import for_tuning, unseen_photographs
from shared.errors import BadInputError
from shared.task import load_task

PIZZA = load_task("pizza")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured_photographs(tmp_path_factory.mktemp("data"), PIZZA.labels, groups=8, each=4)


@pytest.fixture
def model(tmp_path: Path, photographs: Path) -> Path:
    """The shipped model, as if trained on the photographs by split 5."""
    folder = shutil.copytree(DEFAULT_MODEL, tmp_path / "model")
    card = json.loads((folder / "card.json").read_text())
    card["settings"]["split_seed"], card["evaluation"]["data"] = 5, str(photographs)
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_the_training_part_is_left_out(model: Path, photographs: Path) -> None:
    split = split_by_group(open_dataset(str(photographs), PIZZA), 5)
    unseen = unseen_photographs(model, str(photographs), PIZZA, None)
    assert unseen.split_seed == 5
    assert set(unseen.all().names) == set(split.held_out.names) | set(split.test.names)
    assert "split 5 without its training part" in unseen.source
    ordered, tuning = for_tuning(unseen, 0.25)
    assert ordered.names[:tuning] == split.held_out.names
    elsewhere = unseen_photographs(DEFAULT_MODEL, str(photographs), PIZZA, None)  # trained on rendered bakes
    assert elsewhere.held_out is None
    assert len(elsewhere.all()) == 160


def test_new_photographs_are_cut_between_groups_and_mixed(photographs: Path) -> None:
    ordered, tuning = for_tuning(unseen_photographs(DEFAULT_MODEL, str(photographs), PIZZA, None), 0.25)
    assert sorted(ordered.names) == sorted(open_dataset(str(photographs), PIZZA).names)
    assert 30 <= tuning <= 50
    assert not set(ordered.groups[:tuning].tolist()) & set(ordered.groups[tuning:].tolist())
    assert len(set(ordered.labels[:tuning].tolist())) > 1


def test_one_label_only_certifies_nothing(tmp_path: Path) -> None:
    folder = coloured_photographs(tmp_path, ("burnt",), groups=4, each=2)
    with pytest.raises(BadInputError, match="one label: there is nothing to certify"):
        for_tuning(unseen_photographs(DEFAULT_MODEL, str(folder), PIZZA, None), 0.25)


def test_photographs_are_certified(model: Path, photographs: Path, tmp_path: Path) -> None:
    def certify(alpha: str) -> Path:
        out = tmp_path / "certificate.json"
        run_certification(
            Judged(model=model, data=str(photographs)),
            alpha=alpha,
            delta=0.1,
            seed=0,
            bakes=1,
            days=3,
            out=out,
            key=tmp_path / "key.pem",
            as_json=True,
        )
        return out

    certificate = load_certificate(certify("burnt=0.5")).certificate
    sample = certificate.sample
    split = split_by_group(open_dataset(str(photographs), PIZZA), 5)
    assert (sample.tuning_items, sample.certification_items) == (len(split.held_out), len(split.test))
    assert str(photographs) in sample.data
    assert f"{len(split.test)} items come from {len(np.unique(split.test.groups))} groups" in certificate.assumes[1]
    with pytest.raises(BadInputError, match=r"burnt: \d+ items cannot prove .* at least 230 are needed"):
        certify("burnt=0.01")


def test_one_object_of_figures(model: Path, photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged = Judged(model=model, data=str(photographs))
    run_evaluation(judged, seed=0, bakes=1, all_frames=True, as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert {"accuracy", "n", "interval", "risk_at_70", "aurc"} <= set(report)
    assert report["n"] == len(split_by_group(open_dataset(str(photographs), PIZZA), 5).test)
    run_comparison(judged, 1, as_json=True)
    compared = json.loads(capsys.readouterr().out)
    assert (compared["n"], compared["splits"]) == (
        len(unseen_photographs(model, str(photographs), PIZZA, None).all()),
        20,
    )
    usual = {"fixed top score", "cross-entropy", "IBT", "margin", "entropy", "random"}
    assert {"crustwatch", "crustwatch, errors", *usual} == set(compared["rules"])


def test_halves_keep_groups_whole() -> None:
    rng = np.random.default_rng(1)
    groups, truth = np.repeat(np.arange(12), 5), rng.integers(0, 2, 60)
    for tuning in halves(truth, groups, 20):
        assert not set(groups[tuning].tolist()) & set(groups[~tuning].tolist())
        assert len(set(groups[tuning].tolist())) == 6
    with pytest.raises(BadInputError, match="one label"):
        halves(np.zeros(60, np.int64), groups, 20)
    with pytest.raises(BadInputError, match="more are needed"):
        halves(np.repeat([0, 1], 30), np.repeat([0, 1], 30), 20)


def test_ours_wins_on_photographs_too_where_one_label_is_critical() -> None:
    task, gate = load_task("elpv"), load_gate(DEFAULT_MODEL / "gate.json")
    rng = np.random.default_rng(2)
    truth, groups = rng.integers(0, 2, 1600), np.repeat(np.arange(40), 40)
    lead = np.where(truth == 1, 30, -30) + rng.normal(0, 30, 1600)
    logits = np.clip(np.rint(np.stack([-lead, lead], axis=1) / 2), -128, 127).astype(np.int8)
    report = compare_splits(gate, task, logits, truth, groups)
    assert report["fewer_escalations_than_best"]["0.05"][1] > 1.2
    value, low, high = report["rules"]["random"]["miss_at_escalation"]["0.3"]
    assert low <= value <= high
    for row in report["less_than_best"].values():  # what is left is the grain of a path learnt on the other half
        assert min(value for value, _, _ in row.values()) > -0.003


def test_stretches_of_cells_become_the_modules_of_the_paper() -> None:
    stretches = (60, 300, 180, 360, 714, 530, 72, 180, 48, 180)  # mono and poly in turns, as in the package
    kinds = [("mono", "poly")[i % 2] for i, length in enumerate(stretches) for _ in range(length)]
    modules = modules_of(kinds)
    assert len(modules) == 2624
    assert len({m for m, kind in zip(modules, kinds, strict=True) if kind == "mono"}) == 18
    assert len({m for m, kind in zip(modules, kinds, strict=True) if kind == "poly"}) == 26
    assert modules == sorted(modules)


def test_photographs_that_cannot_be_read_are_told(
    photographs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = shutil.copytree(photographs, tmp_path / "data")
    (data / "raw" / "broken.png").write_bytes(b"no picture")
    assert len(unseen_photographs(DEFAULT_MODEL, str(data), PIZZA, None).all()) == 160
    assert "1 photographs cannot be read" in caplog.text
