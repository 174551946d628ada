"""Toppings laid on the textures: olive rings, mushroom slices, pepper strips, salami, basil, beetroot."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from shared.bakery.field import OUTSIDE, RIM
from shared.bakery.noise import fbm, smoothstep, value_noise
from shared.bakery.recipe import BASIL, BEETROOT, MUSHROOM, OLIVE, PEPPER, SALAMI
from shared.jit import jit

if TYPE_CHECKING:
    from shared.bakery.surface import Surface

Floats = npt.NDArray[np.float32]
_FIELD_TO_CHAR_LOW = 0.86
_FIELD_TO_CHAR_HIGH = 0.95


@jit(nogil=True, error_model="numpy")
def _olive(p: float, q: float, variant: float) -> tuple[float, float, float]:
    r = math.sqrt(p * p + 1.15 * q * q)
    ring = min(smoothstep(0.32, 0.42, r), 1.0 - smoothstep(0.90, 1.0, r))
    # A fifth of the olives is not pitted.
    if variant < 0.2:
        ring = 1.0 - smoothstep(0.90, 1.0, r)
    return ring, math.sqrt(max(0.0, 1.0 - r * r)) * 0.5 + 0.5, 1.0


@jit(nogil=True, error_model="numpy")
def _mushroom(p: float, q: float, variant: float) -> tuple[float, float, float]:
    # Cap: upper part of an ellipse; stem: a bar below it, wider at the foot.
    cap = 1.0 - smoothstep(0.93, 1.0, math.sqrt(p * p + 1.7 * (q - 0.05) * (q - 0.05))) if q > -0.12 else 0.0
    width = 0.24 + 0.10 * smoothstep(-0.3, -0.8, q)
    stem = (1.0 - smoothstep(width - 0.05, width, abs(p))) * (1.0 - smoothstep(0.70, 0.76, -q)) if q <= 0.1 else 0.0
    shape = max(cap, stem)
    r = math.sqrt(p * p + 1.7 * (q - 0.05) * (q - 0.05))
    outline = smoothstep(0.80, 0.92, r) if cap > stem else smoothstep(width - 0.12, width - 0.03, abs(p))
    gills = smoothstep(0.10, 0.03, abs(q + 0.02 - 0.30 * p * p)) * (1.0 if 0.22 < abs(p) < 0.80 else 0.0)
    return shape, 0.8, 1.0 - 0.62 * max(outline, gills) - 0.1 * variant


@jit(nogil=True, error_model="numpy")
def _pepper(p: float, q: float, variant: float) -> tuple[float, float, float]:
    # A strip cut from a ring: an arc of a circle whose middle lies below.
    bend = 0.55 + 0.5 * variant
    r = math.sqrt(p * p + (q + bend) * (q + bend)) - bend - 0.12
    strip = (1.0 - smoothstep(0.13, 0.17, abs(r))) * (1.0 - smoothstep(0.86, 0.95, abs(p)))
    return strip, 1.0 - 12.0 * r * r, 1.0 - 2.2 * abs(r)


@jit(nogil=True, error_model="numpy")
def _salami(p: float, q: float, variant: float) -> tuple[float, float, float]:
    r = math.sqrt(p * p + q * q)
    disc = 1.0 - smoothstep(0.94, 1.0, r)
    # Heat curls the edge up into a cup.
    return disc, 0.35 + (0.3 + 1.2 * variant) * smoothstep(0.55, 0.95, r), 1.0 - 0.35 * smoothstep(0.72, 0.98, r)


@jit(nogil=True, error_model="numpy")
def _basil(p: float, q: float, variant: float) -> tuple[float, float, float]:
    half = 0.48 * (1.0 - p * p) * (1.0 + 0.25 * p)
    leaf = 1.0 - smoothstep(0.92 * half - 0.03, half + 0.001, abs(q)) if abs(p) < 1.0 else 0.0
    vein = smoothstep(0.05, 0.015, abs(q)) + 0.4 * smoothstep(0.10, 0.03, abs(math.sin(9.0 * p - 7.0 * abs(q))))
    return leaf, 0.5 + (0.5 + variant) * abs(q) * 2.0, 1.0 + 0.30 * min(1.0, vein) - 0.1 * math.cos(6.0 * q)


@jit(nogil=True, error_model="numpy")
def _beetroot(p: float, q: float, variant: float) -> tuple[float, float, float]:
    # A slice across the root: pale and dark rings under a dark skin.
    r = math.sqrt(p * p + (1.0 + 0.6 * variant) * q * q)
    rings = 0.5 + 0.5 * math.cos(16.0 * r)
    return 1.0 - smoothstep(0.93, 1.0, r), 0.7, 1.1 - 0.35 * rings - 0.5 * smoothstep(0.80, 0.92, r)


@jit(nogil=True, error_model="numpy")
def lay_toppings(surface: Surface, table: Floats, toppings: Floats) -> None:
    """Write every topping of float32 [T, 10] (see `Recipe.toppings`) into the textures, in order."""
    extent = surface.extent
    texels = surface.height.shape[0]
    texel = 2.0 * extent / (texels - 1)
    for topping in range(toppings.shape[0]):
        kind = int(toppings[topping, 0])
        x = toppings[topping, 1]
        y = toppings[topping, 2]
        cos_turn = math.cos(toppings[topping, 3])
        sin_turn = math.sin(toppings[topping, 3])
        size = toppings[topping, 4]
        variant = toppings[topping, 9]
        for row in range(max(0, int((x - size + extent) / texel)), min(texels, int((x + size + extent) / texel) + 2)):
            dx = row * texel - extent - x
            for column in range(
                max(0, int((y - size + extent) / texel)), min(texels, int((y + size + extent) / texel) + 2)
            ):
                region = surface.region[row, column]
                if region == OUTSIDE or (kind == BEETROOT and region == RIM):
                    continue
                dy = column * texel - extent - y
                warp = 0.10 * (value_noise(table, 90.0 * (x + dx) + 31.0 * topping, 90.0 * (y + dy)) - 0.5)
                p = (dx * cos_turn + dy * sin_turn) / size + warp
                q = (dy * cos_turn - dx * sin_turn) / size - warp
                if kind == OLIVE:
                    shape, profile, tone = _olive(p, q, variant)
                elif kind == MUSHROOM:
                    shape, profile, tone = _mushroom(p, q, variant)
                elif kind == PEPPER:
                    shape, profile, tone = _pepper(p, q, variant)
                elif kind == SALAMI:
                    shape, profile, tone = _salami(p, q, variant)
                elif kind == BASIL:
                    shape, profile, tone = _basil(p, q, variant)
                else:
                    shape, profile, tone = _beetroot(p, q, variant)
                if shape <= 0.0:
                    continue
                bake = surface.bake[row, column]
                fine = fbm(table, 260.0 * (x + dx) + 7.0 * topping, 260.0 * (y + dy), 2) - 0.5
                red = toppings[topping, 6] * tone * (1.0 + 0.5 * fine)
                green = toppings[topping, 7] * tone * (1.0 + 0.5 * fine)
                blue = toppings[topping, 8] * tone * (1.0 + 0.5 * fine)
                gloss = 0.30
                if kind == SALAMI:
                    fat = smoothstep(0.10, 0.18, fine) * 0.7
                    red += fat * (0.58 - red)
                    green += fat * (0.27 - green)
                    blue += fat * (0.16 - blue)
                    gloss = 0.55
                elif kind == OLIVE:
                    gloss = 0.6
                # Toppings lose water and darken; green turns to brown.
                dried = smoothstep(0.25, 0.95, bake)
                red *= 1.0 - 0.62 * dried
                green *= 1.0 - (0.80 if kind in (BASIL, PEPPER) else 0.70) * dried
                blue *= 1.0 - 0.70 * dried
                burn = smoothstep(_FIELD_TO_CHAR_LOW, _FIELD_TO_CHAR_HIGH, bake + 0.25 * fine)
                if kind == BEETROOT:
                    # It chars where what it lies on does, so that it changes nothing that is true of the bake.
                    burn = float(surface.burn[row, column])
                red += burn * (0.013 - red)
                green += burn * (0.011 - green)
                blue += burn * (0.010 - blue)
                surface.albedo[row, column, 0] += shape * (red - surface.albedo[row, column, 0])
                surface.albedo[row, column, 1] += shape * (green - surface.albedo[row, column, 1])
                surface.albedo[row, column, 2] += shape * (blue - surface.albedo[row, column, 2])
                surface.gloss[row, column] += shape * (gloss * (1.0 - 0.7 * dried) - surface.gloss[row, column])
                surface.burn[row, column] += shape * (burn - surface.burn[row, column])
                surface.height[row, column] += shape * toppings[topping, 5] * max(0.1, profile)
