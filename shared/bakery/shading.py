"""Colour of a point of the item or the belt, and the highlight on it. Colours are linear RGB."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from shared.bakery.capture import Belt
from shared.bakery.light import BLUE, GREEN, LAMP_SHARE, RED, Light
from shared.bakery.noise import smoothstep, value_noise
from shared.bakery.surface import TEXELS, Surface
from shared.jit import jit

Floats = npt.NDArray[np.float32]


@jit(nogil=True, error_model="numpy")
def _belt_look(table: Floats, belt: Belt, x: float, y: float) -> tuple[float, float, float]:
    """Grey albedo, gloss and flour of the belt at a point that moves with it."""
    # A lattice cell a pixel: finer than the lens resolves, so it need not be smooth.
    grain = float(table[math.floor(900.0 * x + belt.offset) & 255, math.floor(900.0 * y) & 255])
    flour = 0.0
    if belt.crumbs > 0.3:
        speck = value_noise(table, 330.0 * x, 330.0 * y + belt.offset)
        flour = 0.5 * belt.crumbs * smoothstep(0.90, 0.97, speck)
    if belt.kind == 0:
        # Wires in both directions over darkness.
        a = x / belt.pitch
        b = y / belt.pitch
        a = abs(a - math.floor(a) - 0.5)
        b = abs(b - math.floor(b) - 0.5)
        wire = max(smoothstep(0.12, 0.06, a), smoothstep(0.12, 0.06, b))
        return 0.015 + wire * belt.shade * (0.8 + 0.4 * grain), 0.5 * wire, flour * wire
    if belt.kind == 1:
        a = x / (2.5 * belt.pitch)
        gap = smoothstep(0.035, 0.07, abs(a - math.floor(a) - 0.5))
        brushed = value_noise(table, 60.0 * x, 1500.0 * y + belt.offset)
        return 0.01 + gap * belt.shade * (0.9 + 0.5 * brushed), 0.3 * gap, flour * gap
    speckle = value_noise(table, 170.0 * x + belt.offset, 170.0 * y)
    return belt.shade * (0.6 + 0.5 * speckle + 0.35 * grain), 0.0, flour


@jit(nogil=True, error_model="numpy")
def lit_texel(surface: Surface, u: float, v: float) -> tuple[int, int, float, float]:
    """Texel and fractions to blend from; on the outline the nearest texel that holds colour, unblended."""
    i = int(u)
    j = int(v)
    region = surface.region
    if region[j, i] > 0 and region[j, i + 1] > 0 and region[j + 1, i] > 0 and region[j + 1, i + 1] > 0:
        return i, j, u - i, v - j
    nearest_i = min(int(u + 0.5), TEXELS - 2)
    nearest_j = min(int(v + 0.5), TEXELS - 2)
    if region[nearest_j, nearest_i] > 0:
        return nearest_i, nearest_j, 0.0, 0.0
    if region[j, i + 1] > 0:
        return min(i + 1, TEXELS - 2), j, 0.0, 0.0
    if region[j + 1, i] > 0:
        return i, min(j + 1, TEXELS - 2), 0.0, 0.0
    if region[j + 1, i + 1] > 0:
        return min(i + 1, TEXELS - 2), min(j + 1, TEXELS - 2), 0.0, 0.0
    return i, j, 0.0, 0.0


@jit(nogil=True, error_model="numpy")
def item_colour(lit: Floats, i: int, j: int, fu: float, fv: float, lamp: float) -> tuple[float, float, float]:
    """The lit texture between texels, less the part of the lamp's light that passing obstacles take."""
    w00 = (1.0 - fu) * (1.0 - fv)
    w01 = fu * (1.0 - fv)
    w10 = (1.0 - fu) * fv
    w11 = fu * fv
    share = (
        w00 * lit[j, i, LAMP_SHARE]
        + w01 * lit[j, i + 1, LAMP_SHARE]
        + w10 * lit[j + 1, i, LAMP_SHARE]
        + w11 * lit[j + 1, i + 1, LAMP_SHARE]
    )
    left = 1.0 - share * (1.0 - lamp)
    w00 *= left
    w01 *= left
    w10 *= left
    w11 *= left
    red = w00 * lit[j, i, RED] + w01 * lit[j, i + 1, RED]
    red += w10 * lit[j + 1, i, RED] + w11 * lit[j + 1, i + 1, RED]
    green = w00 * lit[j, i, GREEN] + w01 * lit[j, i + 1, GREEN]
    green += w10 * lit[j + 1, i, GREEN] + w11 * lit[j + 1, i + 1, GREEN]
    blue = w00 * lit[j, i, BLUE] + w01 * lit[j, i + 1, BLUE]
    blue += w10 * lit[j + 1, i, BLUE] + w11 * lit[j + 1, i + 1, BLUE]
    return red, green, blue


@jit(nogil=True, error_model="numpy")
def belt_colour(
    table: Floats, belt: Belt, light: Light, lamp: float, ambient: float, x: float, y: float
) -> tuple[float, float, float, float]:
    """Linear RGB and gloss of the belt at a point that moves with it; `ambient` is the share of sky light."""
    grey, gloss, flour = _belt_look(table, belt, x, y)
    lamp_here = lamp * light.lamp_z
    red = (grey + flour) * (lamp_here * light.lamp_red + ambient * light.sky_red)
    green = (grey + 0.9 * flour) * (lamp_here * light.lamp_green + ambient * light.sky_green)
    blue = (grey + 0.7 * flour) * (lamp_here * light.lamp_blue + ambient * light.sky_blue)
    red += 0.4 * grey * light.glow_red
    green += 0.4 * grey * light.glow_green
    blue += 0.4 * grey * light.glow_blue
    return red, green, blue, gloss


@jit(nogil=True, error_model="numpy")
def highlight(
    lx: float, ly: float, lz: float, nx: float, ny: float, dx: float, dy: float, dz: float, length: float
) -> float:
    """Blinn-Phong highlight, exponent 32, of a lamp in direction (lx, ly, lz).

    (nx, ny) are of the unit normal; the ray is (dx, dy, dz) and `length` 1 over its length.
    """
    hx = lx - dx * length
    hy = ly - dy * length
    hz = lz - dz * length
    nz = math.sqrt(max(0.0, 1.0 - nx * nx - ny * ny))
    shine = nx * hx + ny * hy + nz * hz
    shine = shine * shine / (hx * hx + hy * hy + hz * hz)
    if shine <= 0.5:
        return 0.0
    shine *= shine
    shine *= shine
    shine *= shine
    shine *= shine
    return shine
