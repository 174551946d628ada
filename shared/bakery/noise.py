"""Value noise on a fixed random lattice: cheap, seamless every 256 cells, the same bytes on every run."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

from shared.jit import jit

LATTICE_CELLS = 256
_LATTICE_SEED = 20250617
_SENSOR_NOISE_SEED = 20250618
_SENSOR_NOISE_LENGTH = 1 << 20


@cache
def lattice() -> npt.NDArray[np.float32]:
    """The random lattice, float32[256, 256] in [0, 1)."""
    bits = np.random.PCG64(_LATTICE_SEED).random_raw(LATTICE_CELLS * LATTICE_CELLS)  # uint64[65536]
    values = (bits >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)  # float32[65536]
    return values.reshape(LATTICE_CELLS, LATTICE_CELLS)


@cache
def sensor_noise() -> npt.NDArray[np.float32]:
    """A long row of zero-mean, unit-variance, bell-shaped noise, float32[1048576] (sum of four uniforms)."""
    bits = np.random.PCG64(_SENSOR_NOISE_SEED).random_raw(_SENSOR_NOISE_LENGTH)  # uint64[N]
    quarters = bits.view(np.uint16).reshape(-1, 4).astype(np.float32) / np.float32(65536)  # float32[N, 4]
    # Four uniforms have mean 2 and variance 4/12.
    return np.asarray((quarters.sum(axis=1) - 2.0) * math.sqrt(3.0), dtype=np.float32)


@jit(nogil=True, error_model="numpy")
def smoothstep(low: float, high: float, value: float) -> float:
    """0 below `low`, 1 above `high`, and a smooth cubic between."""
    t = (value - low) / (high - low)
    if t <= 0.0:
        return 0.0
    if t >= 1.0:
        return 1.0
    return t * t * (3.0 - 2.0 * t)


@jit(nogil=True, error_model="numpy")
def value_noise(table: npt.NDArray[np.float32], x: float, y: float) -> float:
    """Smooth noise in [0, 1) with one feature per unit; `table` is `lattice()`, float32[256, 256]."""
    fx = math.floor(x)
    fy = math.floor(y)
    i0 = int(fx) & 255
    j0 = int(fy) & 255
    i1 = (i0 + 1) & 255
    j1 = (j0 + 1) & 255
    u = x - fx
    v = y - fy
    u = u * u * (3.0 - 2.0 * u)
    v = v * v * (3.0 - 2.0 * v)
    a: float = table[j0, i0] + (table[j0, i1] - table[j0, i0]) * u
    b: float = table[j1, i0] + (table[j1, i1] - table[j1, i0]) * u
    blended: float = a + (b - a) * v
    return blended


@jit(nogil=True, error_model="numpy")
def fbm(table: npt.NDArray[np.float32], x: float, y: float, octaves: int) -> float:
    """Sum of `octaves` value noises at doubling frequency and halving weight, scaled to [0, 1)."""
    total = 0.0
    weight = 0.5
    norm = 0.0
    for _ in range(octaves):
        total += weight * value_noise(table, x, y)
        norm += weight
        # The odd turn and shift keep the octaves' lattice lines from lining up.
        x, y = 1.6 * x - 1.2 * y + 17.3, 1.2 * x + 1.6 * y + 41.7
        weight *= 0.5
    return total / norm
