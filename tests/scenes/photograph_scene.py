"""Small folders of made-up photographs, one sub-folder a label, and one a group below it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def coloured_photographs(folder: Path, labels: tuple[str, ...], groups: int, each: int) -> Path:
    """Noise whose brightness tells the label, `each` PNG of 40 x 40 a group; returns `folder`."""
    for number, label in enumerate(labels):
        for group in range(groups):
            place = folder / label / f"tray-{group}"
            place.mkdir(parents=True, exist_ok=True)
            for item in range(each):
                rng = np.random.default_rng((number, group, item))
                pixels = rng.integers(0, 120, (40, 40, 3)) + number * (120 // max(1, len(labels) - 1))
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{item}.png")
    return folder
