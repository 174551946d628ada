"""Light on the item: lamp with shadows of the relief, sky light with dark hollows, glow of the oven's mouth.

The lamp and the glow are far away and fixed to the belt's frame, so all but highlights and passing shadows is the
same for every frame and is computed once per texel.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.bakery.recipe import Draws
from shared.bakery.surface import TEXELS, Surface
from shared.jit import jit

Floats = npt.NDArray[np.float32]

_SHADOW_STEPS = 9
RED, GREEN, BLUE, LAMP_SHARE, NORMAL_X, NORMAL_Y, GLOSS, LAMP_SEEN = range(8)
"""Channels of the lit texture."""


class Light(NamedTuple):
    """Directions are unit vectors towards the light in the belt's axes; colours are linear RGB irradiance."""

    lamp_x: float
    lamp_y: float
    lamp_z: float
    lamp_red: float
    lamp_green: float
    lamp_blue: float
    sky_red: float
    sky_green: float
    sky_blue: float
    glow_x: float
    glow_y: float
    glow_red: float
    glow_green: float
    glow_blue: float
    second_x: float = 0.0
    """Where a second lamp is, that only highlights show."""
    second_y: float = 0.0
    second_z: float = 1.0
    second: float = 0.0
    """Its strength as a share of the lamp's colours; 0 without one."""


def draw_light(draws: Draws) -> Light:
    """Draw the oven's lamp (neutral to warm), sky light and glow."""
    turn = draws.angle()
    rise = draws.between(math.radians(34), math.radians(62))
    warmth = draws.unit()
    lamp = draws.between(0.85, 1.15)
    sky = draws.between(0.26, 0.46)
    glow = 0.5 * draws.unit() ** 2
    glow_turn = draws.angle()
    return Light(
        lamp_x=math.cos(turn) * math.cos(rise),
        lamp_y=math.sin(turn) * math.cos(rise),
        lamp_z=math.sin(rise),
        lamp_red=lamp * (1.0 + 0.10 * warmth),
        lamp_green=lamp * (1.0 - 0.08 * warmth),
        lamp_blue=lamp * (1.0 - 0.34 * warmth),
        sky_red=sky,
        sky_green=sky * 0.98,
        sky_blue=sky * (1.06 - 0.2 * warmth),
        glow_x=math.cos(glow_turn),
        glow_y=math.sin(glow_turn),
        glow_red=glow,
        glow_green=glow * 0.42,
        glow_blue=glow * 0.13,
    )


@jit(nogil=True, error_model="numpy")
def light_surface(surface: Surface, light: Light) -> Floats:
    """The lit texture, float32 [TEXELS, TEXELS, 8] in the channels above; outside the item only LAMP_SEEN counts."""
    lit = np.zeros((TEXELS, TEXELS, 8), np.float32)
    height = surface.height
    texel = 2.0 * surface.extent / (TEXELS - 1)
    hollow_reach = max(2, int(0.004 / texel))
    for row in range(TEXELS):
        up = max(row - 1, 0)
        down = min(row + 1, TEXELS - 1)
        for column in range(TEXELS):
            here = height[row, column]
            # March towards the lamp; the deepest cover gives a soft edge.
            cover = 0.0
            reach = (surface.top - here) / light.lamp_z
            for step in range(1, _SHADOW_STEPS + 1):
                # Steps grow, for contact shadows are sharp and far ones are not.
                along = reach * (step / _SHADOW_STEPS) ** 1.5
                i = int(row + along * light.lamp_x / texel + 0.5)
                j = int(column + along * light.lamp_y / texel + 0.5)
                if i < 0 or j < 0 or i >= TEXELS or j >= TEXELS:
                    break
                over = height[i, j] - (here + along * light.lamp_z)
                cover = max(cover, over / (0.0006 + 0.12 * along))
            seen = 1.0 - min(1.0, max(0.0, cover))
            lit[row, column, LAMP_SEEN] = seen
            if surface.region[row, column] == 0:
                lit[row, column, NORMAL_X] = 0.0
                lit[row, column, NORMAL_Y] = 0.0
                lit[row, column, GLOSS] = 0.0
                continue
            left = max(column - 1, 0)
            right = min(column + 1, TEXELS - 1)
            slope_y = (height[row, right] - height[row, left]) / (2.0 * texel)
            slope_x = (height[down, column] - height[up, column]) / (2.0 * texel)
            norm = 1.0 / math.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y)
            nx = -slope_x * norm
            ny = -slope_y * norm
            a = max(row - hollow_reach, 0)
            b = min(row + hollow_reach, TEXELS - 1)
            c = max(column - hollow_reach, 0)
            d = min(column + hollow_reach, TEXELS - 1)
            around = 0.25 * (height[a, column] + height[b, column] + height[row, c] + height[row, d])
            openness = min(1.15, max(0.45, 1.0 - 110.0 * (around - here)))
            lamp = max(0.0, nx * light.lamp_x + ny * light.lamp_y + norm * light.lamp_z) * seen
            glow = max(0.0, 0.6 * (nx * light.glow_x + ny * light.glow_y) + 0.4 * norm)
            sky = openness * (0.6 + 0.4 * norm)
            red = surface.albedo[row, column, 0] * (lamp * light.lamp_red + sky * light.sky_red + glow * light.glow_red)
            green = surface.albedo[row, column, 1] * (
                lamp * light.lamp_green + sky * light.sky_green + glow * light.glow_green
            )
            blue = surface.albedo[row, column, 2] * (
                lamp * light.lamp_blue + sky * light.sky_blue + glow * light.glow_blue
            )
            lit[row, column, RED] = red
            lit[row, column, GREEN] = green
            lit[row, column, BLUE] = blue
            lit[row, column, LAMP_SHARE] = surface.albedo[row, column, 1] * lamp * light.lamp_green / (green + 1e-6)
            lit[row, column, NORMAL_X] = nx
            lit[row, column, NORMAL_Y] = ny
            lit[row, column, GLOSS] = surface.gloss[row, column]
    return lit
