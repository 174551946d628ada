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

    The first of SHUFFLES orders in which every label is in each part. Frames that are the same to the pixel are put
    into one group before. Raises BadInputError when there are too few groups for that, or only one label.
    """
    present = set(data.labels.tolist())
    if len(present) < 2:
        raise BadInputError(f"{data.source}: all items have one label: there is nothing to learn or to certify")
    groups = _joined_by_copies(data)
    names = np.unique(groups)
    if len(names) >= 3:
        rng = np.random.default_rng(seed)
        tests, held = (max(1, round(len(names) * share)) for share in (TEST_SHARE, HELD_OUT_SHARE))
        for _ in range(SHUFFLES):
            order = rng.permutation(names)
            chosen = (order[tests + held :], order[tests : tests + held], order[:tests])
            parts = [np.flatnonzero(np.isin(groups, part)) for part in chosen]
            if all(set(data.labels[part].tolist()) == present for part in parts):
                return Split(*(data.select(part) for part in parts))
    raise BadInputError(
        f"{data.source}: {len(names)} groups do not give every label to train, held out and test: more are needed"
    )


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
