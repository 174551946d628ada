"""Image files and folders of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cloud.media.footage import MAX_SIDE_PX, Footage, Frame, check_size
from shared.errors import BadInputError
from shared.images import FILE_FORMATS, read_image_file
from shared.picture_files import PICTURE_SUFFIXES, folder_listing, is_picture

MAX_PICTURES = 256
DECODED_SIDE_PX = 4096  # larger photographs are made smaller while they are decoded; no model sees more


def picture_files(paths: Sequence[Path]) -> list[Path]:
    """The image files that `paths` name; a folder stands for its pictures in natural order.

    Raises:
        BadInputError: no file, a path that does not exist, a folder without a picture, or too many.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [file for file in folder_listing(path) if is_picture(file)]
            if not inside:
                raise BadInputError(f"{path}: no picture in this folder ({', '.join(sorted(PICTURE_SUFFIXES))})")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise BadInputError(f"{path}: no such file or folder")
    if not 1 <= len(files) <= MAX_PICTURES:
        raise BadInputError(f"{len(files)} pictures: between 1 and {MAX_PICTURES} can be looked at together")
    return files


def read_pictures(paths: Sequence[Path], *, apart: bool = False) -> list[Footage]:
    """Pictures as stills: one scene that they all show, or with `apart` a scene each.

    Pictures of one scene get the size of the first.

    Raises:
        BadInputError: as `picture_files`, and a file that is no picture, is damaged, or is too small or too large.
    """
    files = picture_files(paths)
    frames = [_read(file) for file in files]
    if apart:
        return [
            Footage(file.name, (frame,), (0.0,), (0,), still=True) for file, frame in zip(files, frames, strict=True)
        ]
    return [
        Footage(
            files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more",
            tuple(one_size(frames)),
            tuple(float(index) for index in range(len(files))),
            tuple(range(len(files))),
            still=True,
        )
    ]


def one_size(frames: Sequence[Frame]) -> list[Frame]:
    """Frames of the first one's size; those of one camera already are."""
    height, width = frames[0].shape[:2]
    return [
        frame if frame.shape[:2] == (height, width) else np.asarray(Image.fromarray(frame).resize((width, height)))
        for frame in frames
    ]


def _read(file: Path) -> Frame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's advice about size; the limits here are firm
            with Image.open(file, formats=FILE_FORMATS) as image:
                check_size(*image.size, str(file))
    except BadInputError:
        raise
    except Image.DecompressionBombError:
        raise BadInputError(f"{file}: more pixels than can be read; sides are at most {MAX_SIDE_PX} pixels") from None
    except (OSError, SyntaxError, ValueError):
        raise BadInputError(f"{file}: no image that can be read ({', '.join(FILE_FORMATS)})") from None
    return read_image_file(file, DECODED_SIDE_PX)
