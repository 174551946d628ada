"""Rendered bakes on disk: one folder a bake.

```
DIR/bake-000000/frame-0.jpg .. frame-7.jpg   RGB, quality 92, no chroma subsampling
                depth-0.png .. depth-7.png   16-bit grey, tenths of a millimetre along the camera's axis
                truth.json                   BakeTruth
```
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from shared.bakery.truth import FRAME_COUNT, FRAME_HEIGHT, FRAME_WIDTH, BakeTruth
from shared.errors import BadInputError
from shared.images import read_image_file
from shared.json_text import NOT_JSON

DEPTH_STEP_M = 1e-4
"""One step of a depth file."""
_JPEG_QUALITY = 92


class StoredBake(NamedTuple):
    """One bake as read back from its folder."""

    frames: npt.NDArray[np.uint8]
    """uint8 [8, 240, 320, 3] RGB, as far as JPEG keeps it."""
    depth: npt.NDArray[np.float32]
    """float32 [8, 240, 320] metres, to the tenth of a millimetre."""
    truth: BakeTruth


def folder_name(index: int) -> str:
    """Name of the folder of bake `index`."""
    return f"bake-{index:06d}"


def write_bake(folder: Path, frames: npt.NDArray[np.uint8], depth: npt.NDArray[np.float32], truth: BakeTruth) -> Path:
    """Write one bake under `folder` and return its own folder; an earlier one of the same index is replaced.

    frames uint8 [8, 240, 320, 3], depth float32 [8, 240, 320] metres. The bake's folder appears whole or not at all.
    Raises BadInputError when `folder` cannot be written.
    """
    target = folder / folder_name(truth.index)
    partial = folder / f".{target.name}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for frame in range(FRAME_COUNT):
            Image.fromarray(frames[frame]).save(partial / f"frame-{frame}.jpg", quality=_JPEG_QUALITY, subsampling=0)
            steps = np.rint(depth[frame] / DEPTH_STEP_M).astype(np.uint16)  # [240, 320]
            Image.fromarray(steps).save(partial / f"depth-{frame}.png")
        (partial / "truth.json").write_bytes(msgspec.json.format(msgspec.json.encode(truth), indent=1) + b"\n")
        if target.exists():
            shutil.rmtree(target)
        os.replace(partial, target)
    except OSError as error:
        raise BadInputError(f"cannot write bakes to {folder}: {error.strerror or error}") from error
    return target


def read_bake(folder: Path) -> StoredBake:
    """Read one bake's folder. Raises BadInputError when a file is missing or is not what it should be."""
    try:
        truth = msgspec.json.decode((folder / "truth.json").read_bytes(), type=BakeTruth)
    except OSError as error:
        raise BadInputError(f"{folder} is no rendered bake: truth.json is missing or unreadable") from error
    except NOT_JSON as error:
        raise BadInputError(f"{folder / 'truth.json'} is not the truth of a bake: {error}") from error
    frames = np.empty((FRAME_COUNT, FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)  # [8, 240, 320, 3]
    depth = np.empty((FRAME_COUNT, FRAME_HEIGHT, FRAME_WIDTH), np.float32)  # [8, 240, 320]
    for frame in range(FRAME_COUNT):
        frames[frame] = _sized(read_image_file(folder / f"frame-{frame}.jpg", FRAME_WIDTH), folder)
        depth[frame] = _read_depth(folder / f"depth-{frame}.png")
    return StoredBake(frames=frames, depth=depth, truth=truth)


def read_bakes(folder: Path) -> Iterator[StoredBake]:
    """Read every bake under `folder`, in order of index. Raises BadInputError when there is none."""
    folders = sorted(path for path in folder.glob("bake-*") if path.is_dir()) if folder.is_dir() else []
    if not folders:
        raise BadInputError(f"{folder} holds no rendered bakes: make some with crustwatch render --out {folder}")
    for path in folders:
        yield read_bake(path)


def _read_depth(path: Path) -> npt.NDArray[np.float32]:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.size == (FRAME_WIDTH, FRAME_HEIGHT) and image.mode.startswith("I"):
                steps = np.asarray(image)  # [240, 320]
                return (steps * DEPTH_STEP_M).astype(np.float32)
            found = f"{image.size[0]}x{image.size[1]} pixels of mode {image.mode}"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInputError(f"{path} is not a depth picture: {error}") from error
    raise BadInputError(f"{path} is not a depth picture: {found}, not {FRAME_WIDTH}x{FRAME_HEIGHT} of 16-bit grey")


def _sized(picture: npt.NDArray[np.generic], folder: Path) -> npt.NDArray[np.generic]:
    if picture.shape[:2] != (FRAME_HEIGHT, FRAME_WIDTH):
        raise BadInputError(f"{folder} holds a frame of {picture.shape[1]}x{picture.shape[0]}, not 320x240")
    return picture
