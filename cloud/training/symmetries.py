"""The same pizzas seen otherwise: clips mirrored or run backwards, with everything that is known about them.

A clip filmed past a mirror, or of a belt that runs the other way, is a clip of another bakery: where answers depend on
direction, one rendered clip teaches as four. Without it directions were learnt by heart (decision 0140).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cloud.training.records import Record

MAPS = ("frames", "coverage", "burn", "bake", "depth")  # [B, 8, ..., rows, columns]
MIRROR_CAMERA = np.diag([-1.0, 1.0, 1.0]).astype(np.float32)  # the picture's left is its right
MIRROR_WORLD = np.diag([1.0, -1.0, 1.0]).astype(np.float32)  # the belt still runs along x
HALF_TURN = np.diag([-1.0, -1.0, 1.0]).astype(np.float32)  # about the line of sight, or about the world's z
HOURS = np.arange(1, 13)
MIRRORED = (11 - HOURS) % 12  # [12] where `char_by_hour` has each hour's mirror image; hour 1 is at 0
OPPOSITE = (HOURS + 5) % 12  # [12] likewise the hour across


def seen_otherwise(records: Record, random: np.random.Generator) -> Record:
    """`records` [B], which are changed, each mirrored in one of two and run backwards in one of two."""
    mirror, back = random.random((2, len(records))) < 0.5  # [B], [B]
    records[mirror] = mirrored(records[mirror])
    records[back] = backwards(records[back])
    return records


def mirrored(records: Record) -> Record:
    """`records` [B] as a mirror beside the belt shows them: hours count the other way round."""
    out = records.copy()
    for name in MAPS:
        out[name] = records[name][..., ::-1]
    out["poses"] = MIRROR_CAMERA @ records["poses"]  # [B, 8, 3, 4]
    out["poses"][..., :3] = out["poses"][..., :3] @ MIRROR_WORLD
    out["centre"] = records["centre"] @ MIRROR_WORLD
    out["hour"] = _hours(records, MIRRORED)
    out["char_by_hour"] = records["char_by_hour"][:, MIRRORED]
    return out


def backwards(records: Record) -> Record:
    """`records` [B] from the last frame to the first, the camera held upside down so that the belt runs up as before.

    The world's x points along the new travel: what was at 12 o'clock is at 6.
    """
    out = records.copy()
    for name in MAPS:
        out[name] = records[name][:, ::-1, ..., ::-1, ::-1]
    poses = HALF_TURN @ records["poses"][:, ::-1]  # [B, 8, 3, 4]
    poses[..., :3] = poses[..., :3] @ HALF_TURN
    out["poses"] = poses
    out["centre"] = records["centre"] @ HALF_TURN
    out["hour"] = _hours(records, OPPOSITE)
    out["char_by_hour"] = records["char_by_hour"][:, OPPOSITE]
    return out


def _hours(records: Record, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The hours of `records` [B] where `places` [12] puts them, [B]; 0, which is none, stays 0."""
    moved = np.concatenate(([0], places + 1))  # [13]: both maps are their own inverse
    return np.asarray(moved[records["hour"]])
