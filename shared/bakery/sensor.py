"""From radiance to 8-bit pixels: blur of lens and motion, vignette, gains, gamma, noise."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

from shared.jit import jit

Floats = npt.NDArray[np.float32]

_CURVE_LENGTH = 4096


@cache
def tone_curve() -> Floats:
    """8-bit value (as float32) of each linear level 0..1 in 4096 steps: sRGB with a soft shoulder."""
    level = np.linspace(0.0, 1.0, _CURVE_LENGTH)
    # Levels to 1.35 are squeezed under 1, so highlights roll off as on a camera.
    x = 1.35 * level
    rolled = np.where(x < 0.7, x, 0.7 + 0.3 * (1.0 - np.exp(-(x - 0.7) / 0.3)))
    encoded = np.where(rolled <= 0.0031308, 12.92 * rolled, 1.055 * rolled ** (1 / 2.4) - 0.055)
    return (255.0 * np.minimum(encoded, 1.0)).astype(np.float32)


@jit(nogil=True, error_model="numpy")
def expose(
    radiance: Floats,
    buffer: Floats,
    curve: Floats,
    noise: Floats,
    noise_start: int,
    defocus_px: float,
    motion_x: float,
    motion_y: float,
    gains: Floats,
    vignette: float,
    noise_level: float,
    pixels: npt.NDArray[np.uint8],
) -> None:
    """Expose one frame.

    radiance float32 [H, 3 W] linear (overwritten), buffer float32 [H, 3 W] scratch, curve from `tone_curve`, noise a
    long row read from `noise_start` on, motion in pixels during the exposure, gains float32 [3], pixels uint8 [H, 3 W].
    """
    height, width = radiance.shape
    # Gaussian of 5 taps; defocus is at most 1.3 px.
    g1 = np.float32(math.exp(-0.5 / (defocus_px * defocus_px)))
    g2 = np.float32(math.exp(-2.0 / (defocus_px * defocus_px)))
    norm = np.float32(1.0) / (np.float32(1.0) + np.float32(2.0) * (g1 + g2))
    g0 = norm
    g1 = g1 * norm
    g2 = g2 * norm
    for row in range(height):
        source = radiance[row]
        target = buffer[row]
        for i in range(6):
            target[i] = source[i]
            target[width - 1 - i] = source[width - 1 - i]
        for i in range(6, width - 6):
            target[i] = g0 * source[i] + g1 * (source[i - 3] + source[i + 3]) + g2 * (source[i - 6] + source[i + 6])
    for row in range(height):
        up1 = buffer[max(row - 1, 0)]
        up2 = buffer[max(row - 2, 0)]
        here = buffer[row]
        down1 = buffer[min(row + 1, height - 1)]
        down2 = buffer[min(row + 2, height - 1)]
        target = radiance[row]
        for i in range(width):
            target[i] = g0 * here[i] + g1 * (up1[i] + down1[i]) + g2 * (up2[i] + down2[i])
    step_x = int(np.rint(0.25 * motion_x))
    step_y = int(np.rint(0.25 * motion_y))
    half_x = int(np.rint(0.5 * motion_x))
    half_y = int(np.rint(0.5 * motion_y))
    source = radiance
    if half_x != 0 or half_y != 0:
        # Five samples along the way of the item during the exposure.
        reach = 3 * max(abs(half_x), 1)
        for row in range(height):
            a = radiance[min(height - 1, max(0, row - half_y))]
            b = radiance[min(height - 1, max(0, row - step_y))]
            c = radiance[row]
            d = radiance[min(height - 1, max(0, row + step_y))]
            e = radiance[min(height - 1, max(0, row + half_y))]
            target = buffer[row]
            for i in range(reach):
                target[i] = c[i]
                target[width - 1 - i] = c[width - 1 - i]
            shift1 = 3 * step_x
            shift2 = 3 * half_x
            for i in range(reach, width - reach):
                target[i] = np.float32(0.2) * (a[i - shift2] + b[i - shift1] + c[i] + d[i + shift1] + e[i + shift2])
        source = buffer
    top = np.float32(curve.shape[0] - 1)
    # 1.35 is the level that the curve's last step stands for.
    scale = top / np.float32(1.35)
    half_height = np.float32(0.5 * height)
    half_width = np.float32(0.5 * width / 3)
    for row in range(height):
        v = (np.float32(row) - half_height) / half_width
        for column in range(width // 3):
            u = (np.float32(column) - half_width) / half_width
            dim = (np.float32(1.0) - np.float32(vignette) * (u * u + v * v) * np.float32(0.64)) * scale
            for channel in range(3):
                i = 3 * column + channel
                level = min(top, max(np.float32(0.0), source[row, i] * dim * gains[channel]))
                value = curve[int(level)] + np.float32(noise_level) * noise[noise_start + row * width + i]
                pixels[row, i] = np.uint8(min(np.float32(255.0), max(np.float32(0.0), value + np.float32(0.5))))
