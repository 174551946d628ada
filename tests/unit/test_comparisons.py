"""Baselines and ablation tables: fitted and counted rightly, and honest about what does not beat what."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from cloud.answer import Answer, Findings, verdict_of
from cloud.evaluation.ablations import read_runs, table
from cloud.evaluation.baselines import baselines, colour_histogram, fit_histogram, gains
from cloud.evaluation.ledger import Ledger, read_ledger
from cloud.training.evaluation import BakesReport, Judged, ShareReport
from cloud.training.plan import TrainingPlan
from cloud.training.records import record_type
from shared.bakery import BakeTruth
from shared.errors import BadInputError
from shared.messages import Provenance
from shared.task import load_task

TASK = load_task("pizza")
WHENCE = Provenance("m", "0", "0", (0,), True, "sdpa", "cpu", 0.1)
COUNT = 60


def truth(index: int, label: int) -> BakeTruth:
    return BakeTruth(
        bake_id=str(index),
        seed=1,
        index=index,
        shape="whole",
        doneness=TASK.labels[label],
        bake_index=(label + 0.5) / 5,
        evenness=0.5,
        burnt_fraction=0.1,
        char_where="rim",
        char_sector=3,
        char_fraction_by_hour=[0.0, 0.0, 0.1, *[0.0] * 9],
        crust_height_mm=10.0 + index % 5,
        blister_count=0,
        blister_height_mm=5.0,
        toppings={},
        frames_with_glare=[],
        frames_with_shadow=[],
        frames_with_paddle=[],
        visible_fraction=[1.0],
        times_s=[0.0],
        belt_speed_m_s=0.1,
        item_centre_m=[0.0] * 3,
        intrinsics=[],
        poses=[],
    )


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    """Every label right, every crust 1 mm too high, every burnt fraction exact."""
    made = []
    for index in range(COUNT):
        true = truth(index, index % 5)
        answer = Answer(true.doneness, 10, "rim", 3, 50, round(true.crust_height_mm) + 1, 5)
        verdict = verdict_of(Findings(answer, 0.9), WHENCE)
        made.append(Judged(true, verdict, verdict))
    return made


def records(labels: list[int], seed: int) -> np.ndarray:  # type: ignore[type-arg]
    """Clips whose brightness tells the label."""
    made = np.zeros(len(labels), record_type(56, 56))
    random = np.random.default_rng(seed)
    made["doneness"] = labels
    level = 25 + 50 * made["doneness"][:, None, None, None, None]
    made["frames"] = level + random.integers(-20, 20, made["frames"].shape)
    made["crust_mm"] = 10 + np.arange(len(labels)) % 5
    return made


def test_a_histogram_learns_colours_and_is_compared(judged: list[Judged]) -> None:
    training, held = records([n % 5 for n in range(100)], 0), records([n % 5 for n in range(COUNT)], 1)
    worst = ShareReport(0.9, 0.8, 0.96, COUNT)
    rows = baselines(judged, training, held, {"edge": ShareReport(0.3, 0.2, 0.4, COUNT), "good edge": worst}, TASK)
    found = {row.name.split(":")[0].split(" of ")[0]: row for row in rows}
    assert found["text only"].doneness.share == pytest.approx(0.2)
    assert found["text only"].beaten
    assert found["colour histogram"].doneness.share == 1.0
    assert not found["colour histogram"].beaten
    assert found["edge"].beaten
    assert not found["good edge"].beaten  # the intervals overlap


def test_a_histogram_counts_pixels() -> None:
    clip = np.zeros(1, record_type(56, 56))
    clip["frames"][:, :, 0, :28] = 255  # the upper half is red
    shares = colour_histogram(clip)[0].square()
    assert shares[0] == pytest.approx(0.5)
    assert shares[5 * 36] == pytest.approx(0.5)
    assert float(shares.sum()) == pytest.approx(1)
    predict = fit_histogram(torch.eye(3), np.array([2, 0, 1]), 3)
    assert predict(torch.eye(3)).tolist() == [2, 0, 1]


def test_errors_are_set_against_the_best_constant(judged: list[Judged]) -> None:
    found = {gain.name: gain for gain in gains(judged, records([0] * 50, 0))}
    crust = found["crust height, mm"]
    assert crust.error == pytest.approx(1.0)
    assert crust.constant_error == pytest.approx(1.2)  # the median of 10 to 14 against these
    assert crust.low < crust.gain < crust.high
    assert crust.gain == pytest.approx(0.2, abs=1e-3)


def test_a_ledger_is_read_without_being_opened_for_writing(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with Ledger(path, {"bench": "bakes", "seed": 3}) as ledger:
        ledger.add("0", {"a": 1})
    before = path.read_bytes()
    assert read_ledger(path) == ({"bench": "bakes", "seed": 3}, {"0": {"a": 1}})
    assert path.read_bytes() == before
    for text in ("", "[]", '{"run": {}}\n{"no": 1}\n'):
        path.write_text(text)
        with pytest.raises(BadInputError, match="no file of answers"):
            read_ledger(path)
    with pytest.raises(BadInputError, match="cannot be read"):
        read_ledger(tmp_path / "none")


def run_folder(folder: Path, judged_seed: int, **plan: object) -> Path:
    folder.mkdir()
    share = ShareReport(0.9, 0.85, 0.94, 200)
    shares = [*[share] * 6, 0.1, share, share]
    numbers = (0, 0.9, 0.01, 0.02, 0.05, 3.5, 0.6, 8, 0.1, 0.2)
    said = BakesReport("rendered", "m", "full", "0", judged_seed, 8, "all", *shares, *numbers)
    (folder / "bakes.summary.json").write_bytes(msgspec.json.encode(said))
    card = {"plan": TrainingPlan(**plan).describe(), "minutes": 60.0, "clips_seen": 100}  # type: ignore[arg-type]
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_the_table_of_runs(tmp_path: Path) -> None:
    on = run_folder(tmp_path / "on", 3000, seed=7)
    off = run_folder(tmp_path / "off", 3000, geometry=False, seed=8)
    text = table([*read_runs(on), *read_runs(off)])
    assert "200 rendered bakes of seed 3000" in text
    assert "| on | on | 2 | 8 | all | 0.2 | 7 | 60.0 | 100 | 0.900 [0.850, 0.940] |" in text
    assert "| off | off |" in text
    with pytest.raises(BadInputError, match="different bakes"):
        table([*read_runs(on), *read_runs(run_folder(tmp_path / "other", 3001))])
    (on / "bakes-even-4.summary.json").write_text((on / "bakes.summary.json").read_text().replace('"all"', '"even"'))
    assert [row["sampling"] for row in read_runs(on)] == ["even", "all"]
    (on / "bakes-even-4.summary.json").write_text("{}")
    with pytest.raises(BadInputError, match="no evaluation of a training run"):
        read_runs(on)
    for path in on.glob("bakes*"):
        path.unlink()
    with pytest.raises(BadInputError, match="cloud eval bakes --model"):
        read_runs(on)
