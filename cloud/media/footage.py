"""What a prompt shows: the frames of one video, or pictures of one scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import BadInputError

MIN_SIDE_PX = 4  # a smaller picture shows nothing
MAX_SIDE_PX = 16_384

Frame = NDArray[np.uint8]  # [H, W, 3] RGB


@dataclass(frozen=True)
class Footage:
    """Frames of one size.

    Attributes:
        name: of the file or folder, for messages.
        frames: at least one, uint8 [H, W, 3] RGB.
        times_s: when each was taken, from the start of the video; the index for pictures.
        places: index of each among all frames of its source.
        still: separate pictures of one scene instead of a video.
    """

    name: str
    frames: tuple[Frame, ...]
    times_s: tuple[float, ...]
    places: tuple[int, ...]
    still: bool


def check_size(width: int, height: int, name: str) -> None:
    """Raises BadInputError when a picture is too small to show anything, or a side is longer than a model can use."""
    if min(width, height) < MIN_SIDE_PX:
        raise BadInputError(f"{name}: {width}x{height} pixels show nothing: sides are at least {MIN_SIDE_PX} pixels")
    if max(width, height) > MAX_SIDE_PX:
        raise BadInputError(f"{name}: {width}x{height} pixels: sides are at most {MAX_SIDE_PX} pixels; make it smaller")
