"""Rendered clips as training data: truth, maps, points, shards on disk, and the order they are seen in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cloud.spatial_mllm.processor import PixelRange, Processor
from cloud.training import store as store_module
from cloud.training.batches import RoundSampler, choose_frames, make_batch
from cloud.training.forward import patches_of
from cloud.training.plan import Sizes, spatial_config
from cloud.training.records import PLACES, Record, cell_means, cell_points, render_record
from cloud.training.store import SHARD_CLIPS, ClipStore, Renderer, Shard, shards
from cloud.training.targets import TargetTable, answer_for, bake_histogram
from cloud.vocabulary import build_tokenizer
from shared.bakery import render_bake
from shared.errors import BadInputError, CrustwatchError
from shared.task import load_task

TASK = load_task("pizza")
PIXELS = PixelRange(3_136, 5_500)  # 4:3 frames become 84x56
SEED, INDEX = 2090, 5


@pytest.fixture(scope="module")
def record() -> Record:
    return render_record(SEED, INDEX, PIXELS, TASK)


def test_a_record_holds_the_truth(record: Record) -> None:
    truth = render_bake(SEED, INDEX).truth
    assert TASK.labels[int(record["doneness"])] == truth.doneness
    assert PLACES[int(record["char"])] == truth.char_where
    assert (int(record["hour"]) or None) == truth.char_sector
    for name in ("bake_index", "burnt_fraction", "evenness"):
        assert float(record[name]) == pytest.approx(getattr(truth, name), abs=1e-6)
    assert record["frames"].shape == (8, 3, 56, 84)
    assert record["bake"].shape == (8, 8, 12)


def test_rendering_is_deterministic(record: Record) -> None:
    assert record.tobytes() == render_record(SEED, INDEX, PIXELS, TASK).tobytes()


def test_cell_means_weigh_and_empty_cells_are_zero() -> None:
    values = np.arange(24, dtype=np.float32).reshape(1, 4, 6)  # [1, 4, 6]
    weights = np.ones_like(values)
    weights[0, :2, :3] = 0
    weights[0, 0, 3:] = 0  # of the upper right cell only the second row counts
    means = cell_means(values, weights, 2, 2)  # [1, 2, 2]
    assert means.tolist() == [[[0.0, 10.0], [16.0, 19.0]]]


def test_cell_points_are_the_renderers_points(record: Record) -> None:
    bake = render_bake(SEED, INDEX)
    seen = bake.maps.coverage.astype(np.float32)  # [8, 240, 320]
    exact = np.stack([cell_means(bake.points()[..., axis], seen, 8, 12) for axis in range(3)], axis=-1)
    inside = record["coverage"] == 255  # [8, 8, 12]
    assert inside.sum() > 50
    assert (
        np.abs(cell_points(record[None])[0] - exact)[inside].max() < 0.002
    )  # metres; depth is stored in half precision


def test_the_answer_is_the_peak_of_its_targets(record: Record) -> None:
    tokenizer = build_tokenizer(TASK)
    table = TargetTable(tokenizer, TASK)
    records = np.stack([record, record])  # [2]
    records[1]["char"], records[1]["hour"], records[1]["burnt_fraction"] = PLACES.index("rim"), 12, 0.4
    records[1]["crust_mm"], records[1]["evenness"] = 400.0, 0.0  # beyond the scale, and at its end
    spread = table.distributions(records)  # [2, 16, V]
    assert spread.sum(-1) == pytest.approx(np.ones((2, 16)), abs=1e-5)
    for row in range(2):
        ids = table.ids(records)[row]
        assert tokenizer.decode(ids[:-1].tolist(), skip_special_tokens=False) == answer_for(records[row], TASK).text()
    near = tokenizer.token_to_id("1")  # hours lie on a circle: 1 is next to 12
    assert spread[1, 7, near] > 0 < spread[1, 7, tokenizer.token_to_id("11")]
    assert spread[1, 7, near] > spread[1, 7, tokenizer.token_to_id("6")]


def test_histogram_targets_have_the_mean_they_stand_for() -> None:
    index = np.array([0.31, 0.77], np.float32)
    target = bake_histogram(index, 50, 0.02)  # [2, 50]
    assert target @ ((np.arange(50) + 0.5) / 50) == pytest.approx(index, abs=1e-3)


def test_batches_show_the_model_what_the_processor_would(record: Record) -> None:
    tokenizer = build_tokenizer(TASK)
    processor = Processor(spatial_config(Sizes(), tokenizer), PIXELS)
    batch = make_batch(record[None], np.arange(8), None)
    frames = [frame.transpose(1, 2, 0) for frame in record["frames"]]  # 8 x uint8 [56, 84, 3]
    clip = processor.video(frames)
    assert clip.tchw.equal(batch.frames[0])
    assert np.allclose(patches_of(batch.frames, 14, 2), clip.patches, atol=1e-6)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_chosen_frames_are_in_order_or_one_still(count: int) -> None:
    random = np.random.default_rng(0)
    draws = [choose_frames(count, random) for _ in range(400)]
    stills = [chosen for chosen in draws if len(chosen) == 2 and chosen[0] == chosen[1]]
    assert 10 <= len(stills) <= 60  # 8 %
    for chosen in draws:
        assert len(chosen) in (2, count)
        assert 0 <= chosen.min() <= chosen.max() <= 7
        assert (np.diff(chosen) >= (0 if len(chosen) == 2 else 1)).all()


def test_light_errs_only_when_asked(record: Record) -> None:
    plain = make_batch(record[None], np.arange(2), None)
    again = make_batch(record[None], np.arange(2), np.random.default_rng(1))
    assert not plain.frames.equal(again.frames)
    assert 0 <= float(again.frames.min()) <= float(again.frames.max()) <= 1


def fill(store: ClipStore, shard: Shard) -> None:
    """Put a shard in place whose records are only numbered."""
    records = np.zeros(SHARD_CLIPS, store.dtype)
    records["seed"], records["index"] = shard.seed, shard.first + np.arange(SHARD_CLIPS)
    np.save(store.folder / shard.name, records)


def test_shards_cover_seeds_without_repeats() -> None:
    made = shards(1000, 1001, 8)
    assert [(shard.seed, shard.first) for shard in made[3:6]] == [(1000, 192), (1001, 0), (1001, 64)]
    assert len({shard.name for shard in made}) == 8
    with pytest.raises(BadInputError, match="at most 512"):
        shards(1000, 1001, 9)


def test_a_round_shows_every_clip_once_and_resumes_though_more_arrived(tmp_path: Path) -> None:
    store = ClipStore(tmp_path, PIXELS, TASK)
    wanted = shards(1000, 1999, 3)
    fill(store, wanted[0])
    fill(store, wanted[2])  # not yet usable: the second is missing
    sampler = RoundSampler(store, wanted, seed=3)

    def take(from_: RoundSampler) -> list[int]:
        return [int(record["index"]) for record in from_.next(16)]

    first = [take(sampler) for _ in range(2)]
    state = sampler.state
    rest = [take(sampler) for _ in range(2)]
    assert sorted(index for batch in first + rest for index in batch) == list(range(64))

    fill(store, wanted[1])
    resumed = RoundSampler(store, wanted, seed=3)
    resumed.restore(state)
    assert [take(resumed) for _ in range(2)] == rest
    assert sorted(index for _ in range(12) for index in take(resumed)) == list(range(192))


def test_a_shard_of_another_version_is_refused(tmp_path: Path) -> None:
    store = ClipStore(tmp_path, PIXELS, TASK)
    (shard,) = shards(1000, 1000, 1)
    np.save(store.folder / shard.name, np.zeros(SHARD_CLIPS, np.uint8))
    with pytest.raises(CrustwatchError, match="another version"):
        store.open(shard)


def test_a_full_disk_is_said_before_rendering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ClipStore(tmp_path, PIXELS, TASK)
    usage = type("Usage", (), {"free": 1_000})
    monkeypatch.setattr(store_module, "disk_usage", lambda path: usage)
    with pytest.raises(BadInputError, match="GB are free"):
        Renderer(store, shards(1000, 1000, 1), 1)


def test_rendering_writes_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SHARD_CLIPS", 2)
    store = ClipStore(tmp_path, PIXELS, TASK)
    shard = Shard(0, SEED, INDEX)
    path = store.write(shard)
    assert [int(index) for index in store.open(shard)["index"]] == [INDEX, INDEX + 1]
    before = path.stat().st_mtime_ns
    gone, living = (
        store.folder / f"seed.npy.{pid}.partial" for pid in (2**22 + 1, os.getpid())
    )  # beyond the largest pid
    gone.write_bytes(b"x")
    living.write_bytes(b"x")
    renderer = Renderer(store, (shard,), 1)
    list(renderer.wait())
    renderer.close()
    assert path.stat().st_mtime_ns == before
    assert list(store.folder.glob("*.partial")) == [living]
