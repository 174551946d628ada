"""Video files: cut into pieces of equal length, a bake of evenly spread frames from each (PyAV, extra `video`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.gateway.sources.bake import Skipped, SourceBake, SourceItem, shown
from shared.errors import BadInputError, MissingPartError

if TYPE_CHECKING:
    import av
    from av.video.codeccontext import VideoCodecContext

PIECE_S = 2.0  # of video for one bake: a pizza on the rendered belt is in view about as long
MAX_SIDE_PX = 640
MAX_PIXELS = 40_000_000  # of a frame as declared by the stream; larger ones are refused before decoding


def video_bakes(path: Path, frames: int) -> Iterator[SourceItem]:
    """Bakes of `frames` frames from a video file; what ends a broken file early is named.

    Raises BadInputError when it is no video, MissingPartError without PyAV.
    """
    try:
        import av
    except ImportError:
        raise MissingPartError("video files need PyAV: pip install 'crustwatch[video]'") from None
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise BadInputError(f"{path}: not a video file: {_words(error)}") from None
    if not container.streams.video:
        container.close()
        raise BadInputError(f"{path}: holds no video stream")
    codec: VideoCodecContext | None = container.streams.video[0].codec_context  # None: FFmpeg has no such decoder
    if codec is None:
        container.close()
        raise BadInputError(f"{path}: FFmpeg does not know the codec of its video stream")
    if codec.width * codec.height > MAX_PIXELS:
        container.close()
        raise BadInputError(f"{path}: frames of more than {MAX_PIXELS} pixels are refused")
    return _pieces(container, path, frames)


def _pieces(container: av.container.InputContainer, path: Path, frames: int) -> Iterator[SourceItem]:
    import av

    stream = container.streams.video[0]
    stream.thread_type = "SLICE"
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    length = max(frames, round(PIECE_S * rate))  # video frames in a piece
    wanted = set(np.rint(np.linspace(0, length - 1, frames)).astype(int).tolist())  # positions in a piece
    images: list[NDArray[np.uint8]] = []
    times_us: list[int] = []
    piece = position = 0
    try:
        with container:
            for picture in container.decode(stream):
                if position in wanted:
                    images.append(_rgb(picture))  # uint8 [H, W, 3]
                    times_us.append(round(1e6 * (piece * length + position) / rate))
                position += 1
                if position == length:
                    yield _bake(path, piece, images, times_us)
                    images, times_us, piece, position = [], [], piece + 1, 0
    except (av.error.FFmpegError, OSError) as error:
        yield Skipped(f"{shown(path.name)}, after piece {piece}", f"the video is damaged: {_words(error)}")
    if images and (piece == 0 or len(images) >= frames // 2):  # a rest of half a piece is a bake too
        yield _bake(path, piece, images, times_us)
    elif piece == 0:
        yield Skipped(shown(path.name), "the video holds no frame")


def _bake(path: Path, piece: int, images: list[NDArray[np.uint8]], times_us: list[int]) -> SourceBake:
    offsets = tuple(time_us - times_us[0] for time_us in times_us)
    return SourceBake(f"{shown(path.name)}#{piece}", tuple(images), offsets)


def _rgb(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """One decoded picture as uint8 [H, W, 3], no side longer than MAX_SIDE_PX."""
    scale = min(1.0, MAX_SIDE_PX / max(picture.width, picture.height))
    width, height = max(2, round(picture.width * scale)), max(2, round(picture.height * scale))
    return np.asarray(picture.to_ndarray(format="rgb24", width=width, height=height), np.uint8)


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
