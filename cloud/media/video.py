"""Video files: evenly spread frames, counted first and decoded once.

PyAV reads them. decord and qwen-vl-utils are used when they are installed and asked for by name: they give the frames
that other implementations' results were made with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cloud.media.footage import MAX_SIDE_PX, Footage, Frame, check_size
from cloud.media.pictures import one_size, picture_files, read_pictures
from cloud.spatial_mllm.sampling import even_indices
from shared.errors import BadInputError, MissingPartError
from shared.video_file import VideoFile, rgb

if TYPE_CHECKING:
    import av

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
    total = _count(path)
    wanted = even_indices(total, count)
    frames: list[Frame] = []
    times: list[float] = []
    last: av.VideoFrame | None = None
    seen = 0
    with VideoFile(path, threads="AUTO") as video:
        rate = video.rate_hz
        for picture in video.pictures():
            last = picture
            if len(frames) < len(wanted) and seen == wanted[len(frames)]:
                frames.append(_upright(picture, path))
                times.append(seen / rate if picture.pts is None else float(picture.time))
            seen += 1
    if last is None:
        raise BadInputError(f"{path}: the video holds no frame")
    if seen < total * (1 - CUT_SHARE) - 2:  # a decoder may keep back a frame or two
        raise BadInputError(f"{path}: the video is damaged: only {seen} of its {total} frames can be decoded")
    while len(frames) < len(wanted):
        frames.append(_upright(last, path))
        times.append(seen / rate)
    return wanted, frames, times


def _count(path: Path) -> int:
    """Frames in the file, from its packets. Raises BadInputError when it has none, or fewer than it says."""
    with VideoFile(path) as video:
        check_size(video.width, video.height, str(path))
        found = video.packets()
    if not found.present:
        raise BadInputError(f"{path}: the video holds no frame")
    if found.announced and found.present < found.announced * (1 - CUT_SHARE):
        announced = f"{found.present} of the {found.announced} frames that it announces are there"
        raise BadInputError(f"{path}: cut short: {announced}")
    if found.stated_s - found.end_s > max(2.5 / video.rate_hz, CUT_SHARE * found.stated_s):
        raise BadInputError(f"{path}: cut short: it ends after {found.end_s:.1f} of {found.stated_s:.1f} seconds")
    return found.present


def _upright(picture: av.VideoFrame, path: Path) -> Frame:
    """One decoded picture, upright, uint8 [H, W, 3]."""
    check_size(picture.width, picture.height, str(path))
    frame = rgb(picture, MAX_SIDE_PX)  # [H, W, 3], as large as it is
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
