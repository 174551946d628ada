"""Renders bakes: `render_bake` for one, `iter_bakes` for a stream of them."""

from __future__ import annotations

import itertools
import math
import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.bakery.capture import Capture, draw_capture
from shared.bakery.field import RIM
from shared.bakery.light import draw_light, light_surface
from shared.bakery.noise import lattice, sensor_noise
from shared.bakery.recipe import TOPPING_NAMES, Draws, Recipe, draw_recipe
from shared.bakery.sensor import expose, tone_curve
from shared.bakery.shift import SALT, shifted_light, shifted_recipe
from shared.bakery.surface import Surface, make_surface
from shared.bakery.truth import (
    ALL_ROUND_SPREAD,
    CHAR_PRESENT_FRACTION,
    CHAR_THRESHOLD,
    FRAME_COUNT,
    FRAME_HEIGHT,
    FRAME_WIDTH,
    BakeTruth,
    CharWhere,
    Shift,
    bake_id_of,
    doneness_of,
)
from shared.bakery.view import draw_frame
from shared.children import follow_parent
from shared.errors import BadInputError

Floats = npt.NDArray[np.float32]


class BakeMaps(NamedTuple):
    """Truth per pixel, for auxiliary losses; 0 off the item and under obstacles."""

    coverage: npt.NDArray[np.bool_]
    """bool [8, 240, 320]: the item is what the pixel sees."""
    burn: Floats
    """float32 [8, 240, 320]: 0 .. 1 charred."""
    bake: Floats
    """float32 [8, 240, 320]: the bake field."""


class Bake(NamedTuple):
    """One rendered bake."""

    frames: npt.NDArray[np.uint8]
    """uint8 [8, 240, 320, 3] RGB."""
    depth: Floats
    """float32 [8, 240, 320]: metres along the camera's axis."""
    intrinsics: Floats
    """float32 [3, 3]."""
    poses: Floats
    """float32 [8, 3, 4]: world to camera, OpenCV axes, metres; the world is the belt as it lies at frame 0."""
    maps: BakeMaps
    truth: BakeTruth

    def points(self) -> Floats:
        """The point each pixel sees, float32 [8, 240, 320, 3] metres in the item's frame (x along the belt, z up)."""
        columns, rows = np.meshgrid(np.arange(FRAME_WIDTH), np.arange(FRAME_HEIGHT))  # [240, 320] each
        pixels = np.stack((columns, rows, np.ones_like(rows)), axis=-1).astype(np.float32)  # [240, 320, 3]
        rays = pixels @ np.linalg.inv(self.intrinsics).T  # [240, 320, 3], z = 1
        seen = rays[None] * self.depth[..., None] - self.poses[:, None, None, :, 3]  # [8, 240, 320, 3]
        # The rows of the rotation are the camera's axes, so its transpose is applied by a product from the right.
        world = np.einsum("fhwc,fcd->fhwd", seen, self.poses[:, :, :3])  # [8, 240, 320, 3]
        return np.asarray(world - np.asarray(self.truth.item_centre_m), dtype=np.float32)


def render_bake(seed: int, index: int, shift: Shift | None = None) -> Bake:
    """Render bake `index` of `seed`; the same bytes on every run, in any process and order.

    With a `shift` it is the same pizza in a bakery that has changed (see shift.py). Raises BadInputError when seed or
    index is negative.
    """
    if seed < 0 or index < 0:
        raise BadInputError(f"seed and index must be 0 or more, not {seed} and {index}")
    draws = Draws(seed, index)
    recipe = draw_recipe(draws)
    light = draw_light(draws)
    capture = draw_capture(draws, recipe.item)
    if shift == "new-topping":
        recipe = shifted_recipe(recipe, Draws(seed, index, SALT))
    elif shift == "new-light":
        light = shifted_light(light, Draws(seed, index, SALT))
    noise_starts = [draws.integer(0, len(sensor_noise()) - FRAME_HEIGHT * FRAME_WIDTH * 3 - 1) for _ in range(8)]
    surface = make_surface(recipe)
    lit = light_surface(surface, light)  # [TEXELS, TEXELS, 8]
    camera, faults = capture.camera, capture.faults
    shape = (FRAME_COUNT, FRAME_HEIGHT, FRAME_WIDTH)
    frames = np.empty((*shape, 3), np.uint8)  # [8, 240, 320, 3]
    depth, burn, bake = (np.empty(shape, np.float32) for _ in range(3))  # [8, 240, 320] each
    coverage = np.empty(shape, np.bool_)  # [8, 240, 320]
    radiance = np.empty((FRAME_HEIGHT, FRAME_WIDTH, 3), np.float32)  # [240, 320, 3]
    flat = radiance.reshape(FRAME_HEIGHT, -1)  # [240, 960], a view
    buffer = np.empty_like(flat)  # [240, 960]
    gains = np.array((faults.gain_red, 1.0, faults.gain_blue), np.float32) * np.float32(faults.exposure)  # [3]
    motion = _motion_px(capture)
    for frame in range(FRAME_COUNT):
        draw_frame(
            frame,
            lattice(),
            surface,
            lit,
            light,
            camera,
            capture.belt,
            capture.obstacles_in(frame),
            faults,
            radiance,
            depth[frame],
            coverage[frame],
            burn[frame],
            bake[frame],
        )
        expose(
            flat,
            buffer,
            tone_curve(),
            sensor_noise(),
            noise_starts[frame],
            faults.defocus_px,
            *motion,
            gains,
            faults.vignette,
            faults.noise,
            frames[frame].reshape(FRAME_HEIGHT, -1),
        )
    intrinsics = np.array(
        (
            (camera.focal_px, 0.0, 0.5 * (FRAME_WIDTH - 1)),
            (0.0, camera.focal_px, 0.5 * (FRAME_HEIGHT - 1)),
            (0.0, 0.0, 1.0),
        ),
        np.float32,
    )  # [3, 3]
    poses = _poses(capture)  # [8, 3, 4]
    maps = BakeMaps(coverage=coverage, burn=burn, bake=bake)
    truth = _truth(seed, index, shift, recipe, capture, surface, maps, intrinsics, poses)
    return Bake(frames=frames, depth=depth, intrinsics=intrinsics, poses=poses, maps=maps, truth=truth)


def _motion_px(capture: Capture) -> tuple[float, float]:
    """Motion of the belt in the picture during one exposure, pixels (x, y)."""
    camera = capture.camera
    per_metre = camera.focal_px / float(camera.position[2])
    travelled = camera.belt_speed * capture.faults.exposure_s
    # Column 0 of the rotation is the belt's direction in camera axes.
    return float(camera.rotation[0, 0]) * travelled * per_metre, float(camera.rotation[1, 0]) * travelled * per_metre


def _poses(capture: Capture) -> Floats:
    """World-to-camera poses, float32 [8, 3, 4]: seen from the belt, the camera moves against its travel."""
    camera = capture.camera
    centres = np.repeat(camera.position[None].astype(np.float64), FRAME_COUNT, axis=0)  # [8, 3]
    centres[:, 0] -= camera.belt_speed * camera.times
    rotation = camera.rotation.astype(np.float64)  # [3, 3]
    poses = np.empty((FRAME_COUNT, 3, 4), np.float32)
    poses[:, :, :3] = rotation
    poses[:, :, 3] = -centres @ rotation.T
    return poses


def _truth(
    seed: int,
    index: int,
    shift: Shift | None,
    recipe: Recipe,
    capture: Capture,
    surface: Surface,
    maps: BakeMaps,
    intrinsics: Floats,
    poses: Floats,
) -> BakeTruth:
    on_item = surface.region > 0  # [TEXELS, TEXELS]
    area = int(on_item.sum())
    field = surface.bake[on_item].astype(np.float64)  # [area]
    bake_index = float(field.mean())
    charred = on_item & (surface.burn >= CHAR_THRESHOLD)  # [TEXELS, TEXELS]
    burnt_fraction = float(charred.sum()) / area
    where, sector, by_hour = _char_location(surface, charred, area)
    rim = surface.height[surface.region == RIM]  # [rim texels]
    texel_area = (2.0 * surface.extent / (surface.height.shape[0] - 1)) ** 2
    seen = _seen_area(maps, intrinsics, poses, capture)
    kinds = recipe.toppings[:, 0].astype(int).tolist()
    return BakeTruth(
        bake_id=bake_id_of(seed, index, shift),
        seed=seed,
        index=index,
        shape=recipe.item.shape,
        doneness=doneness_of(bake_index),
        bake_index=bake_index,
        evenness=max(0.0, 1.0 - 4.0 * float(field.std())),
        burnt_fraction=burnt_fraction,
        char_where=where,
        char_sector=sector,
        char_fraction_by_hour=by_hour,
        crust_height_mm=1000.0 * float(np.percentile(rim, 95)) if rim.size else 0.0,
        blister_count=len(recipe.blisters),
        blister_height_mm=1000.0 * float(recipe.blisters[:, 3].max(initial=0.0)),
        toppings={name: kinds.count(kind) for kind, name in enumerate(TOPPING_NAMES) if kind in kinds},
        frames_with_glare=capture.glare_frames,
        frames_with_shadow=capture.shadow_frames,
        frames_with_paddle=capture.paddle_frames,
        visible_fraction=[min(1.0, value / (area * texel_area)) for value in seen],
        times_s=[float(value) for value in capture.camera.times],
        belt_speed_m_s=capture.camera.belt_speed,
        item_centre_m=[float(value) for value in capture.camera.item_start],
        intrinsics=intrinsics.astype(float).tolist(),
        poses=poses.astype(float).tolist(),
    )


def _char_location(
    surface: Surface, charred: npt.NDArray[np.bool_], area: int
) -> tuple[CharWhere, int | None, list[float]]:
    """Where the char lies: rim or centre, the hour it lies towards, and its share of the area by hour."""
    rows, columns = np.nonzero(charred)  # [charred] each
    middle = 0.5 * (charred.shape[0] - 1)
    x, y = rows - middle, columns - middle  # texels from the item's origin
    # Clockwise from the direction of travel (+x), seen from above.
    turn = np.arctan2(-y, x) / (2.0 * math.pi) * 12.0  # hours
    hours = np.rint(turn).astype(int) % 12  # 0 is 12 o'clock
    counts = np.bincount(hours, minlength=12)  # [12]
    by_hour = [float(counts[hour % 12]) / area for hour in range(1, 13)]
    if len(rows) < CHAR_PRESENT_FRACTION * area:
        return "none", None, by_hour
    on_rim = float((surface.region[charred] == RIM).mean())
    phase = np.exp(1j * turn * (2.0 * math.pi / 12.0)).mean()  # resultant of the char's directions
    sector = None
    if abs(phase) >= ALL_ROUND_SPREAD:
        sector = round(float(np.angle(phase)) / (2.0 * math.pi) * 12.0) % 12 or 12
    return ("rim" if on_rim > 0.5 else "centre"), sector, by_hour


def _seen_area(maps: BakeMaps, intrinsics: Floats, poses: Floats, capture: Capture) -> list[float]:
    """Square metres of the item that each frame sees, measured on the level of its top."""
    camera = capture.camera
    level = 0.008  # metres over the belt; the item's relief is within 1 cm of it
    columns, rows = np.meshgrid(np.arange(FRAME_WIDTH), np.arange(FRAME_HEIGHT))  # [240, 320] each
    a = (columns - intrinsics[0, 2]) / camera.focal_px
    b = (rows - intrinsics[1, 2]) / camera.focal_px
    fall = -(camera.rotation[0, 2] * a + camera.rotation[1, 2] * b + camera.rotation[2, 2])  # [240, 320]
    distance = (float(camera.position[2]) - level) / fall  # [240, 320] depth of the level
    # A pixel covers (depth / focal)^2 across the axis, over the cosine between ray and level.
    footprint = distance**3 / (camera.focal_px**2 * (float(camera.position[2]) - level))  # [240, 320]
    return [float(footprint[covered].sum()) for covered in maps.coverage]


def _render_at(job: tuple[int, int, Shift | None]) -> Bake:
    return render_bake(*job)


def iter_bakes(seed: int, count: int, processes: int = 1, start: int = 0, shift: Shift | None = None) -> Iterator[Bake]:
    """Render bakes `start` .. `start + count - 1` of `seed` in order, each yielded as it is made.

    With more processes than one, at most two bakes a process wait to be taken. Raises BadInputError on a negative
    seed, count or start and on fewer than 1 process.
    """
    if seed < 0 or count < 0 or start < 0:
        raise BadInputError(f"seed, count and start must be 0 or more, not {seed}, {count} and {start}")
    if processes < 1:
        raise BadInputError(f"processes must be 1 or more, not {processes}")
    return _iter_bakes(seed, count, processes, start, shift)


def _iter_bakes(seed: int, count: int, processes: int, start: int, shift: Shift | None) -> Iterator[Bake]:
    if processes == 1:
        for index in range(start, start + count):
            yield render_bake(seed, index, shift)
        return
    jobs = ((seed, index, shift) for index in range(start, start + count))
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"), initializer=follow_parent)
    waiting: deque[Future[Bake]] = deque()
    try:
        for job in itertools.islice(jobs, 2 * processes):
            waiting.append(pool.submit(_render_at, job))
        while waiting:
            bake = waiting.popleft().result()
            for job in itertools.islice(jobs, 1):
                waiting.append(pool.submit(_render_at, job))
            yield bake
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
