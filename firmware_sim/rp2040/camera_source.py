"""What `crustwatch emu run --camera` shows to the emulated camera: a picture, a folder of pictures, or a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.errors import BadInputError
from shared.images import read_image_file
from shared.picture_files import PICTURE_SUFFIXES, folder_listing, is_picture
from shared.video_file import VideoFile, rgb

MAX_SIDE_PX = 1600  # the OV2640's own array is 1600 x 1200


def camera_pictures(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Pictures uint8 [H, W, 3] of a file or folder, each read when it is needed; the first one at once.

    Raises BadInputError when there is none to show, or later where one cannot be read.
    """
    pictures = _pictures(path)
    first = next(pictures, None)
    if first is None:
        raise BadInputError(f"{path}: holds no picture for the camera")

    def all_of_them() -> Iterator[NDArray[np.uint8]]:
        yield first
        yield from pictures

    return all_of_them()


def _pictures(path: Path) -> Iterator[NDArray[np.uint8]]:
    if path.is_dir():
        return (read_image_file(file, MAX_SIDE_PX) for file in folder_listing(path) if is_picture(file))
    if not path.is_file():
        raise BadInputError(f"{path}: no such file or folder; the camera takes a picture, a folder of them, or a video")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return iter([read_image_file(path, MAX_SIDE_PX)])
    return (rgb(picture, MAX_SIDE_PX) for picture in VideoFile(path).pictures())
