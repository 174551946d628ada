"""How a bake is filmed: camera over the moving belt, what gets in the way, and the sensor's faults."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.bakery.recipe import Draws, Item
from shared.bakery.truth import FRAME_COUNT, FRAME_HEIGHT, FRAME_WIDTH

Floats = npt.NDArray[np.float32]

FRAME_INTERVAL_S = 0.25
_AIM_HEIGHT_M = 0.008
_PROBES = 17
"""The item is probed on a grid of _PROBES^2 points to set how much of it the frames show."""

# Columns of an obstacle: a capsule lying level in the oven's frame.
X0, Y0, X1, Y1, HALF_WIDTH, LEVEL, VISIBLE, OBSTACLE_RED, OBSTACLE_GREEN, OBSTACLE_BLUE, FRAMES_MASK = range(11)


class Camera(NamedTuple):
    """A pinhole fixed to the oven; OpenCV axes, metres, seconds."""

    focal_px: float
    rotation: Floats
    """float32 [3, 3]: rows are the camera's right, down and forward in the belt's axes."""
    position: Floats
    """float32 [3] in the oven's frame, which is the belt's at frame 0."""
    item_start: Floats
    """float32 [3]: the item's origin at frame 0."""
    belt_speed: float
    """m/s along +x."""
    times: Floats
    """float32 [8] seconds."""


class Faults(NamedTuple):
    """What the air, the lens and the sensor add."""

    exposure: float
    gain_red: float
    gain_blue: float
    vignette: float
    defocus_px: float
    exposure_s: float
    noise: float
    """Standard deviation in 8-bit steps at mid grey."""
    steam: float
    steam_x: float
    steam_y: float
    glare: Floats
    """float32 [8, 4]: centre x, y (px), radius (px), strength (0 = none)."""


class Belt(NamedTuple):
    """The conveyor's look."""

    kind: int
    """0 wire mesh, 1 steel slats, 2 stone."""
    pitch: float
    shade: float
    offset: float
    crumbs: float


class Capture(NamedTuple):
    """One pass under the camera."""

    camera: Camera
    faults: Faults
    belt: Belt
    obstacles: Floats
    """float32 [K, 11], columns as named above; FRAMES_MASK has bit k set where it is there in frame k."""
    glare_frames: list[int]
    shadow_frames: list[int]
    paddle_frames: list[int]

    def obstacles_in(self, frame: int) -> Floats:
        """What is there in one frame, float32 [k, 11]."""
        there = self.obstacles[:, FRAMES_MASK].astype(np.int64) >> frame & 1  # [K]
        present: Floats = self.obstacles[there == 1]  # [k, 11]
        return present


def draw_capture(draws: Draws, item: Item) -> Capture:
    """Draw one pass of `item`."""
    camera = _draw_camera(draws, item)
    obstacles: list[list[float]] = []
    if draws.chance(0.6):
        obstacles.append(_gantry(draws, item))
    shadow_frames, paddle_frames, glare_frames = [], [], []
    glare = np.zeros((FRAME_COUNT, 4), dtype=np.float32)  # [8, 4]
    for frame in range(FRAME_COUNT):
        if draws.chance(0.28):
            shadow_frames.append(frame)
            obstacles.append(_arm(draws, item, frame))
        if draws.chance(0.16):
            paddle_frames.append(frame)
            obstacles.append(_paddle(draws, item, frame))
        if draws.chance(0.22):
            glare_frames.append(frame)
            glare[frame] = (
                draws.between(0.1, 0.9) * FRAME_WIDTH,
                draws.between(0.1, 0.9) * FRAME_HEIGHT,
                draws.between(20.0, 55.0),
                draws.between(0.15, 0.6),
            )
    return Capture(
        camera=camera,
        faults=_draw_faults(draws, glare),
        belt=Belt(
            kind=draws.integer(0, 2),
            pitch=draws.between(0.009, 0.016),
            shade=draws.between(0.10, 0.30),
            offset=draws.between(0.0, 200.0),
            crumbs=draws.unit(),
        ),
        obstacles=np.array(obstacles, dtype=np.float32).reshape(-1, 11),
        glare_frames=glare_frames,
        shadow_frames=shadow_frames,
        paddle_frames=paddle_frames,
    )


def _draw_faults(draws: Draws, glare: Floats) -> Faults:
    return Faults(
        exposure=draws.between(0.84, 1.16),
        gain_red=draws.between(0.90, 1.12),
        gain_blue=draws.between(0.88, 1.14),
        vignette=draws.between(0.05, 0.40),
        defocus_px=0.35 + 0.9 * draws.unit() ** 2,
        exposure_s=draws.between(0.002, 0.02),
        noise=draws.between(1.5, 6.0),
        steam=0.45 * draws.unit() ** 2 if draws.chance(0.5) else 0.0,
        steam_x=draws.between(0.0, 200.0),
        steam_y=draws.between(0.0, 200.0),
        glare=glare,
    )


def _draw_camera(draws: Draws, item: Item) -> Camera:
    """A camera whose distance is set so that the frames show the drawn share of the item."""
    turn = draws.between(-math.radians(40), math.radians(40))  # where the picture's upper edge points on the belt
    tilt = draws.between(math.radians(4), math.radians(32))
    focal = draws.between(285.0, 320.0)
    shown = draws.between(0.50, 0.60)
    reach = item.extent / 1.07
    travel = reach * draws.between(1.0, 1.25)  # metres from frame 0 to frame 7
    start = -0.5 * travel + reach * draws.between(-0.14, 0.14)
    aside = reach * draws.between(-0.20, 0.20)
    up = np.array((math.cos(turn), math.sin(turn), 0.0))  # [3] on the ground
    forward = np.array((math.sin(tilt) * up[0], math.sin(tilt) * up[1], -math.cos(tilt)))  # [3]
    right = np.array((up[1], -up[0], 0.0))  # [3]
    rotation = np.stack((right, np.cross(forward, right), forward))  # [3, 3]
    shifts = start + travel * np.arange(FRAME_COUNT) / (FRAME_COUNT - 1)  # [8]
    probes = _probe_points(item)  # [P, 2]
    near, far = 0.4 * reach, 4.0 * reach
    for _ in range(14):
        distance = 0.5 * (near + far)
        if _shown_share(probes, rotation, focal, distance * forward, shifts, aside) < shown:
            near = distance
        else:
            far = distance
    position = np.array((0.0, 0.0, _AIM_HEIGHT_M)) - 0.5 * (near + far) * forward  # [3]
    times = np.arange(FRAME_COUNT, dtype=np.float32) * np.float32(FRAME_INTERVAL_S)  # [8]
    return Camera(
        focal_px=focal,
        rotation=rotation.astype(np.float32),
        position=position.astype(np.float32),
        item_start=np.array((start, aside, 0.0), dtype=np.float32),
        belt_speed=travel / float(times[-1]),
        times=times,
    )


def _probe_points(item: Item) -> npt.NDArray[np.float64]:
    """Points spread evenly over the item, float64 [P, 2] in its frame; its outline taken as smooth."""
    line = np.linspace(-item.extent, item.extent, _PROBES)
    x, y = (axis.ravel() for axis in np.meshgrid(line, line))  # [P] each
    dx, dy = x - item.centre_x, y - item.centre_y
    inside = dx * dx + dy * dy < item.radius**2
    if item.is_slice:
        along = dx * math.cos(item.slice_direction) + dy * math.sin(item.slice_direction)
        across = np.abs(dy * math.cos(item.slice_direction) - dx * math.sin(item.slice_direction))
        inside &= across < along * math.tan(item.slice_half_angle)
    return np.stack((x[inside], y[inside]), axis=1)


def _shown_share(
    probes: npt.NDArray[np.float64],
    rotation: npt.NDArray[np.float64],
    focal: float,
    offset: npt.NDArray[np.float64],
    shifts: npt.NDArray[np.float64],
    aside: float,
) -> float:
    """Mean share of the probe points that lie within the frames, obstacles left out."""
    points = np.empty((len(shifts), len(probes), 3))  # [8, P, 3] relative to the camera
    points[:, :, 0] = probes[None, :, 0] + shifts[:, None] + offset[0]
    points[:, :, 1] = probes[None, :, 1] + aside + offset[1]
    points[:, :, 2] = offset[2]
    seen = points @ rotation.T  # [8, P, 3] camera axes
    ahead = np.maximum(seen[:, :, 2], 1e-3)  # [8, P]
    inside = np.abs(seen[:, :, 0]) * focal < 0.5 * FRAME_WIDTH * ahead
    inside &= np.abs(seen[:, :, 1]) * focal < 0.5 * FRAME_HEIGHT * ahead
    inside &= seen[:, :, 2] > 0
    return float(inside.mean())


def _gantry(draws: Draws, item: Item) -> list[float]:
    """A bar across the belt, always there: it hides another part of the item in every frame."""
    turn = draws.between(-0.5, 0.5) + (math.pi / 2 if draws.chance(0.7) else 0.0)
    away = item.extent * draws.between(-0.45, 0.45)
    x, y = -math.sin(turn) * away, math.cos(turn) * away
    dx, dy = 3.0 * math.cos(turn), 3.0 * math.sin(turn)
    grey = draws.between(0.08, 0.30)
    half_width = item.extent * draws.between(0.03, 0.065)
    level = draws.between(0.040, 0.060)
    return [x - dx, y - dy, x + dx, y + dy, half_width, level, 1.0, grey, grey, 1.05 * grey, float(0xFF)]


def _arm(draws: Draws, item: Item, frame: int) -> list[float]:
    """Something out of view that throws a shadow in one frame only; the lower it is, the crisper."""
    turn = draws.angle()
    tip = item.extent * draws.between(-0.4, 0.5)
    half_width = item.extent * draws.between(0.12, 0.35)
    return [*_reaching_in(turn, tip), half_width, draws.between(0.05, 0.20), 0.0, 0.0, 0.0, 0.0, float(1 << frame)]


def _paddle(draws: Draws, item: Item, frame: int) -> list[float]:
    """A baker's paddle reaching in from a side in one frame only: wood or steel."""
    turn = draws.angle()
    tip = item.extent * draws.between(0.25, 0.7)
    half_width = item.extent * draws.between(0.22, 0.40)
    colour = (0.36, 0.23, 0.11) if draws.chance(0.5) else (0.30, 0.30, 0.31)
    return [*_reaching_in(turn, tip), half_width, draws.between(0.030, 0.045), 1.0, *colour, float(1 << frame)]


def _reaching_in(turn: float, tip: float) -> tuple[float, float, float, float]:
    """Ends of a capsule that comes from 3 m away at the angle `turn` and ends `tip` metres from the middle."""
    x, y = math.cos(turn), math.sin(turn)
    return tip * x, tip * y, (tip + 3.0) * x, (tip + 3.0) * y
