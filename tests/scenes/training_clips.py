"""A tiny training plan and made-up clips for it: enough to see a loss curve, without a renderer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cloud.spatial_mllm.processor import PixelRange
from cloud.training.plan import TRAINING_SEEDS, VALIDATION_SEED, Phase, Sizes, TrainingPlan
from cloud.training.records import Record
from cloud.training.store import SHARD_CLIPS, ClipStore, shards
from shared.task import load_task

TASK = load_task("pizza")
PLAN = TrainingPlan(
    sizes=Sizes(16, 1, 1, 16, 1, 1, 1, 24, 1, 1),
    pixels=PixelRange(3_136, 4_704),  # 56x56
    clips=2 * SHARD_CLIPS,
    warmup_steps=4,
    pretrain=0.0,
    phases=(Phase(0.5, 2, 8), Phase(1.0, 4, 4)),
)


def made_up(dtype: np.dtype[np.void], count: int, random: np.random.Generator) -> Record:
    """Clips of noise [count] whose brightness tells the doneness."""
    records = np.zeros(count, dtype)
    label = random.integers(0, 5, count)  # [count]
    records["doneness"], records["bake_index"] = label, (label + 0.5) / 5
    shade = 40 * label[:, None, None, None, None] + random.integers(0, 30, records["frames"].shape)
    records["frames"] = shade
    records["coverage"], records["bake"] = 255, 51 * label[:, None, None, None]
    records["depth"], records["poses"][..., :3] = 0.2, np.eye(3)
    records["intrinsics"] = np.diag((300, 300, 1))
    return records


def fill(cache: Path) -> None:
    """Two shards to learn from and one to validate on."""
    store = ClipStore(cache, PLAN.pixels, TASK)
    random = np.random.default_rng(0)
    for shard in (*shards(*TRAINING_SEEDS, 2), *shards(VALIDATION_SEED, VALIDATION_SEED, 1)):
        np.save(store.folder / shard.name, made_up(store.dtype, SHARD_CLIPS, random))
