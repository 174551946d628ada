"""One frame of a bake: rays meet the relief, the belt and what gets in the way.

Works in the oven's frame: the camera and the obstacles stand still, the item and the belt's pattern move along x.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from shared.bakery.capture import (
    FRAMES_MASK,
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
from shared.bakery.surface import TEXELS, Surface
from shared.bakery.truth import FRAME_HEIGHT, FRAME_WIDTH
from shared.jit import jit

Floats = npt.NDArray[np.float32]

_MARCH_STEPS = 10
_SECANT_STEPS = 3


@jit(nogil=True)
def _capsule_distance(obstacles: Floats, which: int, x: float, y: float) -> float:
    """Metres from (x, y) to the middle line of an obstacle."""
    ax = obstacles[which, X1] - obstacles[which, X0]
    ay = obstacles[which, Y1] - obstacles[which, Y0]
    bx = x - obstacles[which, X0]
    by = y - obstacles[which, Y0]
    t = min(1.0, max(0.0, (ax * bx + ay * by) / (ax * ax + ay * ay)))
    return math.sqrt((bx - t * ax) * (bx - t * ax) + (by - t * ay) * (by - t * ay))


@jit(nogil=True)
def _lamp_past_obstacles(obstacles: Floats, frame: int, light: Light, x: float, y: float, z: float) -> float:
    """Share of the lamp's light that passes all obstacles on its way to a point, with soft edges."""
    passed = 1.0
    for which in range(obstacles.shape[0]):
        if (int(obstacles[which, FRAMES_MASK]) >> frame) & 1 == 0:
            continue
        rise = obstacles[which, LEVEL] - z
        if rise <= 0.0:
            continue
        along = rise / light.lamp_z
        apart = _capsule_distance(obstacles, which, x + along * light.lamp_x, y + along * light.lamp_y)
        soft = 0.001 + 0.05 * along
        passed *= smoothstep(-soft, soft, apart - obstacles[which, HALF_WIDTH])
    return passed


@jit(nogil=True)
def _bilinear(height: Floats, u: float, v: float) -> float:
    i = int(u)
    j = int(v)
    a = np.float32(u - i)
    b = np.float32(v - j)
    top = height[j, i] + (height[j, i + 1] - height[j, i]) * a
    bottom = height[j + 1, i] + (height[j + 1, i + 1] - height[j + 1, i]) * a
    return top + (bottom - top) * b


@jit(nogil=True)
def _belt_albedo(table: Floats, belt: Belt, x: float, y: float) -> tuple[float, float]:
    """Grey albedo and gloss of the belt at a point that moves with it."""
    grain = value_noise(table, 900.0 * x + belt.offset, 900.0 * y)
    if belt.kind == 0:
        # Wires in both directions over darkness.
        a = abs((x / belt.pitch) % 1.0 - 0.5)
        b = abs((y / belt.pitch) % 1.0 - 0.5)
        wire = max(smoothstep(0.12, 0.06, a), smoothstep(0.12, 0.06, b))
        return 0.015 + wire * belt.shade * (0.8 + 0.4 * grain), 0.5 * wire
    if belt.kind == 1:
        brushed = value_noise(table, 60.0 * x, 1500.0 * y + belt.offset)
        gap = smoothstep(0.035, 0.07, abs((x / (2.5 * belt.pitch)) % 1.0 - 0.5))
        return 0.01 + gap * belt.shade * (0.9 + 0.5 * brushed), 0.3 * gap
    speckle = fbm(table, 140.0 * x + belt.offset, 140.0 * y, 2)
    return belt.shade * (0.55 + 0.7 * speckle + 0.25 * grain), 0.05


@jit(nogil=True)
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
    """Fill one frame's radiance [H, W, 3], depth [H, W] (m), coverage, burn and bake [H, W]; 0 off the item."""
    moved = camera.belt_speed * camera.times[frame]
    item_x = camera.item_start[0] + moved
    item_y = camera.item_start[1]
    extent = surface.extent
    per_metre = (TEXELS - 1) / (2.0 * extent)
    last = TEXELS - 1.001
    top = 0.0
    for row in range(0, TEXELS):
        for column in range(0, TEXELS):
            top = max(top, surface.height[row, column])
    px = camera.position[0]
    py = camera.position[1]
    pz = camera.position[2]
    rotation = camera.rotation
    for row in range(FRAME_HEIGHT):
        b = (row - 0.5 * (FRAME_HEIGHT - 1)) / camera.focal_px
        for column in range(FRAME_WIDTH):
            a = (column - 0.5 * (FRAME_WIDTH - 1)) / camera.focal_px
            dx = rotation[0, 0] * a + rotation[1, 0] * b + rotation[2, 0]
            dy = rotation[0, 1] * a + rotation[1, 1] * b + rotation[2, 1]
            dz = rotation[0, 2] * a + rotation[1, 2] * b + rotation[2, 2]
            # dz < 0: the camera looks down. t is the depth along the optical axis.
            t_floor = -pz / dz
            t_before = (top - pz) / dz
            t = t_floor
            hit = False
            u0 = (px + t_before * dx - item_x + extent) * per_metre
            v0 = (py + t_before * dy - item_y + extent) * per_metre
            u1 = (px + t_floor * dx - item_x + extent) * per_metre
            v1 = (py + t_floor * dy - item_y + extent) * per_metre
            near_item = max(u0, u1) > 0 and max(v0, v1) > 0 and min(u0, u1) < last and min(v0, v1) < last
            if near_item:
                # Coarse steps down from the highest point find the first sample below the relief.
                s_above = 0.0
                s_below = 1.0
                for step in range(1, _MARCH_STEPS + 1):
                    s = step / _MARCH_STEPS
                    u = u0 + (u1 - u0) * s
                    v = v0 + (v1 - v0) * s
                    if 0.0 <= u < last and 0.0 <= v < last:
                        ground = surface.height[int(v + 0.5), int(u + 0.5)]
                        if ground > 0.0 and ground >= top * (1.0 - s):
                            hit = True
                            s_below = s
                            break
                    s_above = s
                if hit:
                    for _ in range(_SECANT_STEPS):
                        s = 0.5 * (s_above + s_below)
                        u = min(last, max(0.0, u0 + (u1 - u0) * s))
                        v = min(last, max(0.0, v0 + (v1 - v0) * s))
                        if _bilinear(surface.height, u, v) >= top * (1.0 - s):
                            s_below = s
                        else:
                            s_above = s
                    t = t_before + (t_floor - t_before) * s_below
            # A visible obstacle in front of what was hit.
            blocked = -1
            for which in range(obstacles.shape[0]):
                if obstacles[which, VISIBLE] == 0.0 or (int(obstacles[which, FRAMES_MASK]) >> frame) & 1 == 0:
                    continue
                t_level = (obstacles[which, LEVEL] - pz) / dz
                if 0.0 < t_level < t and (
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
            lamp = _lamp_past_obstacles(obstacles, frame, light, x, y, z + 1e-4)
            nx = 0.0
            ny = 0.0
            gloss = 0.0
            lamp_seen = lamp
            if blocked >= 0:
                edge = _capsule_distance(obstacles, blocked, x, y) / obstacles[blocked, HALF_WIDTH]
                sheen = 0.75 + 0.5 * math.sqrt(max(0.0, 1.0 - edge * edge))
                sheen *= 0.85 + 0.3 * value_noise(table, 300.0 * x, 300.0 * y)
                lamp_here = 0.8 * lamp * light.lamp_z
                red = obstacles[blocked, OBSTACLE_RED] * sheen * (lamp_here * light.lamp_red + light.sky_red)
                green = obstacles[blocked, OBSTACLE_GREEN] * sheen * (lamp_here * light.lamp_green + light.sky_green)
                blue = obstacles[blocked, OBSTACLE_BLUE] * sheen * (lamp_here * light.lamp_blue + light.sky_blue)
            elif hit:
                u = min(last, max(0.0, (x - item_x + extent) * per_metre))
                v = min(last, max(0.0, (y - item_y + extent) * per_metre))
                nearest_i = int(u + 0.5)
                nearest_j = int(v + 0.5)
                burn[row, column] = surface.burn[nearest_j, nearest_i]
                bake[row, column] = surface.bake[nearest_j, nearest_i]
                i = int(u)
                j = int(v)
                # At the outline the texels beyond hold no colour.
                whole = (
                    surface.region[j, i] > 0
                    and surface.region[j, i + 1] > 0
                    and surface.region[j + 1, i] > 0
                    and surface.region[j + 1, i + 1] > 0
                )
                fu = np.float32(u - i)
                fv = np.float32(v - j)
                if not whole:
                    if surface.region[nearest_j, nearest_i] > 0:
                        i = min(nearest_i, TEXELS - 2)
                        j = min(nearest_j, TEXELS - 2)
                    elif surface.region[j, i + 1] > 0:
                        i += 1
                    elif surface.region[j + 1, i] > 0:
                        j += 1
                    elif surface.region[j + 1, i + 1] > 0:
                        i += 1
                        j += 1
                    fu = np.float32(0.0)
                    fv = np.float32(0.0)
                w00 = (1 - fu) * (1 - fv)
                w01 = fu * (1 - fv)
                w10 = (1 - fu) * fv
                w11 = fu * fv
                i1 = min(i + 1, TEXELS - 1)
                j1 = min(j + 1, TEXELS - 1)
                t00 = lit[j, i]
                t01 = lit[j, i1]
                t10 = lit[j1, i]
                t11 = lit[j1, i1]
                share = w00 * t00[LAMP_SHARE] + w01 * t01[LAMP_SHARE] + w10 * t10[LAMP_SHARE] + w11 * t11[LAMP_SHARE]
                left = 1.0 - share * (1.0 - lamp)
                red = left * (w00 * t00[RED] + w01 * t01[RED] + w10 * t10[RED] + w11 * t11[RED])
                green = left * (w00 * t00[GREEN] + w01 * t01[GREEN] + w10 * t10[GREEN] + w11 * t11[GREEN])
                blue = left * (w00 * t00[BLUE] + w01 * t01[BLUE] + w10 * t10[BLUE] + w11 * t11[BLUE])
                nx = w00 * t00[NORMAL_X] + w01 * t01[NORMAL_X] + w10 * t10[NORMAL_X] + w11 * t11[NORMAL_X]
                ny = w00 * t00[NORMAL_Y] + w01 * t01[NORMAL_Y] + w10 * t10[NORMAL_Y] + w11 * t11[NORMAL_Y]
                gloss = t00[GLOSS]
                lamp_seen = lamp * t00[LAMP_SEEN]
            else:
                grey, gloss = _belt_albedo(table, belt, x - moved, y)
                ambient = 1.0
                if near_item:
                    i = int(u1 + 0.5)
                    j = int(v1 + 0.5)
                    if 0 <= i < TEXELS and 0 <= j < TEXELS:
                        lamp_seen = lamp * lit[j, i, LAMP_SEEN]
                        ambient = 0.7
                lamp_here = lamp_seen * light.lamp_z
                red = grey * (lamp_here * light.lamp_red + ambient * light.sky_red + 0.4 * light.glow_red)
                green = grey * (lamp_here * light.lamp_green + ambient * light.sky_green + 0.4 * light.glow_green)
                blue = grey * (lamp_here * light.lamp_blue + ambient * light.sky_blue + 0.4 * light.glow_blue)
                if belt.crumbs > 0.3:
                    # Flour and crumbs that travel with the belt.
                    dust = value_noise(table, 330.0 * (x - moved), 330.0 * y + belt.offset)
                    dust = smoothstep(0.90, 0.97, dust) * belt.crumbs * 0.5 * (lamp_here + 0.4)
                    red += dust
                    green += 0.9 * dust
                    blue += 0.7 * dust
            if gloss > 0.0 and lamp_seen > 0.0:
                # Half vector between lamp and camera (Blinn-Phong, exponent 32).
                length = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
                hx = light.lamp_x - dx * length
                hy = light.lamp_y - dy * length
                hz = light.lamp_z - dz * length
                nz = math.sqrt(max(0.0, 1.0 - nx * nx - ny * ny))
                shine = (nx * hx + ny * hy + nz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz)
                if shine > 0.0:
                    shine *= shine
                    shine *= shine
                    shine *= shine
                    shine *= shine
                    shine *= shine
                    glint = 0.55 * gloss * shine * lamp_seen
                    red += glint * light.lamp_red
                    green += glint * light.lamp_green
                    blue += glint * light.lamp_blue
            if faults.glare[frame, 3] > 0.0:
                gx = (column - faults.glare[frame, 0]) / faults.glare[frame, 2]
                gy = (row - faults.glare[frame, 1]) / faults.glare[frame, 2]
                bloom = gx * gx + gy * gy
                if bloom < 9.0:
                    flare = faults.glare[frame, 3] * math.exp(-bloom)
                    red += flare
                    green += 0.95 * flare
                    blue += 0.82 * flare
            if faults.steam > 0.0:
                drift = 0.9 * camera.times[frame]
                wisp = fbm(
                    table, 0.012 * column + faults.steam_x + 0.3 * drift, 0.012 * row + faults.steam_y + drift, 3
                )
                veil = faults.steam * smoothstep(0.40, 0.75, wisp)
                red += veil * (0.42 - red)
                green += veil * (0.42 - green)
                blue += veil * (0.43 - blue)
            radiance[row, column, 0] = red
            radiance[row, column, 1] = green
            radiance[row, column, 2] = blue
