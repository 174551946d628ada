"""The bake field: how far each point of the item's top has baked, solved for a wanted mean."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from shared.bakery.noise import fbm, smoothstep, value_noise
from shared.bakery.recipe import Baking, Item
from shared.jit import jit

CELLS = 64
"""The field is solved on CELLS x CELLS points over [-extent, extent]; texels interpolate between them."""
_SOLVER_STEPS = 24
OUTSIDE, TOP, RIM = 0, 1, 2
"""Regions of the item's top."""


@jit(nogil=True, error_model="numpy")
def edge_distances(table: npt.NDArray[np.float32], item: Item, x: float, y: float) -> tuple[float, float]:
    """Metres from (x, y) inwards to the outline and to the outer edge of the rim; negative outside."""
    dx = x - item.centre_x
    dy = y - item.centre_y
    r = math.sqrt(dx * dx + dy * dy) + 1e-9
    # Read on a circle of the lattice, so the outline closes.
    wobble = value_noise(table, item.outline_offset + 1.6 * dx / r, item.outline_offset + 1.6 * dy / r) - 0.5
    ripple = value_noise(table, item.outline_offset + 5.0 * dx / r, item.outline_offset + 5.0 * dy / r) - 0.5
    to_rim = item.radius * (0.975 + 0.05 * wobble + 0.02 * ripple) - r
    if not item.is_slice:
        return to_rim, to_rim
    along = dx * math.cos(item.slice_direction) + dy * math.sin(item.slice_direction)
    across = abs(dy * math.cos(item.slice_direction) - dx * math.sin(item.slice_direction))
    to_cut = along * math.sin(item.slice_half_angle) - across * math.cos(item.slice_half_angle)
    return min(to_rim, to_cut), to_rim


@jit(nogil=True, error_model="numpy")
def solve(table: npt.NDArray[np.float32], item: Item, baking: Baking) -> npt.NDArray[np.float32]:
    """The field at its grid points, float32 [CELLS, CELLS] (row = y, column = x), with the wanted mean."""
    field = np.empty((CELLS, CELLS), np.float32)
    inside = np.empty((CELLS, CELLS), np.bool_)
    step = 2.0 * item.extent / (CELLS - 1)
    cos_hot = math.cos(baking.hot_direction) * baking.hot_side / item.extent
    sin_hot = math.sin(baking.hot_direction) * baking.hot_side / item.extent
    for row in range(CELLS):
        y = -item.extent + row * step
        for column in range(CELLS):
            x = -item.extent + column * step
            to_edge, to_rim = edge_distances(table, item, x, y)
            inside[row, column] = to_edge > 0.0
            # About four slow patches across the item.
            u = 2.0 * x / item.extent + baking.patch_x
            v = 2.0 * y / item.extent + baking.patch_y
            value = x * cos_hot + y * sin_hot
            value += baking.patchiness * 2.0 * (fbm(table, u, v, 2) - 0.5)
            value += baking.rim_rise * (1.0 - smoothstep(0.0, 2.5 * item.rim_width, to_rim))
            for spot in range(baking.hot_spots.shape[0]):
                dx = x - baking.hot_spots[spot, 0]
                dy = y - baking.hot_spots[spot, 1]
                radius = baking.hot_spots[spot, 3]
                value += baking.hot_spots[spot, 2] * math.exp(-0.5 * (dx * dx + dy * dy) / (radius * radius))
            field[row, column] = value
    # The clipped mean rises with the shift, so halving finds the shift.
    low = -2.0
    high = 2.0
    for _ in range(_SOLVER_STEPS):
        shift = 0.5 * (low + high)
        total = 0.0
        count = 0
        for row in range(CELLS):
            for column in range(CELLS):
                if inside[row, column]:
                    total += min(1.0, max(0.0, field[row, column] + shift))
                    count += 1
        if total < baking.mean * count:
            low = shift
        else:
            high = shift
    for row in range(CELLS):
        for column in range(CELLS):
            field[row, column] = min(1.0, max(0.0, field[row, column] + 0.5 * (low + high)))
    return field


@jit(nogil=True, error_model="numpy")
def field_at(field: npt.NDArray[np.float32], extent: float, x: float, y: float) -> float:
    """The field between its grid points; (x, y) within [-extent, extent] metres."""
    u = min(CELLS - 1.001, max(0.0, (x + extent) * (CELLS - 1) / (2.0 * extent)))
    v = min(CELLS - 1.001, max(0.0, (y + extent) * (CELLS - 1) / (2.0 * extent)))
    i = int(u)
    j = int(v)
    a = u - i
    b = v - j
    top: float = field[j, i] * (1.0 - a) + field[j, i + 1] * a
    bottom: float = field[j + 1, i] * (1.0 - a) + field[j + 1, i + 1] * a
    return top * (1.0 - b) + bottom * b
