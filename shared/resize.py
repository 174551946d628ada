"""From a camera frame to the classifier's input: one integer area resize for gateway, firmware and training.

A frame is cropped to its centre square and averaged over exact areas. At 320x240 and 48 px every output pixel is
the mean of a 5x5 box, which a microcontroller sums line by line; any other size is weighted in the same integers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.errors import BadInputError


def centre_square(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest centred square of `frame` uint8 [H, W, C], as a view [S, S, C] with S = min(H, W)."""
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frame[top : top + side, left : left + side]  # [S, S, C]


def area_weights(source: int, target: int) -> NDArray[np.int64]:
    """Overlap of each target cell with each source pixel, int64 [target, source], in units of 1/target pixel.

    Every row sums to `source`; every column to `target`.
    """
    starts = np.arange(target, dtype=np.int64)[:, None] * source  # [target, 1] in 1/target pixels
    pixels = np.arange(source, dtype=np.int64)[None, :] * target  # [1, source]
    overlap = np.minimum(starts + source, pixels + target) - np.maximum(starts, pixels)  # [target, source]
    weights: NDArray[np.int64] = np.maximum(overlap, 0)  # [target, source]
    return weights


def square_resize(frame: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Crop the centre square and average it down (or up) to uint8 [size, size, 3], rounding half up.

    `frame` is uint8 [H, W, 3]. The result is exact: sum of weight * pixel, plus half, divided by the weights' sum.
    Raises BadInputError for other dtypes or shapes.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or min(frame.shape[:2]) < 1:
        raise BadInputError(f"a frame is uint8 [H, W, 3] RGB, not {frame.dtype} {list(frame.shape)}")
    square = centre_square(frame)  # [S, S, 3]
    side = square.shape[0]
    if side % size == 0:
        box = side // size
        sums = square.reshape(size, box, size, box, 3).sum(axis=(1, 3), dtype=np.int64)  # [size, size, 3]
        total = box * box
    else:
        # Products of doubles: exact here, as all sums are integers below 2^53, and far faster than integers.
        weights = area_weights(side, size).astype(np.float64)  # [size, S]
        rows = (weights @ square.reshape(side, -1)).reshape(size, side, 3)  # [size, S, 3]
        sums = (weights @ rows).astype(np.int64)  # [size, size, 3]
        total = side * side
    mean: NDArray[np.uint8] = ((2 * sums + total) // (2 * total)).astype(np.uint8)  # [size, size, 3]
    return mean
