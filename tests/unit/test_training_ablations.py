"""What an ablation changes in a training run, and what geometry pre-training asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_clips import PLAN, TASK, made_up

from cloud.training.batches import Batch, choose_frames, make_batch
from cloud.training.learner import Learner
from cloud.training.options import SmallOptions
from cloud.training.plan import TrainingPlan
from cloud.training.records import cell_flow, cell_points, record_type, render_record
from cloud.vocabulary import build_tokenizer
from shared.errors import BadInputError

torch.set_num_threads(1)
TOKENIZER = build_tokenizer(TASK)


@pytest.fixture(scope="module")
def batch() -> Batch:
    records = made_up(record_type(56, 56), 4, np.random.default_rng(0))  # [4]
    records["hour"], records["char_by_hour"][:, 2] = 3, 0.1
    return make_batch(records, np.array([0, 3, 5, 7]), None)


def learner(**changes: object) -> Learner:
    return Learner(replace(PLAN, **changes), TOKENIZER, TASK)  # type: ignore[arg-type]


def test_while_pre_training_the_spatial_encoder_alone_learns(batch: Batch) -> None:
    made = learner(pretrain=0.5)
    made.begin(batch)
    before = {name: p.detach().clone() for name, p in made.model.named_parameters()}
    losses = made.step(batch, 5, 0.1)
    assert set(losses) == {"loss", "spatial_maps", "depth", "points", "flow", "pose"}
    changed = {name for name, p in made.model.named_parameters() if not torch.equal(before[name], p)}
    assert changed
    assert all(name.startswith("spatial_encoder.") for name in changed)
    losses = made.step(batch, 6, 0.6)
    assert {"answer", "doneness", "fused_points", "char_direction", "belt_direction", "flow"} <= set(losses)


def test_without_geometry_there_is_no_spatial_encoder_and_no_loss_of_it(batch: Batch) -> None:
    made = learner(geometry=False, pretrain=0.5)
    made.begin(batch)
    assert not any(name.startswith(("spatial_encoder", "connector")) for name, _ in made.model.named_parameters())
    losses = made.step(batch, 0, 0.1)
    assert {"flow", "pose", "points", "depth", "spatial_maps"}.isdisjoint(losses)
    assert "fused_maps" in losses


def test_a_run_may_begin_with_a_checkpoint_of_equal_sizes(batch: Batch, tmp_path: Path) -> None:
    first = learner(seed=3)
    first.model.save_folder(tmp_path)
    second = learner(start=str(tmp_path))
    second.begin(batch)
    for (name, one), (_, other) in zip(first.model.named_parameters(), second.model.named_parameters(), strict=True):
        assert torch.equal(one, other), name
    with pytest.raises(BadInputError, match="other sizes"):
        learner(start=str(tmp_path), sizes=replace(PLAN.sizes, spatial_depth=2))


def test_a_lone_frame_says_nothing_of_directions(batch: Batch) -> None:
    assert choose_frames(1, np.random.default_rng(0)).tolist() == choose_frames(1, np.random.default_rng(0)).tolist()
    shown = choose_frames(1, np.random.default_rng(0))
    assert len(set(shown.tolist())) == 1
    made = learner()
    alone = make_batch(batch.records, shown, None)
    made.begin(alone)
    losses = made.step(alone, 0, 0.0)
    assert losses["char_direction"] == losses["belt_direction"] == 0


def test_the_options_make_the_plan() -> None:
    plan = SmallOptions(geometry=False, shown=1, pairs=2, pretrain=0.25, start="x").plan(128, 11)
    assert (plan.geometry, plan.frames, plan.sizes.spatial_depth, plan.pretrain) == (False, 1, 2, 0.25)
    assert (plan.start, plan.clips, plan.seed) == ("x", 128, 11)
    assert SmallOptions().plan(8192, None) == TrainingPlan()
    assert SmallOptions(start="x").plan(8192, None).pretrain == 0


def test_flow_is_where_the_first_frame_shows_the_same_point() -> None:
    """Against the points themselves: a cell's point in the pizza's frame, projected into the first frame."""
    record = render_record(2090, 0, TrainingPlan().pixels, TASK)[None]  # [1]
    chosen = np.array([1, 4, 6])
    flow = cell_flow(record, chosen)  # [1, 3, rows, columns, 2]
    assert np.abs(flow[:, 0]).max() == 0
    rows, columns = flow.shape[2:4]
    points = cell_points(record)[0, chosen] + record["centre"][0]  # [3, rows, columns, 3] in the world
    pose = record["poses"][0, chosen[0]]  # [3, 4]
    seen = points @ pose[:, :3].T + pose[:, 3]  # [3, rows, columns, 3]
    focal, middle = record["intrinsics"][0, 0, 0], record["intrinsics"][0, :2, 2]
    in_first = focal * seen[..., :2] / seen[..., 2:] + middle  # [3, rows, columns, 2] pixels
    y, x = np.mgrid[:rows, :columns]
    here = np.stack(((x + 0.5) * 320 / columns - 0.5, (y + 0.5) * 240 / rows - 0.5), axis=-1)  # [rows, columns, 2]
    assert np.abs(320 * flow[0] - (here - in_first)).max() < 0.2
