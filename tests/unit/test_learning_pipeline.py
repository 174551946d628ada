"""The whole way from rendered bakes to a model folder, on a handful of bakes, and the frame cache below it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.gate import load_gate
from edge.learning import frames as frames_module
from edge.learning.commands import run_evaluation, run_training
from edge.learning.evaluation import calibration_error
from edge.learning.frames import FrameStore
from edge.learning.judged import Judged
from edge.learning.model_folder import read_model
from edge.learning.settings import Settings
from shared.bakery import KEY_FRAME, fingerprint, render_bake
from shared.errors import BadInputError
from shared.resize import square_resize
from shared.task import load_task

TINY = Settings(
    train_bakes=6,
    held_out_bakes=4,
    test_bakes=4,
    epochs=2,
    batch=16,
    fine_tune_epochs=1,
    calibration_bakes=2,
    target_selective_error=0.5,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def train(out: Path, cache: Path, *, settings: Settings = TINY, resume: bool = False) -> None:
    run_training(settings, "pizza", out, data=None, resume=resume, cache=cache, processes=1, as_json=True)


def test_a_run_makes_a_model_folder_and_resuming_changes_nothing(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, cache)
    card = json.loads(capsys.readouterr().out)
    assert card == json.loads((tmp_path / "card.json").read_text())
    assert card["evaluation"]["key_frame_accuracy"]["n"] == 4
    assert card["evaluation"]["data"] == "rendered"
    model = read_model(tmp_path)
    assert card["model_bytes"] == len(model.tflite) <= 180 * 1024
    assert card["arena_bytes"] <= 100 * 1024
    assert load_gate(tmp_path / "gate.json", labels=5) == model.gate
    first = (tmp_path / "model.tflite").read_bytes()
    train(tmp_path, cache, resume=True)  # everything is done already
    assert (tmp_path / "model.tflite").read_bytes() == first
    with pytest.raises(BadInputError, match="other settings"):
        train(tmp_path, cache, settings=replace(TINY, learning_rate=0.1), resume=True)


def test_another_input_size_under_levers(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = replace(
        TINY, size_px=32, train_bakes=4, held_out_bakes=2, test_bakes=2, shape="4,6/2", weight_bound=31, pair_zeros=0.5
    )
    train(tmp_path, cache, settings=settings)
    card = json.loads(capsys.readouterr().out)
    assert card["topology"] == {"input_px": 32, "stem": 4, "blocks": [[2, 6]], "labels": 5}
    assert read_model(tmp_path).graph.input_tensor.shape == (32, 32, 3)
    judged = Judged(model=tmp_path, cache=cache)
    run_evaluation(judged, seed=TINY.test_seed, bakes=2, all_frames=False, as_json=True)
    assert json.loads(capsys.readouterr().out)["evaluation"]["bakes"] == 2
    with pytest.raises(BadInputError, match="size_px must be 8 to 224, not 300"):
        train(tmp_path, cache, settings=replace(settings, size_px=300))


def test_frames_come_from_the_cache_the_second_time(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("pizza")
    first = FrameStore(cache, task).load(TINY.test_seed, 2)
    bake = render_bake(TINY.test_seed, 1)
    np.testing.assert_array_equal(first.key_frames[1], square_resize(bake.frames[KEY_FRAME], 48))
    assert first.labels[1] == task.index(bake.truth.doneness)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("rendered again")

    monkeypatch.setattr(frames_module, "iter_bakes", refuse)
    ready: list[int] = []
    again = FrameStore(cache, task).load(TINY.test_seed, 2, ready.append)
    np.testing.assert_array_equal(first.frames, again.frames)
    assert ready == [2]


def test_a_change_of_the_pictures_starts_another_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("pizza")
    original: Callable[[int, int], Any] = fingerprint.render_bake

    def brighter(seed: int, index: int) -> Any:
        bake = original(seed, index)
        return bake._replace(frames=bake.frames | 1)

    before = {path.name for path in (cache / "edge-frames").iterdir()} if (cache / "edge-frames").exists() else set()
    monkeypatch.setattr(fingerprint, "render_bake", brighter)
    monkeypatch.setattr(frames_module, "renderer_fingerprint", fingerprint.renderer_fingerprint.__wrapped__)
    FrameStore(cache, task).load(TINY.test_seed, 1)
    after = {path.name for path in (cache / "edge-frames").iterdir()}
    assert len(after - before) == 1


def test_the_shipped_model_is_evaluated_with_intervals(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged = Judged(cache=cache)
    run_evaluation(judged, seed=3000, bakes=4, all_frames=True, as_json=True)
    report = json.loads(capsys.readouterr().out)["evaluation"]
    assert {"key_frame_accuracy", "mean_of_frames_accuracy", "escalation_rate", "selective_error"} <= set(report)
    for name in ("key_frame_accuracy", "mean_of_frames_accuracy", "escalation_rate"):
        assert 0 <= report[name]["low"] <= report[name]["share"] <= report[name]["high"] <= 1
        assert report[name]["n"] == 4
    run_evaluation(judged, seed=3000, bakes=4, all_frames=True, as_json=False)
    assert "key frame accuracy" in capsys.readouterr().out


def test_a_task_without_a_model_is_named(tmp_path: Path) -> None:
    text = resources.files("shared.tasks").joinpath("pizza.toml").read_text(encoding="utf-8")
    path = tmp_path / "pies.toml"
    path.write_text(text.replace('name = "pizza"', 'name = "pies"'), encoding="utf-8")
    judged = Judged(task=str(path), cache=tmp_path)
    with pytest.raises(BadInputError, match="no model ships for task 'pies'"):
        run_evaluation(judged, seed=3000, bakes=1, all_frames=False, as_json=True)


def test_the_calibration_error_is_the_gap_between_claim_and_share() -> None:
    probability = np.array([0.95] * 10 + [0.55] * 10)
    correct = np.array([True] * 9 + [False] + [True] * 2 + [False] * 8)
    assert calibration_error(probability, correct) == pytest.approx(0.5 * 0.05 + 0.5 * 0.35)
