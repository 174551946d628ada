"""VGGT's heads for a small checkpoint: what they are held to is what the renderer made, and nothing else learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from training_clips import PLAN, TASK, fill

from cloud.spatial_mllm import SpatialMLLM
from cloud.spatial_mllm.vggt.pose import camera_matrices
from cloud.training.batches import make_batch
from cloud.training.learner import Learner
from cloud.training.records import cell_points, render_record
from cloud.training.spatial_heads import Scene, add_heads, errors, look, loss_of, train_heads
from cloud.training.store import ClipStore, shards
from cloud.vocabulary import build_tokenizer
from shared.bakery import FRAME_HEIGHT, FRAME_WIDTH

SHOWN = np.array([1, 4, 6])


@pytest.fixture
def model() -> SpatialMLLM:
    return Learner(PLAN, build_tokenizer(TASK), TASK).model


def test_the_scene_is_the_renderers_in_the_first_cameras_axes() -> None:
    records = render_record(2090, 5, PLAN.pixels, TASK)[None]  # [1]
    scene = Scene.of(make_batch(records, SHOWN, None))
    extrinsics, intrinsics = camera_matrices(scene.pose, FRAME_HEIGHT, FRAME_WIDTH)  # [1, 3, 3, 4], [1, 3, 3, 3]
    whole = np.zeros((8, 4, 4))  # [8, 4, 4] world to camera
    whole[:, :3], whole[:, 3, 3] = records["poses"][0], 1
    for row, place in enumerate(SHOWN):
        relative = whole[place] @ np.linalg.inv(whole[SHOWN[0]])  # [4, 4] first camera to this one
        np.testing.assert_allclose(extrinsics[0, row], relative[:3], atol=1e-5)
    np.testing.assert_allclose(intrinsics[0, 0].diagonal()[:2], records["intrinsics"][0].diagonal()[:2], rtol=1e-5)
    first = whole[SHOWN[0]]
    world = cell_points(records)[0, SHOWN] + records["centre"][0]  # [3, rows, columns, 3]
    np.testing.assert_allclose(scene.points[0], world @ first[:3, :3].T + first[:3, 3], atol=1e-4)


def test_truth_has_no_error_and_anything_else_has(model: SpatialMLLM) -> None:
    batch = make_batch(render_record(2090, 5, PLAN.pixels, TASK)[None], SHOWN, None)
    add_heads(model, 0)
    scene, seen = Scene.of(batch), look(model, batch.frames)
    ones = torch.ones_like(seen.depth_confidence)  # [1, 3, rows, columns]
    exact = type(seen)(scene.depth, ones, scene.points, ones, [scene.pose])
    assert float(loss_of(exact, scene)) == 0
    for name, value in (("depth", scene.depth + 0.01), ("points", scene.points + 0.01), ("poses", [scene.pose + 0.01])):
        assert float(loss_of(type(seen)(**{**vars(exact), name: value}), scene)) > 0, name


def test_only_the_heads_learn_and_the_result_loads_whole(model: SpatialMLLM, tmp_path: Path) -> None:
    fill(tmp_path / "clips")
    store = ClipStore(tmp_path / "clips", PLAN.pixels, TASK)
    there = store.ready(shards(1000, 1999, 1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    losses: list[float] = []
    taken = train_heads(
        model, store, there, minutes=1, seed=0, steps=6, watch=lambda done, step, loss: losses.append(loss)
    )
    assert taken == len(losses) == 6
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert set(after) > set(before)
    found = errors(model, store, there, there[0])
    assert found.clips == 64
    model.save_folder(tmp_path / "whole")
    again = SpatialMLLM.from_folder(tmp_path / "whole")
    assert again.config == model.config
    frames = torch.rand(1, 2, 3, 56, 84, generator=torch.Generator().manual_seed(0))  # [B, T, 3, h, w]
    with torch.inference_mode():
        assert torch.equal(look(again, frames).points, look(model, frames).points)


def test_equal_seeds_give_equal_heads(model: SpatialMLLM) -> None:
    states = []
    for _ in range(2):
        heads = add_heads(model, 3)
        states.append(
            {f"{place}.{name}": v for place, head in enumerate(heads) for name, v in head.state_dict().items()}
        )
    assert all(torch.equal(states[1][name], value) for name, value in states[0].items())
