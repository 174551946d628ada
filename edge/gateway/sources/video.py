"""Video files as a source: cut into pieces of equal length, a bake of evenly spread frames from each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.gateway.sources.bake import Skipped, SourceBake, SourceItem, shown
from shared.errors import BadInputError
from shared.video_file import VideoFile, rgb

PIECE_S = 2.0  # of video for one bake: a pizza on the rendered belt is in view about as long
MAX_SIDE_PX = 640


def video_bakes(path: Path, frames: int) -> Iterator[SourceItem]:
    """Bakes of `frames` frames from a video file; what ends a broken file early is named.

    Raises BadInputError when it is no video, MissingPartError without PyAV.
    """
    return _pieces(VideoFile(path), frames)  # opened before the first bake is asked for


def _pieces(video: VideoFile, frames: int) -> Iterator[SourceItem]:
    name, rate = shown(video.path.name), video.rate_hz
    length = max(frames, round(PIECE_S * rate))  # video frames in a piece
    wanted = set(np.rint(np.linspace(0, length - 1, frames)).astype(int).tolist())  # positions in a piece
    images: list[NDArray[np.uint8]] = []
    times_us: list[int] = []
    piece = position = 0
    try:
        for picture in video.pictures():
            if position in wanted:
                images.append(rgb(picture, MAX_SIDE_PX))  # uint8 [H, W, 3]
                times_us.append(round(1e6 * (piece * length + position) / rate))
            position += 1
            if position == length:
                yield _bake(name, piece, images, times_us)
                images, times_us, piece, position = [], [], piece + 1, 0
    except BadInputError as error:
        yield Skipped(f"{name}, after piece {piece}", str(error).removeprefix(f"{video.path}: "))
    if images and (piece == 0 or len(images) >= frames // 2):  # a rest of half a piece is a bake too
        yield _bake(name, piece, images, times_us)
    elif piece == 0:
        yield Skipped(name, "the video holds no frame")


def _bake(name: str, piece: int, images: list[NDArray[np.uint8]], times_us: list[int]) -> SourceBake:
    offsets = tuple(time_us - times_us[0] for time_us in times_us)
    return SourceBake(f"{name}#{piece}", tuple(images), offsets)
