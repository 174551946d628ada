"""Shifts: the bakery changes in a way that no model has seen, while what is true of each bake stays as it was.

`new-topping` lays slices of beetroot on every pizza. `new-light` replaces the lamp by a dimmer and colder one and
hangs a second one, seen in highlights. Both are drawn from a stream of their own, so a bake
without a shift does not change by a byte, and the same bake with and without one is the same pizza.
"""

from __future__ import annotations

import math

import numpy as np

from shared.bakery.light import Light
from shared.bakery.recipe import BEETROOT, Draws, Recipe, point_on

SALT = 0x5348_4946
"""Names the stream of draws of a shift."""

SLICES = (18, 30)  # on a whole pizza
SLICE_M = (0.016, 0.023)  # half length
SLICE_HEIGHT_M = (0.002, 0.004)
SLICE_COLOURS = ((0.26, 0.008, 0.06), (0.20, 0.006, 0.05))  # linear RGB

DIMMED = (0.55, 0.70)  # of the lamp that was there
LAMP_COLOUR = (0.80, 0.98, 1.30)  # linear RGB, as factors on the lamp that was there: colder
SKY_COLOUR = (0.85, 1.00, 1.20)
SECOND_LAMP = (0.6, 1.0)  # strength, as a share of the lamp's


def shifted_recipe(recipe: Recipe, draws: Draws) -> Recipe:
    """The same pizza with slices of beetroot over its other toppings."""
    item = recipe.item
    share = item.slice_half_angle / math.pi if item.is_slice else 1.0
    colour = SLICE_COLOURS[draws.integer(0, len(SLICE_COLOURS) - 1)]
    rows: list[tuple[float, ...]] = []
    for _ in range(math.ceil(draws.integer(*SLICES) * share)):
        size = draws.between(*SLICE_M)
        x, y = _apart(draws, recipe, rows, size)
        shade = draws.between(0.8, 1.25)
        tint = tuple(shade * channel for channel in colour)
        rows.append((BEETROOT, x, y, draws.angle(), size, draws.between(*SLICE_HEIGHT_M), *tint, draws.unit()))
    added = np.array(rows, dtype=np.float32).reshape(-1, 10)
    return recipe._replace(toppings=np.concatenate((recipe.toppings, added)))


def _apart(draws: Draws, recipe: Recipe, rows: list[tuple[float, ...]], size: float) -> tuple[float, float]:
    """A point inside the rim and beside the other slices (the last of 8 tries when there is none)."""
    outer = max(0.3, 1.0 - (recipe.item.rim_width + 0.6 * size) / recipe.item.radius)
    x = y = 0.0
    for _ in range(8):
        x, y = point_on(draws, recipe.item, 0.0, outer)
        if all(math.hypot(x - row[1], y - row[2]) > 0.8 * (size + row[4]) for row in rows):
            break
    return x, y


def shifted_light(light: Light, draws: Draws) -> Light:
    """Another lamp in the same place, and a second one."""
    dimmed = draws.between(*DIMMED)
    turn, rise = draws.angle(), draws.between(math.radians(40), math.radians(65))
    red, green, blue = LAMP_COLOUR
    return light._replace(
        lamp_red=light.lamp_red * dimmed * red,
        lamp_green=light.lamp_green * dimmed * green,
        lamp_blue=light.lamp_blue * dimmed * blue,
        sky_red=light.sky_red * dimmed * SKY_COLOUR[0],
        sky_green=light.sky_green * dimmed * SKY_COLOUR[1],
        sky_blue=light.sky_blue * dimmed * SKY_COLOUR[2],
        second_x=math.cos(turn) * math.cos(rise),
        second_y=math.sin(turn) * math.cos(rise),
        second_z=math.sin(rise),
        second=draws.between(*SECOND_LAMP),
    )
