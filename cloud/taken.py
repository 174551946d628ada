"""The frames of one bake as an engine gets them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import BadInputError

MAX_SIDES_RATIO = 16.0


@dataclass(frozen=True)
class Taken:
    """The frames of one bake, uint8 [H, W, 3] RGB each, and when each was taken."""

    frames: Sequence[NDArray[np.uint8]]
    times_s: Sequence[float]

    def in_time(self) -> list[int]:
        """Indices of the frames from first to last; equal times stay in their order."""
        return sorted(range(len(self.frames)), key=lambda index: (self.times_s[index], index))


def check_frames(frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float]) -> None:
    """Raises BadInputError for frames or times that no engine takes."""
    if len(frames) == 0:  # also an array of frames
        raise BadInputError("a clip has at least one frame")
    if len(frames) != len(times_s) or not all(math.isfinite(at) for at in times_s):
        raise BadInputError(f"{len(frames)} frames need as many finite capture times, not {list(times_s)[:8]}")
    for frame in frames:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or min(frame.shape[:2]) < 1:
            raise BadInputError(f"a frame is uint8 [H, W, 3] RGB, not {frame.dtype} {list(frame.shape)}")
        if max(frame.shape[:2]) > MAX_SIDES_RATIO * min(frame.shape[:2]):
            raise BadInputError(f"a frame of {frame.shape[1]}x{frame.shape[0]} pixels is longer than 16:1")
