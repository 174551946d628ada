"""Splits by group: what belongs together is trained on, held out or tested on together."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.datasets.labelled import LabelledFrames
from shared.errors import BadInputError

TEST_SHARE, HELD_OUT_SHARE = 0.25, 0.15
SHUFFLES = 100


class Split(NamedTuple):
    """Three parts without a common group or an identical frame."""

    train: LabelledFrames
    held_out: LabelledFrames  # calibrates gate and temperature
    test: LabelledFrames


def split_by_group(data: LabelledFrames, seed: int) -> Split:
    """A random split of whole groups: about 60 % train, 15 % held out, 25 % test.

    Of SHUFFLES random orders the one whose parts resemble each other most in their shares of the labels: groups differ,
    and a part without most of the burnt ones would neither teach nor prove anything. Nothing but labels is looked at.
    Frames that are the same to the pixel are put into one group before. Raises BadInputError when there are too few
    groups to have every label in each part, or only one label.
    """
    present = np.unique(data.labels)
    if len(present) < 2:
        raise BadInputError(f"{data.source}: all items have one label: there is nothing to learn or to certify")
    groups = _joined_by_copies(data)
    names, numbers = np.unique(groups, return_inverse=True)
    held = np.zeros((len(names), len(present)), np.int64)  # [G, labels]: items
    np.add.at(held, (numbers, np.searchsorted(present, data.labels)), 1)
    whole = held.sum(axis=0) / held.sum()  # [labels]
    rng = np.random.default_rng(seed)
    tests, kept_back = (max(1, round(len(names) * share)) for share in (TEST_SHARE, HELD_OUT_SHARE))
    best, best_gap = None, np.inf
    for _ in range(SHUFFLES if len(names) >= 3 else 0):
        order = rng.permutation(len(names))
        parts = (order[tests + kept_back :], order[tests : tests + kept_back], order[:tests])
        items = np.stack([held[part].sum(axis=0) for part in parts])  # [3, labels]
        gap = float(np.abs(items / items.sum(axis=1, keepdims=True) - whole).max())
        if (items > 0).all() and gap < best_gap:
            best, best_gap = parts, gap
    if best is None:
        raise BadInputError(
            f"{data.source}: {len(names)} groups do not give every label to train, held out and test: more are needed"
        )
    return Split(*(data.select(np.flatnonzero(np.isin(numbers, part))) for part in best))


def duplicates(data: LabelledFrames) -> list[NDArray[np.int64]]:
    """Items that are the same to the pixel as the classifier sees them: one array of indices a set of copies."""
    seen: dict[bytes, list[int]] = {}
    for index, frame in enumerate(data.frames):
        seen.setdefault(hashlib.sha256(frame.tobytes()).digest(), []).append(index)
    return [np.array(copies) for copies in seen.values() if len(copies) > 1]


def _joined_by_copies(data: LabelledFrames) -> NDArray[np.int64]:
    """Groups int64 [N], those that share a copy of a frame made one."""
    groups = data.groups.copy()
    for copies in duplicates(data):
        joined = groups[copies].min()
        groups[np.isin(groups, groups[copies])] = joined
    return groups
