"""VGGT's heads for a small checkpoint: what they are held to is what the renderer made, and nothing else learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from training_clips import PLAN, TASK, fill, made_up

from cloud.spatial_mllm import SpatialMLLM
from cloud.spatial_mllm.checkpoint_sizes import dpt_layers
from cloud.spatial_mllm.config import VggtConfig
from cloud.spatial_mllm.vggt.pose import camera_matrices
from cloud.training import spatial_heads
from cloud.training.batches import make_batch
from cloud.training.learner import Learner
from cloud.training.records import cell_points, render_record
from cloud.training.spatial_heads import Scene, Seen, add_heads, errors, look, loss_of, train_heads
from cloud.training.store import SHARD_CLIPS, ClipStore, shards
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


def still_scene() -> Scene:
    """Two frames of 2x3 cells, all of it zeros: depth in metres, points and poses."""
    return Scene(torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 3, 3), torch.zeros(1, 2, 9))


def test_an_error_counts_as_much_as_the_head_is_sure_of_it() -> None:
    scene = still_scene()
    ones = torch.ones_like(scene.depth)
    for sure in (1.0, 2.0, 8.0):
        depth = Seen(scene.depth + 0.03, sure * ones, scene.points, ones, [scene.pose])
        points = Seen(scene.depth, ones, scene.points + torch.tensor([0.0, 0.03, 0.04]), sure * ones, [scene.pose])
        # a centimetre counts one, and each e-fold of confidence pays 0.2
        assert float(loss_of(depth, scene)) == pytest.approx(3 * sure - 0.2 * np.log(sure), rel=1e-5)
        assert float(loss_of(points, scene)) == pytest.approx(5 * sure - 0.2 * np.log(sure), rel=1e-5)


def test_later_iterations_of_the_camera_count_more() -> None:
    scene = still_scene()
    ones, wrong = torch.ones_like(scene.depth), scene.pose.clone()
    wrong[..., 0] = 0.02  # two centimetres: a Huber loss of 1.5, of one of nine numbers

    def loss(*poses: torch.Tensor) -> float:
        return float(loss_of(Seen(scene.depth, ones, scene.points, ones, list(poses)), scene))

    assert loss(wrong) == pytest.approx(1.5 / 9, rel=1e-5)
    assert loss(scene.pose, wrong) == pytest.approx(loss(wrong), rel=1e-5)
    assert loss(wrong, scene.pose) == pytest.approx(0.6 * loss(wrong), rel=1e-5)
    assert loss(wrong, scene.pose, scene.pose) == pytest.approx(0.36 * loss(wrong), rel=1e-5)


def test_errors_are_means_over_all_clips_beside_what_the_training_clips_would_say(
    model: SpatialMLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ClipStore(tmp_path, PLAN.pixels, TASK)
    learnt, *held = shards(1000, 1000, 3)
    records = made_up(store.dtype, SHARD_CLIPS, np.random.default_rng(0))  # [SHARD_CLIPS]
    records["depth"][::2], records["depth"][1::2] = 0.2, 0.3
    np.save(store.folder / learnt.name, records)
    records["depth"] = 0.22
    for shard in held:
        np.save(store.folder / shard.name, records)
    scene = Scene.of(make_batch(records[:1], np.arange(8), None))
    calls: list[int] = []

    def said(_: SpatialMLLM, frames: torch.Tensor) -> Seen:
        far = 1e-3 if len(calls) < 8 else 3e-3  # 8 batches a shard: the second shard is seen worse
        calls.append(len(frames))
        depth, points, pose = (
            value.expand(len(frames), *value.shape[1:]).clone() for value in (scene.depth, scene.points, scene.pose)
        )
        pose[..., :3] += far * torch.tensor([0.0, 6.0, 8.0])
        return Seen(depth - far, depth, points + far * torch.tensor([3.0, 0.0, 4.0]), depth, [pose + 9, pose])

    monkeypatch.setattr(spatial_heads, "look", said)
    found = errors(model, store, held, learnt)
    assert found.clips == sum(calls) == 2 * SHARD_CLIPS
    assert (found.depth_mm, found.points_mm, found.camera_mm) == (2.0, 10.0, 20.0)
    assert found.depth_constant_mm == pytest.approx(30, abs=0.1)  # 0.25 m, the mean, for 0.22 m in float16
    assert found.camera_constant_mm == 0
    assert "depth 2.0 mm (a constant: 30.0)" in str(found)


def test_the_heads_read_the_layers_that_a_loader_takes() -> None:
    assert dpt_layers(24) == VggtConfig().depth_head.layers == (4, 11, 17, 23)
    assert dpt_layers(2) == (0, 0, 1, 1)


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
