"""The three parts that a training run needs: rendered by seed, or photographs split by group."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from edge.datasets import LabelledFrames, split_by_group
from edge.learning.frames import FrameSet, FrameStore
from edge.learning.settings import Settings


class Parts(NamedTuple):
    """No item, group or seed is in two of them."""

    train: FrameSet
    held_out: FrameSet  # calibrates the gate
    test: FrameSet


def rendered_parts(store: FrameStore, settings: Settings, stage: Callable[[str, int], Callable[[int], None]]) -> Parts:
    """Bakes of three seeds; `stage` shows the progress of each."""
    return Parts(
        *(
            store.load(seed, bakes, stage(f"frames of seed {seed}", bakes))
            for seed, bakes in (
                (settings.train_seed, settings.train_bakes),
                (settings.held_out_seed, settings.held_out_bakes),
                (settings.test_seed, settings.test_bakes),
            )
        )
    )


def photograph_parts(data: LabelledFrames, seed: int) -> Parts:
    """Photographs split by group with `seed`; each is an item of one frame."""
    return Parts(*(frame_set(part, seed) for part in split_by_group(data, seed)))


def frame_set(data: LabelledFrames, seed: int) -> FrameSet:
    """Photographs as items of one frame; `seed` is the split's."""
    return FrameSet(seed, data.frames[:, None], data.labels, data.source, data.shares, names=data.names)
