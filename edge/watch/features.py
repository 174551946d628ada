"""A few figures of a frame that say what kind of picture it is: light, colour, detail, and how they go together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEATURES = (
    *(f"brightness q{q}" for q in (10, 50, 90)),
    *(f"red-green q{q}" for q in (10, 50, 90)),
    *(f"green-blue q{q}" for q in (10, 50, 90)),
    "detail",
    "detail at 1/2",
    "detail at 1/4",
    "red-green detail",
    "green-blue detail",
    "brightness with red-green",
    "brightness with green-blue",
    "red-green with green-blue",
    "detail peaks",
)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601
QUANTILES = (0.1, 0.5, 0.9)
FLOOR = 0.003  # of the logarithms: below the sensor's noise


def frame_features(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Frames uint8 [N, S, S, 3], S a multiple of 4 from 12 on, to float64 [N, len(FEATURES)]."""
    rgb = frames.astype(np.float32) / np.float32(255)  # [N, S, S, 3]
    light = (rgb @ LUMA).astype(np.float32)  # [N, S, S]
    warm, cool = rgb[..., 0] - rgb[..., 1], rgb[..., 1] - rgb[..., 2]  # [N, S, S]
    fine = _laplacian(light)  # [N, S - 2, S - 2]
    count = len(frames)
    columns = [
        *(np.quantile(plane.reshape(count, -1), QUANTILES, axis=1).T for plane in (light, warm, cool)),  # [N, 3]
        *(
            np.log(_laplacian(plane).mean(axis=(1, 2)) + FLOOR)[:, None]  # [N, 1]
            for plane in (light, _shrunk(light, 2), _shrunk(light, 4), _shrunk(warm, 2), _shrunk(cool, 2))
        ),
        *(_correlation(one, two)[:, None] for one, two in ((light, warm), (light, cool), (warm, cool))),
        (np.quantile(fine.reshape(count, -1), 0.9, axis=1) / (fine.mean(axis=(1, 2)) + FLOOR))[:, None],
    ]
    result: NDArray[np.float64] = np.concatenate(columns, axis=1, dtype=np.float64)
    return result


def _laplacian(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Absolute second difference of [N, H, W], without the border: [N, H - 2, W - 2]."""
    around = plane[:, 2:, 1:-1] + plane[:, :-2, 1:-1] + plane[:, 1:-1, 2:] + plane[:, 1:-1, :-2]
    return np.abs(4 * plane[:, 1:-1, 1:-1] - around)


def _shrunk(plane: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Means over blocks: [N, H, W] to [N, H / factor, W / factor]."""
    count, height, width = plane.shape
    blocks = plane.reshape(count, height // factor, factor, width // factor, factor)
    shrunk: NDArray[np.float32] = blocks.mean(axis=(2, 4))
    return shrunk


def _correlation(one: NDArray[np.float32], two: NDArray[np.float32]) -> NDArray[np.float32]:
    """Correlation of two planes [N, H, W] in each frame: [N]; 0 where one of them is flat."""
    a, b = (plane - plane.mean(axis=(1, 2), keepdims=True) for plane in (one, two))
    result: NDArray[np.float32] = (a * b).mean(axis=(1, 2)) / np.sqrt(a.var(axis=(1, 2)) * b.var(axis=(1, 2)) + 1e-7)
    return result
