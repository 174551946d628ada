"""Contact sheets: many bakes on one picture, for a person to judge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from shared.bakery.truth import FRAME_HEIGHT, FRAME_WIDTH, KEY_FRAME, BakeTruth
from shared.errors import BadInputError
from shared.output_folder import output_file

ASPECT = 4 / 3  # of the sheet, about
FRAMES_SHOWN = (1, KEY_FRAME, 6)
"""Frames of each bake, left to right."""


def check_sheet(path: Path) -> None:
    """Raise BadInputError when no sheet can be written to `path`: before the rendering, not after it."""
    if path.suffix.lower() not in Image.registered_extensions():
        raise BadInputError(f"{path}: no picture has such a name: end it in .png or .jpg")
    output_file(path)


def write_sheet(path: Path, strips: Sequence[Image.Image]) -> None:
    """Lay strips of equal size, at least one, in rows and write them to `path`.

    Raises BadInputError when the file's format is unknown or it cannot be written.
    """
    width, height = strips[0].size
    columns = max(1, round(math.sqrt(len(strips) * height * ASPECT / width)))
    sheet = Image.new("RGB", (columns * width, math.ceil(len(strips) / columns) * height))
    for place, strip in enumerate(strips):
        sheet.paste(strip, (place % columns * width, place // columns * height))
    try:
        sheet.save(path)
    except (OSError, ValueError) as error:
        raise BadInputError(f"cannot write the contact sheet {path}: {error}") from error


def draw_strip(frames: npt.NDArray[np.uint8], truth: BakeTruth) -> Image.Image:
    """The shown ones of frames uint8 [8, 240, 320, 3] side by side at half size, with the truth as caption."""
    half = (FRAME_WIDTH // 2, FRAME_HEIGHT // 2)
    strip = Image.new("RGB", (len(FRAMES_SHOWN) * half[0] + 4, half[1] + 16))
    for place, frame in enumerate(FRAMES_SHOWN):
        strip.paste(Image.fromarray(frames[frame]).resize(half, Image.Resampling.BOX), (place * half[0], 14))
    where = "" if truth.char_sector is None else f" at {truth.char_sector} o'clock"
    caption = (
        f"{truth.bake_id} {truth.doneness} {truth.bake_index:.2f}  "
        f"burnt {100 * truth.burnt_fraction:.0f} %, {truth.char_where}{where}"
    )
    ImageDraw.Draw(strip).text((2, 1), caption, fill=(255, 255, 255))
    return strip
