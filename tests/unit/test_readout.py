"""Engines without a language model: their tokens, their heads, and the same verdicts as of any engine."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cloud.engine import load_engine
from cloud.loading import SHIPPED, checkpoint_folder, load_checkpoint
from cloud.model_choice import EngineChoice
from cloud.readout.engine import head_path, load_base
from cloud.readout.head import Head, Readings, findings_of, save_head
from cloud.readout.tokens import LIGHT_WIDTH, EncoderTokens, LightTokens, movement
from cloud.readout.training import train_head
from cloud.spatial_mllm.processor import PixelRange
from cloud.taken import Taken
from cloud.training.records import PLACES
from cloud.training.store import SHARD_CLIPS, ClipStore, shards
from cloud.training.targets import char_direction
from shared.errors import BadInputError, MissingPartError
from shared.task import load_task

torch.set_num_threads(1)
TASK = load_task("pizza")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped checkpoint with heads of random weights."""
    folder = tmp_path_factory.mktemp("checkpoint")
    shutil.copytree(checkpoint_folder(SHIPPED), folder, dirs_exist_ok=True)
    for kind in ("features", "light"):
        base = load_base(folder, kind, "cpu", "float32", 1)
        torch.manual_seed(0)
        save_head(head_path(folder, kind), Head(base.source.width, 5), kind, base.belongs, TASK.labels, {})
    return folder


def clips(*counts: int) -> list[Taken]:
    random = np.random.default_rng(0)
    return [
        Taken([random.integers(0, 256, (120, 160, 3), dtype=np.uint8) for _ in range(count)], range(count))
        for count in counts
    ]


@pytest.mark.parametrize("kind", ["features", "light"])
def test_a_batch_says_what_each_clip_alone_would(folder: Path, kind: str) -> None:
    engine = load_engine(folder, engine=kind)
    together = engine.verdicts(clips(8, 1, 12), TASK)
    for clip, verdict in zip(clips(8, 1, 12), together, strict=True):
        alone = engine.verdict(clip.frames, clip.times_s, TASK)
        assert (alone.doneness, alone.char, alone.relief) == (verdict.doneness, verdict.char, verdict.relief)
        assert alone.confidence == pytest.approx(verdict.confidence, abs=1e-5)
        assert verdict.provenance is not None
        assert verdict.provenance.engine == kind
        assert verdict.provenance.geometry == (kind == "features")
    assert together[2].provenance is not None
    assert len(together[2].provenance.frames_used) == TASK.escalation.frames
    with pytest.raises(BadInputError, match="at least one frame"):
        engine.verdict([], [], TASK)


def test_a_head_belongs_to_its_encoder(folder: Path, tmp_path: Path) -> None:
    for kind in ("features", "light"):
        lone = tmp_path / kind
        shutil.copytree(folder, lone)
        head_path(lone, kind).unlink()
        with pytest.raises(MissingPartError, match=f"cloud train --engine {kind}"):
            load_engine(lone, engine=kind)
    other = tmp_path / "features"
    shutil.copy(head_path(folder, "features"), head_path(other, "features"))
    weights = other / "model.safetensors"
    state = load_file(weights)

    def change(name: str) -> None:
        save_file(state | {name: state[name] + 1}, tmp_path / "changed")  # the old file may still be mapped
        (tmp_path / "changed").replace(weights)

    change("model.norm.weight")
    load_engine(other, engine="features")  # what the head does not look at may change
    change("spatial_encoder.vggt_model.aggregator.camera_token")
    with pytest.raises(MissingPartError, match="another encoder"):
        load_engine(other, engine="features")
    shutil.copy(head_path(folder, "features"), head_path(other, "light"))
    with pytest.raises(BadInputError, match="no head of engine light"):
        load_engine(other, engine="light")
    head_path(other, "light").write_bytes(b"noise")
    with pytest.raises(BadInputError, match="not a head"):
        load_engine(other, engine="light")


def test_there_is_nobody_to_ask(folder: Path) -> None:
    with pytest.raises(BadInputError, match="no language model"):
        EngineChoice(str(folder), engine="light").chat()


def test_readings_become_answers_on_the_clock_face() -> None:
    angles = torch.tensor([0.0, 90.0, 179.0, -90.0, 14.0, 16.0]) / 180 * math.pi
    n = len(angles)
    place = torch.zeros(n, 3)
    place[:, PLACES.index("rim")] = 1
    readings = Readings(
        torch.eye(5)[torch.arange(n) % 5] * 9,
        place,
        torch.stack((angles.sin(), angles.cos()), dim=1),
        torch.ones(n),
        torch.full((n, 4), 0.5),
    )
    found = findings_of(readings, TASK)
    assert [one.answer.hour for one in found] == [12, 3, 6, 9, 12, 1]
    assert [one.direction_deg for one in found] == pytest.approx([0, 90, 179, 270, 14, 16], abs=1e-3)
    assert found[1].answer.doneness == TASK.labels[1]
    assert found[0].answer.burnt_percent == 50
    unknown = findings_of(Readings(**{**vars(readings), "known": -torch.ones(n)}), TASK)
    assert all(one.answer.hour is None and one.direction_deg is None for one in unknown)


def test_char_lies_where_most_of_it_lies() -> None:
    by_hour = np.zeros((4, 12), np.float32)
    by_hour[0, 2] = 0.1  # at 3
    by_hour[1, [10, 0]] = 0.2  # at 11 and 1
    by_hour[2] = 0.01  # all round
    directions = char_direction(by_hour)
    assert directions[0] == pytest.approx([1, 0], abs=1e-6)
    assert directions[1][0] == pytest.approx(0, abs=1e-6)
    assert directions[1][1] > 0.8
    assert np.abs(directions[2:]).max() < 1e-6


def test_movement_is_found_and_summed_up() -> None:
    random = np.random.default_rng(3)
    scene = np.kron(random.random((60, 60)), np.ones((4, 4))).astype(np.float32)  # [240, 240], blocks of 4
    shown = [
        scene[20 + 4 * k : 132 + 4 * k, 30 + 6 * k : 170 + 6 * k] for k in range(4)
    ]  # the view goes down and right
    moved = movement(torch.from_numpy(np.stack(shown))[None])[0]  # [4, 2]
    expected = torch.tensor([[-4.0 * k / 56, -6.0 * k / 70] for k in range(4)])
    assert torch.allclose(moved, expected, atol=1e-5)


def test_tokens_do_not_depend_on_the_rest_of_the_batch() -> None:
    frames = torch.rand(3, 4, 3, 112, 140, generator=torch.Generator().manual_seed(0))
    for source in (LightTokens(), EncoderTokens(load_checkpoint(SHIPPED).model)):
        tokens = source.tokens(frames)
        assert tokens.shape == (3, 4 * 80, source.width)
        assert torch.allclose(tokens[1:2], source.tokens(frames[1:2]), atol=1e-4)
    assert LightTokens().tokens(frames).shape[-1] == LIGHT_WIDTH


def test_a_head_learns_from_clips(tmp_path: Path) -> None:
    store = ClipStore(tmp_path, PixelRange(3_136, 4_704), TASK)  # 56x56
    random = np.random.default_rng(0)
    for shard in shards(1000, 1000, 2):
        records = np.zeros(SHARD_CLIPS, store.dtype)
        records["doneness"] = random.integers(0, 5, SHARD_CLIPS)
        records["bake_index"] = (records["doneness"] + 0.5) / 5
        level = 40 + 40 * records["doneness"][:, None, None, None, None]
        records["frames"] = level + random.integers(0, 16, records["frames"].shape)
        np.save(store.folder / shard.name, records)
    first, second = ([shard] for shard in shards(1000, 1000, 2))
    told: list[float] = []
    head, found, steps = train_head(
        LightTokens(), store, first, second, 5, minutes=1, seed=0, watch=lambda now: told.append(now.loss), steps=80
    )
    assert steps == 80
    assert found.share > 0.8
    assert told[-2] < 0.5 * told[0]
    assert sum(parameter.nbytes for parameter in head.parameters()) < 1e6
