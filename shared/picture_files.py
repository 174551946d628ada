"""Which files of a folder are pictures, and in which order people mean them."""

from __future__ import annotations

import re
from pathlib import Path

from shared.errors import BadInputError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})


def natural_order(path: Path) -> list[tuple[int, str]]:
    """Sort key under which frame-10 follows frame-9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def folder_listing(folder: Path) -> list[Path]:
    """All that is in a folder, in natural order. Raises BadInputError when it cannot be read."""
    try:
        return sorted(folder.iterdir(), key=natural_order)
    except OSError as error:
        raise BadInputError(f"{folder}: cannot be read: {error.strerror}") from None


def is_picture(path: Path) -> bool:
    """A regular file with a picture's suffix: opening a pipe or a device could wait for ever."""
    return path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
