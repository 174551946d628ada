"""What stands between lamp, item and camera: capsules that lie level in the oven's frame."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from shared.bakery.capture import (
    HALF_WIDTH,
    LEVEL,
    OBSTACLE_BLUE,
    OBSTACLE_GREEN,
    OBSTACLE_RED,
    X0,
    X1,
    Y0,
    Y1,
)
from shared.bakery.light import Light
from shared.bakery.noise import smoothstep, value_noise
from shared.jit import jit

Floats = npt.NDArray[np.float32]


@jit(nogil=True, error_model="numpy")
def capsule_distance(obstacles: Floats, which: int, x: float, y: float) -> float:
    """Metres from (x, y) to the middle line of an obstacle."""
    ax = obstacles[which, X1] - obstacles[which, X0]
    ay = obstacles[which, Y1] - obstacles[which, Y0]
    bx = x - obstacles[which, X0]
    by = y - obstacles[which, Y0]
    t = min(1.0, max(0.0, (ax * bx + ay * by) / (ax * ax + ay * ay)))
    return math.sqrt((bx - t * ax) * (bx - t * ax) + (by - t * ay) * (by - t * ay))


@jit(nogil=True, error_model="numpy")
def lamp_past_obstacles(obstacles: Floats, light: Light, x: float, y: float, z: float) -> float:
    """Share of the lamp's light that passes all obstacles on its way to a point, with soft edges."""
    passed = 1.0
    for which in range(obstacles.shape[0]):
        rise = obstacles[which, LEVEL] - z
        if rise <= 0.0:
            continue
        along = rise / light.lamp_z
        apart = capsule_distance(obstacles, which, x + along * light.lamp_x, y + along * light.lamp_y)
        soft = 0.001 + 0.05 * along
        passed *= smoothstep(-soft, soft, apart - obstacles[which, HALF_WIDTH])
    return passed


@jit(nogil=True, error_model="numpy")
def obstacle_colour(
    table: Floats, obstacles: Floats, which: int, light: Light, lamp: float, x: float, y: float
) -> tuple[float, float, float]:
    """Linear RGB of an obstacle at a point of it; `lamp` is the share of the lamp's light that comes through."""
    edge = capsule_distance(obstacles, which, x, y) / obstacles[which, HALF_WIDTH]
    sheen = 0.75 + 0.5 * math.sqrt(max(0.0, 1.0 - edge * edge))
    sheen *= 0.85 + 0.3 * value_noise(table, 300.0 * x, 300.0 * y)
    lamp_here = 0.8 * lamp * light.lamp_z
    red = obstacles[which, OBSTACLE_RED] * sheen * (lamp_here * light.lamp_red + light.sky_red)
    green = obstacles[which, OBSTACLE_GREEN] * sheen * (lamp_here * light.lamp_green + light.sky_green)
    blue = obstacles[which, OBSTACLE_BLUE] * sheen * (lamp_here * light.lamp_blue + light.sky_blue)
    return red, green, blue
