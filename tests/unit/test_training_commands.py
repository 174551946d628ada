"""`crustwatch cloud train`: what is refused is refused before the work, and a head for one folder works in another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cloud_command import crustwatch
from training_clips import PLAN, TASK, fill

from cloud.loading import sha256_of_tensors
from cloud.readout import commands as readout_commands
from cloud.readout.engine import ENCODER_PREFIX, head_path, load_readout
from cloud.readout.head import Head, save_head
from cloud.spatial_mllm import SpatialMLLM
from cloud.taken import Taken
from cloud.training import head_commands
from cloud.training.export import export_checkpoint
from cloud.training.learner import Learner
from cloud.training.options import SmallOptions
from cloud.training.plan import TrainingPlan
from cloud.training.store import ClipStore, Renderer, training_shards, validation_shards
from cloud.vocabulary import build_tokenizer
from shared.errors import BadInputError, CrustwatchError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--engine", "light", "--heads"], "--engine and --heads are two trainings: run one after the other"),
        (["--engine", "light", "--resume"], "--resume goes not with --engine"),
        (["--heads", "--resume"], "--resume goes not with --heads"),
        (["--heads", "--no-geometry", "--lora"], "--no-geometry, --lora go not with --heads"),
        (["--model", "pizza-small", "--data", "bakes", "--minutes", "3"], "--minutes goes not with --model"),
        (["--data", "rooms.jsonl"], "--data goes not with a training from nothing: name what to tune with --model"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(options: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError) as refused:
        crustwatch("train", "--out", tmp_path / "out", *options)
    assert str(refused.value) == said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--engine", "light"], ["--heads"], ["--model", "pizza-small", "--data", "bakes"]])
@pytest.mark.parametrize("where", ["file", "file/below"])
def test_an_out_that_cannot_be_written_is_refused_before_the_work(
    options: list[str], where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(head_commands, "render_missing", None)
    monkeypatch.setattr(readout_commands, "render_missing", None)
    cache = [] if "--model" in options else ["--cache", tmp_path / "clips"]
    with pytest.raises(BadInputError, match=f"{where}: (is a file|cannot be written)"):
        crustwatch("train", "--out", tmp_path / where, *options, *cache)


def test_clips_that_are_no_whole_shards_are_refused(tmp_path: Path) -> None:
    for options in (["--engine", "light"], ["--heads"], []):
        with pytest.raises(BadInputError, match="--clips must be a multiple of 64, not 65"):
            crustwatch("train", "--out", tmp_path / "out", "--clips", 65, *options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(BadInputError, match="multiple of 64, not 0"):
        training_shards(0)


def test_spatial_heads_for_another_folder_take_the_engines_heads_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "clips")
    monkeypatch.setattr(head_commands, "validation_shards", lambda: validation_shards(1))
    tokenizer = build_tokenizer(TASK)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    export_checkpoint(first, Learner(PLAN, tokenizer, TASK), tokenizer, {"steps": 0})
    width = SpatialMLLM.from_folder(first).config.vggt.output_width
    belongs = sha256_of_tensors(first, ENCODER_PREFIX)
    torch.manual_seed(0)
    save_head(head_path(first, "features"), Head(width, len(TASK.labels)), "features", belongs, TASK.labels, {})

    options = ("--clips", 64, "--steps", 1, "--cache", tmp_path / "clips")
    crustwatch("train", "--heads", "--model", first, "--out", second, *options)

    assert SpatialMLLM.from_folder(second).config.vggt.point_head is not None
    frames = list(np.random.default_rng(0).integers(0, 256, (8, 240, 320, 3), np.uint8))
    clip = Taken(frames, [0.1 * k for k in range(8)])
    verdicts = [load_readout(folder, "features").verdicts([clip], TASK)[0] for folder in (first, second)]
    assert [verdict.provenance.model for verdict in verdicts] == ["first", "second"]
    assert verdicts[0].confidence == verdicts[1].confidence


def test_without_options_the_plan_is_the_recipe() -> None:
    assert SmallOptions().plan(8192, None) == TrainingPlan()


@pytest.mark.parametrize(("most", "size"), [(16_800, (112, 140)), (33_600, (140, 196))])
def test_frames_are_as_large_as_asked(most: int, size: tuple[int, int], tmp_path: Path) -> None:
    plan = SmallOptions(pixels=most).plan(64, None)
    assert ClipStore(tmp_path, plan.pixels, TASK).dtype["frames"].shape[-2:] == size


def test_a_killed_renderer_is_one_line(tmp_path: Path) -> None:
    renderer = Renderer(ClipStore(tmp_path, PLAN.pixels, TASK), training_shards(128), 1)
    try:
        for process in (renderer._pool._processes or {}).values():
            process.kill()
        with pytest.raises(CrustwatchError, match="a rendering process was killed") as found:
            list(renderer.wait())
        assert "\n" not in str(found.value)
        with pytest.raises(CrustwatchError, match="a rendering process was killed"):
            renderer.check()
    finally:
        renderer.close()
