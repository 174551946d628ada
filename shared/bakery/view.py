"""One frame of a bake: rays meet the relief, the belt and what gets in the way.

Works in the oven's frame: the camera and the obstacles stand still, the item and the belt's pattern move along x.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from shared.bakery.capture import HALF_WIDTH, LEVEL, VISIBLE, Belt, Camera, Faults
from shared.bakery.light import GLOSS, LAMP_SEEN, NORMAL_X, NORMAL_Y, Light
from shared.bakery.noise import fbm, smoothstep
from shared.bakery.obstacles import capsule_distance, lamp_past_obstacles, obstacle_colour
from shared.bakery.relief import LAST_TEXEL, meet_relief, within
from shared.bakery.shading import belt_colour, highlight, item_colour, lit_texel
from shared.bakery.surface import TEXELS, TILE, TILE_REACH, Surface
from shared.bakery.truth import FRAME_HEIGHT, FRAME_WIDTH
from shared.jit import jit

Floats = npt.NDArray[np.float32]


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
            if max(u0, u1) > 0.0 and max(v0, v1) > 0.0 and min(u0, u1) < LAST_TEXEL and min(v0, v1) < LAST_TEXEL:
                start = top
                if max(abs(u1 - u0), abs(v1 - v0)) < 2 * TILE * TILE_REACH:
                    # Nothing is higher than the ceiling within half the ray's way from its middle.
                    i = int(within(0.5 * (u0 + u1))) // TILE
                    j = int(within(0.5 * (v0 + v1))) // TILE
                    start = float(surface.ceiling[j, i])
                    t_top = (start - pz) * per_dz
                    u0 = (py + t_top * dy + offset_u) * per_metre
                    v0 = (px + t_top * dx + offset_v) * per_metre
                met = meet_relief(surface.height, start, u0, v0, u1, v1) if start > 0.0 else 2.0
                if met <= 1.0:
                    hit = True
                    t = t_top + (t_floor - t_top) * met
            blocked = -1
            for which in range(obstacles.shape[0]):
                if obstacles[which, VISIBLE] == 0.0:
                    continue
                t_level = (obstacles[which, LEVEL] - pz) * per_dz
                if t_level < t and (
                    capsule_distance(obstacles, which, px + t_level * dx, py + t_level * dy)
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
            lamp = lamp_past_obstacles(obstacles, light, x, y, z + 1e-4)
            nx = 0.0
            ny = 0.0
            gloss = 0.0
            if blocked >= 0:
                red, green, blue = obstacle_colour(table, obstacles, blocked, light, lamp, x, y)
            elif hit:
                u = within((y + offset_u) * per_metre)
                v = within((x + offset_v) * per_metre)
                i, j, fu, fv = lit_texel(surface, u, v)
                burn[row, column] = surface.burn[j, i]
                bake[row, column] = surface.bake[j, i]
                red, green, blue = item_colour(lit, i, j, fu, fv, lamp)
                nx = lit[j, i, NORMAL_X]
                ny = lit[j, i, NORMAL_Y]
                gloss = lit[j, i, GLOSS]
                lamp *= lit[j, i, LAMP_SEEN]
            else:
                ambient = 1.0
                if 0.0 <= u1 < LAST_TEXEL and 0.0 <= v1 < LAST_TEXEL:
                    # Near the item the belt lies in its shadow and sees less sky.
                    lamp *= lit[int(v1 + 0.5), int(u1 + 0.5), LAMP_SEEN]
                    ambient = 0.7
                red, green, blue, gloss = belt_colour(table, belt, light, lamp, ambient, x - moved, y)
            if gloss * lamp > 0.01:
                length = 1.0 / math.sqrt(1.0 + a * a + b * b)
                shine = highlight(light.lamp_x, light.lamp_y, light.lamp_z, nx, ny, dx, dy, dz, length)
                glint = 0.55 * gloss * shine * lamp
                red += glint * light.lamp_red
                green += glint * light.lamp_green
                blue += glint * light.lamp_blue
            if light.second > 0.0 and gloss > 0.01:
                length = 1.0 / math.sqrt(1.0 + a * a + b * b)
                shine = highlight(light.second_x, light.second_y, light.second_z, nx, ny, dx, dy, dz, length)
                glint = 0.55 * gloss * shine * light.second
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
