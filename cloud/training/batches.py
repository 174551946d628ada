"""Batches: which clips and frames each step sees, as tensors, the same for the same plan and step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cloud.training.records import Record, cell_flow, cell_points
from cloud.training.store import SHARD_CLIPS, ClipStore, Shard
from shared.bakery import FRAME_COUNT

GAIN_COLOUR = 0.03  # standard deviation of the white balance's error that is added, per channel
GAIN_LIGHT = 0.08  # likewise of the exposure's
STILL_SHARE = 0.08  # of the batches show one doubled frame: photographs


@dataclass(frozen=True)
class Batch:
    """One step's clips. B clips of T frames of h x w pixels; maps of T x H2 x W2 cells."""

    frames: Tensor  # float32 [B, T, 3, h, w] in 0..1
    records: Record  # [B]
    chosen: NDArray[np.int64]  # [T] frames of the record that are shown

    def maps(self, name: str) -> Tensor:
        """A dense map of the shown frames as float32 [B, T, H2, W2] (or [..., 3]); bytes become 0..1."""
        values = self.records[name][:, self.chosen]  # [B, T, H2, W2]
        tensor = torch.from_numpy(np.ascontiguousarray(values)).float()
        return tensor / 255 if values.dtype == np.uint8 else tensor

    def points(self) -> Tensor:
        """Where the shown cells lie in the pizza's frame, float32 [B, T, H2, W2, 3] metres."""
        return torch.from_numpy(np.ascontiguousarray(cell_points(self.records)[:, self.chosen]))

    def flow(self) -> Tensor:
        """How far each shown cell has moved since the first shown frame, float32 [B, T, H2, W2, 2] frame widths."""
        return torch.from_numpy(cell_flow(self.records, self.chosen))


def choose_frames(count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """`count` of the eight frames in order, evenly spread with a random phase; now and then one frame doubled."""
    if random.random() < STILL_SHARE or count == 1:
        return np.repeat(random.integers(FRAME_COUNT), 2)  # [2]
    edges = np.linspace(0, FRAME_COUNT, count + 1).astype(np.int64)  # [count + 1]
    return np.array([random.integers(low, high) for low, high in pairwise(edges)])  # [count]


def make_batch(records: Record, chosen: NDArray[np.int64], random: np.random.Generator | None) -> Batch:
    """`records` [B] as a batch; with `random`, light and white balance err a little, as they do at work."""
    frames = torch.from_numpy(np.ascontiguousarray(records["frames"][:, chosen])).float().div_(255)  # [B, T, 3, h, w]
    if random is not None:
        colour = random.normal(1, GAIN_COLOUR, (len(records), 1, 3, 1, 1))
        light = random.normal(1, GAIN_LIGHT, (len(records), 1, 1, 1, 1))
        gains = torch.from_numpy(np.clip(colour * light, 0.7, 1.3)).float()  # [B, 1, 3, 1, 1]
        frames = frames.mul_(gains).clamp_(0, 1)
    return Batch(frames, records, chosen)


class RoundSampler:
    """Goes through the shards in rounds: a round shuffles the clips of all shards that are there when it begins.

    Which shards a round has is part of `state`, so that a resumed run sees the same batches in the same order even
    though more shards have been rendered meanwhile.
    """

    def __init__(self, store: ClipStore, wanted: Sequence[Shard], seed: int) -> None:
        self._store = store
        self._wanted = wanted
        self._seed = seed
        self._open: dict[int, Record] = {}
        self.round = -1
        self.position = 0  # clips given in this round
        self.count = 0  # shards in this round: always the first ones
        self._order: NDArray[np.int64] = np.empty(0, np.int64)  # [clips of the round]

    @property
    def state(self) -> dict[str, int]:
        """What `restore` needs."""
        return {"round": self.round, "position": self.position, "count": self.count}

    def restore(self, state: dict[str, int]) -> None:
        """Go on where `state` was taken."""
        self.round, self.position, self.count = state["round"], state["position"], state["count"]
        self._shuffle()

    def next(self, batch_clips: int) -> Record:
        """Records [batch_clips] of the next batch. The first shard must be on disk."""
        if self.position + batch_clips > len(self._order):
            self.round, self.position = self.round + 1, 0
            self.count = max(self.count, self._leading())
            self._shuffle()
        clips = np.sort(self._order[self.position : self.position + batch_clips])  # [batch_clips]: pages in order
        self.position += batch_clips
        return np.stack([self._shard(clip // SHARD_CLIPS)[clip % SHARD_CLIPS] for clip in clips])

    def _leading(self) -> int:
        """Shards on disk without a gap from the first."""
        there = {shard.number for shard in self._store.ready(self._wanted)}
        return next((n for n in range(len(self._wanted)) if n not in there), len(self._wanted))

    def _shuffle(self) -> None:
        random = np.random.default_rng((self._seed, self.round, self.count))
        self._order = random.permutation(self.count * SHARD_CLIPS)

    def _shard(self, number: int) -> Record:
        if number not in self._open:
            self._open[number] = self._store.open(self._wanted[number])
        return self._open[number]
