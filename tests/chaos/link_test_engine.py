"""Numbered bakes, and an engine that reads the number off the picture: proof that an answer belongs to its bake.

It says `link-test` in its provenance and never claims to see doneness: chaos exercises the link, not the model.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.images import encode_jpeg
from shared.messages import BakeVerdict, Provenance
from shared.task import Task

BITS, BLOCK = 12, 16  # a bit is a block of 16 x 16 pixels, dark or bright
ROWS, COLUMNS = 3, 4
SLOW, SLOW_S = 97, 0.9  # every so many bakes' answer takes so long


def picture(number: int) -> NDArray[np.uint8]:
    """A picture uint8 [48, 64, 3] that carries `number`; its colours vary, so that the device's word does."""
    rng = np.random.default_rng(number)
    bits = np.array([number >> bit & 1 for bit in range(BITS)]).reshape(ROWS, COLUMNS)  # [3, 4]
    level = np.kron(np.where(bits, 200, 60), np.ones((BLOCK, BLOCK)))[..., None]  # [48, 64, 1]
    tint = rng.integers(-40, 40, 3)  # [3]
    return np.clip(level + tint + rng.integers(-10, 10, (ROWS * BLOCK, COLUMNS * BLOCK, 3)), 0, 255).astype(np.uint8)


def number_of(image: NDArray[np.uint8]) -> int:
    """The number in a picture uint8 [48, 64, 3]."""
    blocks = image.astype(float).mean(axis=2).reshape(ROWS, BLOCK, COLUMNS, BLOCK).mean(axis=(1, 3))  # [3, 4]
    return sum(int(bright) << bit for bit, bright in enumerate((blocks > 130).ravel()))


def write_pictures(folder: Path, count: int) -> None:
    """Photographs of bakes 0 .. count - 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"bake-{number:04d}.jpg").write_bytes(encode_jpeg(picture(number), 90))


def answer(number: int, task: Task) -> str:
    """The label that the engine gives to a bake."""
    return task.labels[number % len(task.labels)]


class LinkTestEngine:
    """What the worker needs of an engine."""

    def verdict(self, frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float], task: Task) -> BakeVerdict:
        """The label of the number in the first frame, and the number."""
        number = number_of(frames[0])
        if number % SLOW == 0:
            time.sleep(SLOW_S)  # longer than the shortest deadline: the answer is a correction
        nothing = hashlib.sha256(b"").hexdigest()
        whence = Provenance("link-test", nothing, nothing, (0,), False, "none", "cpu", 0.0)
        return BakeVerdict(answer(number, task), 1.0, False, f"link test, bake {number}", provenance=whence)
