"""Video files (PyAV, extra `video`): counted by packets or decoded picture by picture, under caps that come first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.errors import BadInputError, MissingPartError

if TYPE_CHECKING:
    import av
    from av.video.codeccontext import VideoCodecContext

MAX_PIXELS = 40_000_000  # of a frame as declared by the stream; larger ones are refused before decoding


class Packets(NamedTuple):
    """What a video file holds, and what it announces; 0 where it announces nothing."""

    present: int  # of the video stream: as many frames
    end_s: float  # of the last one of any stream
    announced: int
    stated_s: float


class VideoFile:
    """An open video: `rate_hz`, the size that the stream declares, and once `packets` or `pictures`.

    Use as a context manager, or read it to its end. With `threads` "AUTO" frames are decoded side by side, which is
    faster and holds more of them. Raises BadInputError when the file is no video, MissingPartError without PyAV.
    """

    def __init__(self, path: Path, threads: Literal["SLICE", "AUTO"] = "SLICE") -> None:
        try:
            import av
        except ImportError:
            raise MissingPartError("video files need PyAV: pip install 'crustwatch[video]'") from None
        try:
            container = av.open(str(path))
        except (av.error.FFmpegError, OSError) as error:
            raise BadInputError(f"{path}: not a video file, or no video in it can be read: {_words(error)}") from None
        trouble = _trouble(container)
        if trouble:
            container.close()
            raise BadInputError(f"{path}: {trouble}")
        self.path = path
        self._container = container
        self._stream = container.streams.video[0]
        self._stream.thread_type = threads
        self.width, self.height = self._stream.codec_context.width, self._stream.codec_context.height
        self.rate_hz = float(self._stream.average_rate or self._stream.guessed_rate or 25)

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def packets(self) -> Packets:
        """Go through the file without decoding; closes it. Raises BadInputError where it is damaged."""
        import av

        count, end_s = 0, 0.0
        stated = Packets(0, 0.0, self._stream.frames, (self._container.duration or 0) / av.time_base)
        try:
            with self._container:
                for packet in self._container.demux():
                    if not packet.size:
                        continue
                    count += packet.stream.index == self._stream.index
                    if packet.pts is not None and packet.time_base is not None:
                        end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        except (av.error.FFmpegError, OSError) as error:
            raise BadInputError(f"{self.path}: the video is damaged: {_words(error)}") from None
        return stated._replace(present=count, end_s=end_s)

    def pictures(self) -> Iterator[av.VideoFrame]:
        """Every picture in order; closes the file. Raises BadInputError where the video is damaged."""
        import av

        try:
            with self._container:
                yield from self._container.decode(self._stream)
        except (av.error.FFmpegError, OSError) as error:
            raise BadInputError(f"{self.path}: the video is damaged: {_words(error)}") from None


def rgb(picture: av.VideoFrame, max_side_px: int) -> NDArray[np.uint8]:
    """One decoded picture as uint8 [H, W, 3], no side longer than `max_side_px`."""
    scale = min(1.0, max_side_px / max(picture.width, picture.height))
    width, height = max(2, round(picture.width * scale)), max(2, round(picture.height * scale))
    return np.asarray(picture.to_ndarray(format="rgb24", width=width, height=height), np.uint8)


def _trouble(container: av.container.InputContainer) -> str:
    """Why this container holds no video that can be read; empty if it does."""
    if not container.streams.video:
        return "holds no video stream"
    codec: VideoCodecContext | None = container.streams.video[0].codec_context  # None: FFmpeg has no such decoder
    if codec is None:
        return "FFmpeg does not know the codec of its video stream"
    if codec.width * codec.height > MAX_PIXELS:
        return f"frames of more than {MAX_PIXELS} pixels are refused"
    return ""


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
