"""What a source yields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SourceBake:
    """One item that passed the camera: its frames, uint8 [H, W, 3] RGB each, and their times from the first on."""

    name: str  # at its source: a file, a clip, a rendered bake
    frames: tuple[NDArray[np.uint8], ...]
    offsets_us: tuple[int, ...]
    picture: str = ""  # path of an image of it, when it has one
    truth: str | None = None  # its label, when the source knows; for reports, shown to neither device nor cloud

    @property
    def key(self) -> int:
        """The frame that the classifier sees: the middle one, 4 of 8."""
        return len(self.frames) // 2


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something in the source that is no bake, and why."""

    name: str
    reason: str


SourceItem = SourceBake | Skipped


def shown(path: Path | str) -> str:
    """A file's name or path as messages and terminals can carry it.

    Names need not be UTF-8, and may hold line breaks or a terminal's escape codes.
    """
    text = str(path).encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else "?" for letter in text)
