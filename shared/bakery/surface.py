"""The item's top as textures in its own frame: height, colour, gloss, and the truth under each texel.

A texture is TEXELS x TEXELS over [-extent, extent] metres, row = x, column = y: a picture's rows lie across the
belt, so neighbours in the picture are neighbours in memory. Colours are linear RGB.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.bakery.field import RIM, TOP, edge_distances, field_at, solve
from shared.bakery.noise import fbm, lattice, smoothstep, value_noise
from shared.bakery.recipe import Item, Recipe, Style
from shared.bakery.toppings import lay_toppings
from shared.jit import jit

Floats = npt.NDArray[np.float32]

TEXELS = 384
TILE = 8
"""Texels along a tile of `Surface.ceiling`."""
TILES = TEXELS // TILE
TILE_REACH = 3

# Linear RGB at bake 0, .2, .4, .6, .8, 1.
_DOUGH = np.array(
    [
        (0.80, 0.71, 0.54),
        (0.78, 0.62, 0.39),
        (0.64, 0.385, 0.15),
        (0.45, 0.215, 0.07),
        (0.19, 0.078, 0.028),
        (0.030, 0.022, 0.018),
    ],
    dtype=np.float32,
)
_CHEESE = np.array(
    [
        (0.86, 0.82, 0.70),
        (0.87, 0.75, 0.47),
        (0.79, 0.535, 0.195),
        (0.54, 0.27, 0.075),
        (0.22, 0.088, 0.028),
        (0.030, 0.020, 0.015),
    ],
    dtype=np.float32,
)
_SAUCE = np.array(
    [
        (0.50, 0.075, 0.018),
        (0.46, 0.062, 0.016),
        (0.38, 0.046, 0.013),
        (0.24, 0.032, 0.011),
        (0.10, 0.020, 0.010),
        (0.022, 0.014, 0.011),
    ],
    dtype=np.float32,
)
_CHAR = np.array((0.013, 0.011, 0.010), dtype=np.float32)


class Surface(NamedTuple):
    """The item's top; every array is [TEXELS, TEXELS, ...]."""

    extent: float
    """Half width of the textures, m."""
    top: float
    """Highest point, m over the belt."""
    ceiling: Floats
    """float32 [TILES, TILES]: highest point within TILE_REACH tiles of each tile, so rays can start low."""
    height: Floats
    """float32, metres over the belt, 0 outside the item."""
    albedo: Floats
    """float32 [..., 3], linear RGB."""
    gloss: Floats
    """float32, 0 dry .. 1 oily."""
    burn: Floats
    """float32, 0 .. 1 charred."""
    bake: Floats
    """float32, the bake field."""
    region: npt.NDArray[np.uint8]
    """OUTSIDE, TOP or RIM."""


def make_surface(recipe: Recipe) -> Surface:
    """Build the textures of one item."""
    table = lattice()
    field = solve(table, recipe.item, recipe.baking)
    surface = Surface(
        extent=recipe.item.extent,
        top=0.0,
        ceiling=np.zeros((TILES, TILES), np.float32),
        height=np.zeros((TEXELS, TEXELS), np.float32),
        albedo=np.zeros((TEXELS, TEXELS, 3), np.float32),
        gloss=np.zeros((TEXELS, TEXELS), np.float32),
        burn=np.zeros((TEXELS, TEXELS), np.float32),
        bake=np.zeros((TEXELS, TEXELS), np.float32),
        region=np.zeros((TEXELS, TEXELS), np.uint8),
    )
    bumps = np.zeros((TEXELS, TEXELS, 2), np.float32)  # [..., 0] metres over the surface, [..., 1] 1 on tops
    _raise_blisters(bumps, recipe.item.extent, recipe.blisters)
    spots = np.zeros((TEXELS, TEXELS), np.float32)  # 1 inside a leopard spot
    _dab_spots(spots, table, recipe.item.extent, recipe.leopard)
    _bake_dough(surface, table, recipe.item, recipe.style, field, bumps, spots)
    lay_toppings(surface, table, recipe.toppings)
    return surface._replace(top=float(surface.height.max()), ceiling=_ceiling(surface.height))


def _ceiling(height: Floats) -> Floats:
    """Highest point around each tile of float32 [TEXELS, TEXELS], as float32 [TILES, TILES]."""
    tiles = height.reshape(TILES, TILE, TILES, TILE).max(axis=(1, 3))  # [TILES, TILES]
    for axis in (0, 1):
        padded = np.pad(tiles, [(TILE_REACH, TILE_REACH) if a == axis else (0, 0) for a in (0, 1)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * TILE_REACH + 1, axis=axis)
        tiles = windows.max(axis=-1)  # [TILES, TILES]
    return np.ascontiguousarray(tiles)


@jit(nogil=True, error_model="numpy")
def _raise_blisters(bumps: Floats, extent: float, blisters: Floats) -> None:
    texel = 2.0 * extent / (TEXELS - 1)
    for blister in range(blisters.shape[0]):
        x = blisters[blister, 0]
        y = blisters[blister, 1]
        radius = blisters[blister, 2]
        for row in range(
            max(0, int((x - radius + extent) / texel)), min(TEXELS, int((x + radius + extent) / texel) + 2)
        ):
            dx = row * texel - extent - x
            for column in range(
                max(0, int((y - radius + extent) / texel)), min(TEXELS, int((y + radius + extent) / texel) + 2)
            ):
                dy = column * texel - extent - y
                q = (dx * dx + dy * dy) / (radius * radius)
                if q < 1.0:
                    bump = (1.0 - q) * (1.0 - q)
                    bumps[row, column, 0] = max(bumps[row, column, 0], blisters[blister, 3] * bump)
                    bumps[row, column, 1] = max(bumps[row, column, 1], bump)


@jit(nogil=True, error_model="numpy")
def _dab_spots(spots: Floats, table: Floats, extent: float, leopard: Floats) -> None:
    texel = 2.0 * extent / (TEXELS - 1)
    for spot in range(leopard.shape[0]):
        x = leopard[spot, 0]
        y = leopard[spot, 1]
        radius = 1.5 * leopard[spot, 2]
        for row in range(
            max(0, int((x - radius + extent) / texel)), min(TEXELS, int((x + radius + extent) / texel) + 2)
        ):
            dx = row * texel - extent - x
            for column in range(
                max(0, int((y - radius + extent) / texel)), min(TEXELS, int((y + radius + extent) / texel) + 2)
            ):
                dy = column * texel - extent - y
                ragged = 0.6 + 0.8 * value_noise(table, 350.0 * (x + dx), 350.0 * (y + dy))
                q = math.sqrt(dx * dx + dy * dy) / (leopard[spot, 2] * ragged)
                spots[row, column] = max(spots[row, column], 1.0 - smoothstep(0.7, 1.1, q))


@jit(nogil=True, error_model="numpy")
def _ramp(stops: Floats, bake: float, channel: int) -> float:
    position = min(4.999, max(0.0, 5.0 * bake))
    stop = int(position)
    low: float = stops[stop, channel]
    high: float = stops[stop + 1, channel]
    return low + (high - low) * (position - stop)


@jit(nogil=True, error_model="numpy")
def _bake_dough(
    surface: Surface, table: Floats, item: Item, style: Style, field: Floats, bumps: Floats, spots: Floats
) -> None:
    """Dough, sauce, cheese and char at every texel; toppings come after."""
    extent = surface.extent
    texel = 2.0 * extent / (TEXELS - 1)
    for row in range(TEXELS):
        x = row * texel - extent
        for column in range(TEXELS):
            y = column * texel - extent
            to_edge, to_rim = edge_distances(table, item, x, y)
            if to_edge <= 0.0:
                continue
            bake = field_at(field, extent, x, y)
            u = x + style.noise_x
            v = y + style.noise_y
            grain = value_noise(table, 600.0 * u, 600.0 * v) - 0.5
            lumps = fbm(table, 55.0 * u, 55.0 * v, 3) - 0.5
            patch = fbm(table, 36.0 * u + 140.0, 36.0 * v + 70.0, 4) - 0.5
            bump = bumps[row, column, 0]
            top_of_bump = bumps[row, column, 1]

            # Rim: a dome from the outline to rim_width, with lumps.
            t = to_rim / item.rim_width + 0.5 * (lumps if to_rim > 0.3 * item.rim_width else 0.0)
            dome = 0.0
            if t < 1.25:
                s = min(1.0, max(0.0, 1.0 - (t - 0.42) * (t - 0.42) / (0.42 * 0.42 if t < 0.42 else 0.83 * 0.83)))
                dome = math.sqrt(s) * (0.85 + 0.5 * lumps)
            region = RIM if t < 0.95 else TOP
            height = item.base_height + (item.rim_height - item.base_height) * dome + 0.0006 * grain + bump
            # Rounded outer edge; a cut is sharper.
            if to_rim < 0.004:
                height *= 0.35 + 0.65 * math.sqrt(to_rim / 0.004)
            elif to_edge < 0.002:
                height *= 0.45 + 0.55 * math.sqrt(to_edge / 0.002)

            browned = bake + 0.30 * patch + 0.10 * lumps + 0.05 * grain + 0.10 * dome * (top_of_bump - 0.15)
            red = _ramp(_DOUGH, browned, 0)
            green = _ramp(_DOUGH, browned, 1)
            blue = _ramp(_DOUGH, browned, 2)
            shade = 1.0 - 0.25 * style.dough_dark + 0.12 * grain
            dust = style.flour * smoothstep(0.55, 0.75, 0.5 + lumps + 0.3 * grain) * (1.0 - smoothstep(0.5, 0.9, bake))
            red = red * shade * (1.0 - 0.5 * dust) + 0.42 * dust
            green = green * shade * (1.0 - 0.5 * dust) + 0.40 * dust
            blue = blue * shade * (1.0 - 0.5 * dust) + 0.36 * dust
            gloss = 0.04

            if region == TOP:
                # Sauce to the rim's foot, cheese over most of it.
                wet = smoothstep(0.93, 1.05, t)
                fine = fbm(table, 130.0 * u, 130.0 * v, 2) - 0.5
                sauce_bake = bake + 0.12 * lumps
                tone = 0.8 + 0.4 * style.sauce_red + 0.5 * fine
                red += wet * (_ramp(_SAUCE, sauce_bake, 0) * tone - red)
                green += wet * (_ramp(_SAUCE, sauce_bake, 1) * tone - green)
                blue += wet * (_ramp(_SAUCE, sauce_bake, 2) * tone - blue)
                gloss += wet * 0.35 * (1.0 - smoothstep(0.5, 0.8, bake))

                blobs = fbm(table, 24.0 * u + 90.0, 24.0 * v, 3)
                # Shreds lie as short ridges in two directions until they melt.
                melted = smoothstep(0.10, 0.32, bake)
                ridge_a = 1.0 - abs(2.0 * value_noise(table, 160.0 * u + 40.0 * v, 420.0 * v - 90.0 * u) - 1.0)
                ridge_b = 1.0 - abs(2.0 * value_noise(table, 420.0 * u + 60.0 * v, 150.0 * v) - 1.0)
                shreds = style.cheese_shreds * (1.0 - melted) * (0.5 * (ridge_a + ridge_b) - 0.5)
                limit = 0.78 - 0.62 * style.cheese_cover
                cover = smoothstep(limit, limit + 0.10 + 0.06 * melted, blobs + 0.5 * shreds + 0.10 * fine)
                cover *= smoothstep(0.98, 1.18, t + 0.25 * fine)
                height += cover * (0.0022 + 0.0030 * (blobs - 0.4) + 0.004 * shreds + 0.0016 * fine) + 0.0012 * fine
                # Cheese browns in spots: the spots run ahead of the field, the rest lags behind it.
                mottling = fbm(table, 75.0 * u, 75.0 * v + 50.0, 3) - 0.5
                spotted = smoothstep(0.04, 0.20, mottling + 0.10 * fine + 0.10 * top_of_bump) - 0.30
                cheese_bake = (
                    bake + 0.20 * patch + style.mottle * 0.28 * spotted * smoothstep(0.15, 0.45, bake) + 0.06 * fine
                )
                thick = 0.86 + 0.9 * (blobs - 0.5) * (1.0 - 0.6 * melted) + 0.20 * shreds + 0.10 * fine
                yellow = style.cheese_yellow
                red += cover * (_ramp(_CHEESE, cheese_bake, 0) * min(1.1, thick + 0.10) - red)
                green += cover * (
                    _ramp(_CHEESE, cheese_bake, 1) * min(1.1, thick + 0.08) * (1.0 - 0.06 * yellow) - green
                )
                blue += cover * (_ramp(_CHEESE, cheese_bake, 2) * min(1.1, thick) * (1.0 - 0.45 * yellow) - blue)
                gloss += cover * melted * 0.35 * (1.0 - smoothstep(0.65, 0.9, bake))

            if to_edge < 0.0025 and to_edge < to_rim:
                # A cut shows the crumb.
                crumb = 0.8 * (1.0 - to_edge / 0.0025) * (1.0 - smoothstep(0.6, 0.95, bake))
                red += crumb * (0.70 - red)
                green += crumb * (0.55 - green)
                blue += crumb * (0.34 - blue)

            heat = bake + 0.85 * patch + 0.16 * top_of_bump + 0.10 * grain + 0.03 * dome
            burn = smoothstep(0.86, 0.97, heat)
            burn = max(burn, spots[row, column] * smoothstep(0.22, 0.36, bake + 0.1 * lumps))
            ash = 1.0 + 1.6 * max(0.0, grain + lumps)
            surface.albedo[row, column, 0] = max(0.004, red + burn * (_CHAR[0] * ash - red))
            surface.albedo[row, column, 1] = max(0.004, green + burn * (_CHAR[1] * ash - green))
            surface.albedo[row, column, 2] = max(0.004, blue + burn * (_CHAR[2] * ash - blue))
            surface.gloss[row, column] = gloss * (1.0 - 0.8 * burn)
            surface.burn[row, column] = burn
            surface.bake[row, column] = bake
            surface.height[row, column] = max(0.0005, height)
            surface.region[row, column] = region
