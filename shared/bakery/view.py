"""One frame of a bake: rays meet the relief, the belt and what gets in the way.

Works in the oven's frame: the camera and the obstacles stand still, the item and the belt's pattern move along x.
"""

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
    VISIBLE,
    X0,
    X1,
    Y0,
    Y1,
    Belt,
    Camera,
    Faults,
)
from shared.bakery.light import (
    BLUE,
    GLOSS,
    GREEN,
    LAMP_SEEN,
    LAMP_SHARE,
    NORMAL_X,
    NORMAL_Y,
    RED,
    Light,
)
from shared.bakery.noise import fbm, smoothstep, value_noise
from shared.bakery.surface import TEXELS, TILE, TILE_REACH, Surface
from shared.bakery.truth import FRAME_HEIGHT, FRAME_WIDTH
from shared.jit import jit

Floats = npt.NDArray[np.float32]

_TEXELS_PER_STEP = 5.0
"""The relief is searched in steps of this many texels, for rims are a dozen texels wide."""
_REFINEMENTS = 3
_LAST = TEXELS - 1.001


@jit(nogil=True, error_model="numpy")
def _capsule_distance(obstacles: Floats, which: int, x: float, y: float) -> float:
    """Metres from (x, y) to the middle line of an obstacle."""
    ax = obstacles[which, X1] - obstacles[which, X0]
    ay = obstacles[which, Y1] - obstacles[which, Y0]
    bx = x - obstacles[which, X0]
    by = y - obstacles[which, Y0]
    t = min(1.0, max(0.0, (ax * bx + ay * by) / (ax * ax + ay * ay)))
    return math.sqrt((bx - t * ax) * (bx - t * ax) + (by - t * ay) * (by - t * ay))


@jit(nogil=True, error_model="numpy")
def _lamp_past_obstacles(obstacles: Floats, light: Light, x: float, y: float, z: float) -> float:
    """Share of the lamp's light that passes all obstacles on its way to a point, with soft edges."""
    passed = 1.0
    for which in range(obstacles.shape[0]):
        rise = obstacles[which, LEVEL] - z
        if rise <= 0.0:
            continue
        along = rise / light.lamp_z
        apart = _capsule_distance(obstacles, which, x + along * light.lamp_x, y + along * light.lamp_y)
        soft = 0.001 + 0.05 * along
        passed *= smoothstep(-soft, soft, apart - obstacles[which, HALF_WIDTH])
    return passed


@jit(nogil=True, error_model="numpy")
def _height_at(height: Floats, u: float, v: float) -> float:
    """Relief between texels; u, v in [0, TEXELS - 1)."""
    i = int(u)
    j = int(v)
    a = u - i
    b = v - j
    top: float = height[j, i] + (height[j, i + 1] - height[j, i]) * a
    bottom: float = height[j + 1, i] + (height[j + 1, i + 1] - height[j + 1, i]) * a
    return top + (bottom - top) * b


@jit(nogil=True, error_model="numpy")
def _within(texel: float) -> float:
    """The nearest texel position that can be blended."""
    return min(_LAST, max(0.0, texel))


@jit(nogil=True, error_model="numpy")
def _meet_relief(height: Floats, top: float, u0: float, v0: float, u1: float, v1: float) -> float:
    """Where a ray falling from (u0, v0) at `top` to (u1, v1) at 0 meets the item: 0..1, or 2 if it does not."""
    steps = 3 + int(max(abs(u1 - u0), abs(v1 - v0)) * (1.0 / _TEXELS_PER_STEP))
    stride = 1.0 / steps
    step_u = (u1 - u0) * stride
    step_v = (v1 - v0) * stride
    u = u0 + 0.5  # half a texel on, so that cutting off the fraction finds the nearest texel
    v = v0 + 0.5
    level = top
    clearance = top
    for step in range(steps):
        u += step_u
        v += step_v
        level -= top * stride
        ground = 0.0
        if 0.5 <= u < _LAST and 0.5 <= v < _LAST:
            ground = float(height[int(v), int(u)])
            if ground > 0.0 and ground >= level:
                # Between the last sample above and this one below, as if the relief were straight, twice.
                above = step * stride
                below = above + stride
                gap = ground - level
                s = below
                for _ in range(_REFINEMENTS):
                    s = above + (below - above) * clearance / (clearance + gap + 1e-9)
                    here = _height_at(height, _within(u0 + (u1 - u0) * s), _within(v0 + (v1 - v0) * s))
                    here -= top * (1.0 - s)
                    if here >= 0.0:
                        below = s
                        gap = here
                    else:
                        above = s
                        clearance = -here
                return s
        clearance = level - ground
    return 2.0


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
def _lit_texel(surface: Surface, u: float, v: float) -> tuple[int, int, float, float]:
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
def draw_frame(
    frame: int,
    table: Floats,
    surface: Surface,
    lit: Floats,
    light: Light,
    camera: Camera,
    belt: Belt,
    obstacles: Floats,
    faults: Faults,
    radiance: Floats,
    depth: Floats,
    coverage: npt.NDArray[np.bool_],
    burn: Floats,
    bake: Floats,
) -> None:
    """Fill one frame: radiance [H, W, 3], depth [H, W] (m), coverage, burn and bake [H, W] (0 off the item).

    `obstacles` are those of this frame only, float32 [K, 11].
    """
    moved = camera.belt_speed * camera.times[frame]
    extent = surface.extent
    top = surface.top
    per_metre = (TEXELS - 1) / (2.0 * extent)
    px = float(camera.position[0])
    py = float(camera.position[1])
    pz = float(camera.position[2])
    # From the oven's frame to texels: u is the column (y), v the row (x).
    offset_u = extent - camera.item_start[1]
    offset_v = extent - camera.item_start[0] - moved
    r00, r01, r02 = camera.rotation[0, 0], camera.rotation[0, 1], camera.rotation[0, 2]
    r10, r11, r12 = camera.rotation[1, 0], camera.rotation[1, 1], camera.rotation[1, 2]
    r20, r21, r22 = camera.rotation[2, 0], camera.rotation[2, 1], camera.rotation[2, 2]
    per_pixel = 1.0 / camera.focal_px
    flare_x, flare_y = faults.glare[frame, 0], faults.glare[frame, 1]
    flare_size, flare_strength = faults.glare[frame, 2], faults.glare[frame, 3]
    drift = 0.9 * camera.times[frame]
    for row in range(FRAME_HEIGHT):
        b = (row - 0.5 * (FRAME_HEIGHT - 1)) * per_pixel
        veil = 0.0
        for column in range(FRAME_WIDTH):
            a = (column - 0.5 * (FRAME_WIDTH - 1)) * per_pixel
            dx = r00 * a + r10 * b + r20
            dy = r01 * a + r11 * b + r21
            dz = r02 * a + r12 * b + r22
            # dz < 0: the camera looks down. t is the depth along the optical axis.
            per_dz = 1.0 / dz
            t_floor = -pz * per_dz
            t_top = (top - pz) * per_dz
            u0 = (py + t_top * dy + offset_u) * per_metre
            v0 = (px + t_top * dx + offset_v) * per_metre
            u1 = (py + t_floor * dy + offset_u) * per_metre
            v1 = (px + t_floor * dx + offset_v) * per_metre
            t = t_floor
            hit = False
            if max(u0, u1) > 0.0 and max(v0, v1) > 0.0 and min(u0, u1) < _LAST and min(v0, v1) < _LAST:
                start = top
                if max(abs(u1 - u0), abs(v1 - v0)) < 2 * TILE * TILE_REACH:
                    # Nothing is higher than the ceiling within half the ray's way from its middle.
                    i = int(_within(0.5 * (u0 + u1))) // TILE
                    j = int(_within(0.5 * (v0 + v1))) // TILE
                    start = float(surface.ceiling[j, i])
                    t_top = (start - pz) * per_dz
                    u0 = (py + t_top * dy + offset_u) * per_metre
                    v0 = (px + t_top * dx + offset_v) * per_metre
                met = _meet_relief(surface.height, start, u0, v0, u1, v1) if start > 0.0 else 2.0
                if met <= 1.0:
                    hit = True
                    t = t_top + (t_floor - t_top) * met
            blocked = -1
            for which in range(obstacles.shape[0]):
                if obstacles[which, VISIBLE] == 0.0:
                    continue
                t_level = (obstacles[which, LEVEL] - pz) * per_dz
                if t_level < t and (
                    _capsule_distance(obstacles, which, px + t_level * dx, py + t_level * dy)
                    < obstacles[which, HALF_WIDTH]
                ):
                    blocked = which
                    t = t_level
            x = px + t * dx
            y = py + t * dy
            z = pz + t * dz
            depth[row, column] = t
            coverage[row, column] = hit and blocked < 0
            burn[row, column] = 0.0
            bake[row, column] = 0.0
            lamp = _lamp_past_obstacles(obstacles, light, x, y, z + 1e-4)
            nx = 0.0
            ny = 0.0
            gloss = 0.0
            if blocked >= 0:
                edge = _capsule_distance(obstacles, blocked, x, y) / obstacles[blocked, HALF_WIDTH]
                sheen = 0.75 + 0.5 * math.sqrt(max(0.0, 1.0 - edge * edge))
                sheen *= 0.85 + 0.3 * value_noise(table, 300.0 * x, 300.0 * y)
                lamp_here = 0.8 * lamp * light.lamp_z
                red = obstacles[blocked, OBSTACLE_RED] * sheen * (lamp_here * light.lamp_red + light.sky_red)
                green = obstacles[blocked, OBSTACLE_GREEN] * sheen * (lamp_here * light.lamp_green + light.sky_green)
                blue = obstacles[blocked, OBSTACLE_BLUE] * sheen * (lamp_here * light.lamp_blue + light.sky_blue)
            elif hit:
                u = _within((y + offset_u) * per_metre)
                v = _within((x + offset_v) * per_metre)
                i, j, fu, fv = _lit_texel(surface, u, v)
                burn[row, column] = surface.burn[j, i]
                bake[row, column] = surface.bake[j, i]
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
                nx = lit[j, i, NORMAL_X]
                ny = lit[j, i, NORMAL_Y]
                gloss = lit[j, i, GLOSS]
                lamp *= lit[j, i, LAMP_SEEN]
            else:
                grey, gloss, flour = _belt_look(table, belt, x - moved, y)
                ambient = 1.0
                if 0.0 <= u1 < _LAST and 0.0 <= v1 < _LAST:
                    lamp *= lit[int(v1 + 0.5), int(u1 + 0.5), LAMP_SEEN]
                    ambient = 0.7
                lamp_here = lamp * light.lamp_z
                red = (grey + flour) * (lamp_here * light.lamp_red + ambient * light.sky_red)
                green = (grey + 0.9 * flour) * (lamp_here * light.lamp_green + ambient * light.sky_green)
                blue = (grey + 0.7 * flour) * (lamp_here * light.lamp_blue + ambient * light.sky_blue)
                red += 0.4 * grey * light.glow_red
                green += 0.4 * grey * light.glow_green
                blue += 0.4 * grey * light.glow_blue
            if gloss * lamp > 0.01:
                # Half vector between lamp and camera (Blinn-Phong, exponent 32).
                length = 1.0 / math.sqrt(1.0 + a * a + b * b)
                hx = light.lamp_x - dx * length
                hy = light.lamp_y - dy * length
                hz = light.lamp_z - dz * length
                nz = math.sqrt(max(0.0, 1.0 - nx * nx - ny * ny))
                shine = nx * hx + ny * hy + nz * hz
                shine = shine * shine / (hx * hx + hy * hy + hz * hz)
                if shine > 0.5:
                    shine *= shine
                    shine *= shine
                    shine *= shine
                    shine *= shine
                    glint = 0.55 * gloss * shine * lamp
                    red += glint * light.lamp_red
                    green += glint * light.lamp_green
                    blue += glint * light.lamp_blue
            if flare_strength > 0.0:
                gx = (column - flare_x) / flare_size
                gy = (row - flare_y) / flare_size
                bloom = gx * gx + gy * gy
                if bloom < 6.0:
                    flare = flare_strength * math.exp(-bloom)
                    red += flare
                    green += 0.95 * flare
                    blue += 0.82 * flare
            if faults.steam > 0.0:
                if column & 3 == 0:
                    # Steam has no edges: one look in four pixels is enough.
                    wisp_x = 0.014 * column + faults.steam_x + 0.3 * drift
                    wisp_y = 0.014 * row + faults.steam_y + drift
                    veil = faults.steam * smoothstep(0.40, 0.75, fbm(table, wisp_x, wisp_y, 2))
                red += veil * (0.42 - red)
                green += veil * (0.42 - green)
                blue += veil * (0.43 - blue)
            radiance[row, column, 0] = red
            radiance[row, column, 1] = green
            radiance[row, column, 2] = blue
