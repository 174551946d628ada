"""Video files: evenly spread frames, counted first and decoded once.

PyAV reads them. decord and qwen-vl-utils are used when they are installed and asked for by name: they give the frames
that other implementations' results were made with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cloud.media.footage import Footage, Frame, check_size
from cloud.media.pictures import one_size, picture_files, read_pictures
from cloud.spatial_mllm.sampling import even_indices
from shared.errors import BadInputError, MissingPartError

MAX_FRAMES = 512  # decoded frames that are held at once
CUT_SHARE = 0.05  # of its stated length that a file may lack before it counts as cut short


def read_video(path: Path, count: int, reader: str = "av") -> Footage:
    """At most `count` evenly spread frames (first to last, truncated indices, as the reference takes them).

    A folder of pictures is a video too, in the order of their names.

    Raises:
        BadInputError: no video, no frame in it, cut short or damaged, or frames that are too small or too large.
        MissingPartError: the reader is not installed.
    """
    if not 1 <= count <= MAX_FRAMES:
        raise BadInputError(f"{count} frames of a video: choose 1 to {MAX_FRAMES}")
    if reader not in READERS:
        raise BadInputError(f"video reader {reader!r}: choose one of {', '.join(READERS)}")
    if path.is_dir():
        files = picture_files([path])
        places = even_indices(len(files), count)
        pictures = read_pictures([files[place] for place in places])[0].frames
        return Footage(path.name, pictures, tuple(map(float, places)), tuple(places), still=False)
    if not path.is_file():
        raise BadInputError(f"{path}: no such file or folder")
    indices, frames, times = READERS[reader](path, count)
    for frame in frames:
        check_size(frame.shape[1], frame.shape[0], str(path))
    return Footage(path.name, tuple(one_size(frames)), tuple(times), tuple(indices), still=False)


def _read_av(path: Path, count: int) -> tuple[list[int], list[Frame], list[float]]:
    try:
        import av
    except ImportError:
        raise MissingPartError("video files need PyAV: pip install 'crustwatch[video]'") from None
    try:
        total = _count(path)
        wanted = even_indices(total, count)
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = float(stream.average_rate or stream.guessed_rate or 25)
            frames: list[Frame] = []
            times: list[float] = []
            last: av.VideoFrame | None = None
            seen = 0
            for picture in container.decode(stream):
                last = picture
                if len(frames) < len(wanted) and seen == wanted[len(frames)]:
                    frames.append(_rgb(picture, path))
                    times.append(seen / rate if picture.pts is None else float(picture.time))
                seen += 1
    except (av.error.FFmpegError, OSError) as error:
        raise BadInputError(f"{path}: damaged, or no video: {getattr(error, 'strerror', None) or error}") from None
    if last is None:
        raise BadInputError(f"{path}: the video holds no frame")
    if seen < total * (1 - CUT_SHARE) - 2:  # a decoder may keep back a frame or two
        raise BadInputError(f"{path}: the video is damaged: only {seen} of its {total} frames can be decoded")
    while len(frames) < len(wanted):
        frames.append(_rgb(last, path))
        times.append(seen / rate)
    return wanted, frames, times


def _count(path: Path) -> int:
    """Frames in the file, from its packets. Raises BadInputError when it has none, or fewer than it says."""
    import av

    with av.open(str(path)) as container:
        if not container.streams.video:
            raise BadInputError(f"{path}: holds no video stream")
        stream = container.streams.video[0]
        codec = stream.codec_context
        if codec is None:
            raise BadInputError(f"{path}: FFmpeg does not know the codec of its video stream")
        check_size(codec.width, codec.height, str(path))
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        packets, end_s = 0, 0.0
        for packet in container.demux():
            if not packet.size:
                continue
            packets += packet.stream.index == stream.index
            if packet.pts is not None and packet.time_base is not None:
                end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        stated_s = (container.duration or 0) / 1e6
        stated = stream.frames
    if not packets:
        raise BadInputError(f"{path}: the video holds no frame")
    if stated and packets < stated * (1 - CUT_SHARE):
        raise BadInputError(f"{path}: cut short: {packets} of the {stated} frames that it announces are there")
    if stated_s - end_s > max(2.5 / rate, CUT_SHARE * stated_s):
        raise BadInputError(f"{path}: cut short: it ends after {end_s:.1f} of {stated_s:.1f} seconds")
    return packets


def _rgb(picture: Any, path: Path) -> Frame:
    """One decoded picture, upright, uint8 [H, W, 3]."""
    check_size(picture.width, picture.height, str(path))
    frame = np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)  # [H, W, 3]
    turns = round(picture.rotation / 90) % 4  # degrees against the clock, from the display matrix
    return np.ascontiguousarray(np.rot90(frame, turns)) if turns else frame


def _read_decord(path: Path, count: int) -> tuple[list[int], list[Frame], list[float]]:
    try:
        import decord
    except ImportError:
        raise MissingPartError("this reader needs decord (pip install decord==0.6.0), or use --reader av") from None
    try:
        video = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        wanted = even_indices(len(video), count)
        if not wanted:
            raise BadInputError(f"{path}: the video holds no frame")
        frames = list(video.get_batch(wanted).asnumpy())
        rate = float(video.get_avg_fps()) or 25.0
    except (decord.DECORDError, OSError, IndexError) as error:
        raise BadInputError(f"{path}: decord cannot read it: {str(error).splitlines()[0]}") from None
    return wanted, frames, [place / rate for place in wanted]


def _read_qwen(path: Path, count: int) -> tuple[list[int], list[Frame], list[float]]:
    try:
        from qwen_vl_utils import fetch_video
    except ImportError as error:
        raise MissingPartError(
            f"this reader needs qwen-vl-utils and torchvision ({error.name or error} is missing), or use --reader av"
        ) from None
    even = max(2, count // 2 * 2)  # it wants an even number
    try:
        video, rate = fetch_video({"video": str(path), "nframes": even}, return_video_sample_fps=True)
    except Exception as error:  # it and the readers below it raise many kinds
        raise BadInputError(f"{path}: qwen-vl-utils cannot read it: {error}") from None
    frames = list(np.ascontiguousarray(video.permute(0, 2, 3, 1).round().clamp(0, 255).byte().numpy()))
    return list(range(len(frames))), frames, [index / float(rate) for index in range(len(frames))]


Reader = Callable[[Path, int], tuple[Sequence[int], Sequence[Frame], Sequence[float]]]
READERS: dict[str, Reader] = {"av": _read_av, "decord": _read_decord, "qwen-vl-utils": _read_qwen}
