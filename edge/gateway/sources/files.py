"""Folders of photographs, folders of clips, single photographs and video files, read one bake at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from edge.gateway.sources.bake import Skipped, SourceBake, SourceItem, shown
from edge.gateway.sources.video import video_bakes
from shared.errors import BadInputError
from shared.images import read_image_file
from shared.json_text import NOT_JSON
from shared.picture_files import PICTURE_SUFFIXES, folder_listing, is_picture

MAX_SIDE_PX = 640  # of a frame: larger photographs are made smaller, as neither model sees more
FRAME_INTERVAL_US = 250_000  # between the frames of a clip in a folder, which does not say


class _Truth(msgspec.Struct):
    doneness: str


def open_path(path: Path, frames: int) -> Iterator[SourceItem]:
    """Bakes of at most `frames` frames each from a folder, a photograph or a video file.

    In a folder each image file is a bake of one frame, each sub-folder with images a bake of its frames in natural
    order; everything else is named and skipped. Raises BadInputError when the path is missing or cannot be read.
    """
    if path.is_dir():
        return _items(folder_listing(path), frames)
    if not path.is_file():
        raise BadInputError(f"{path}: no such file or folder; give photographs, clips in sub-folders, or a video")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return iter([_photograph(path)])
    return video_bakes(path, frames)


def _items(paths: list[Path], frames: int) -> Iterator[SourceItem]:
    for path in paths:
        yield _clip(path, frames) if path.is_dir() else _photograph(path)


def _photograph(path: Path) -> SourceItem:
    if not path.is_file():  # opening a pipe or a device could wait for ever
        return Skipped(shown(path.name), "not a regular file")
    try:
        frame = read_image_file(path, MAX_SIDE_PX)  # uint8 [H, W, 3]
    except BadInputError as error:
        return Skipped(shown(path.name), _reason(path, error))
    return SourceBake(shown(path.name), (frame,), (0,), shown(path))


def _clip(folder: Path, frames: int) -> SourceItem:
    try:
        files = [path for path in folder_listing(folder) if is_picture(path)]
    except BadInputError as error:
        return Skipped(f"{shown(folder.name)}/", _reason(folder, error))
    named = [path for path in files if path.name.startswith("frame")]  # a rendered clip holds depth images too
    files = named or files
    picked = [files[i] for i in evenly(len(files), frames)]  # before any is decoded: there may be thousands
    images, places, first_error = [], [], ""
    for path in picked:
        try:
            images.append(read_image_file(path, MAX_SIDE_PX))  # uint8 [H, W, 3]
            places.append(files.index(path))
        except BadInputError as error:
            first_error = first_error or _reason(path, error)
    if not images:
        return Skipped(f"{shown(folder.name)}/", first_error or "a folder without images")
    offsets_us = tuple((place - places[0]) * FRAME_INTERVAL_US for place in places)
    return SourceBake(
        shown(folder.name), tuple(images), offsets_us, shown(files[places[len(places) // 2]]), _truth(folder)
    )


def _truth(folder: Path) -> str | None:
    """The label in a clip's `truth.json` (as `crustwatch render` writes it), None without one."""
    try:
        return msgspec.json.decode((folder / "truth.json").read_bytes(), type=_Truth).doneness
    except (OSError, *NOT_JSON):
        return None


def evenly(count: int, wanted: int) -> list[int]:
    """At most `wanted` indices, evenly over range(count), first and last included."""
    if count <= wanted:
        return list(range(count))
    return [int(i) for i in np.rint(np.linspace(0, count - 1, wanted))]


def _reason(path: Path, error: BadInputError) -> str:
    return shown(str(error).removeprefix(f"{path}: "))
