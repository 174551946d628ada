"""Draws everything about one bake from (seed, index): the item, its toppings, how it baked.

Only raw 64-bit draws of PCG64 are used, so that a bake does not change with the version of numpy.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.bakery.truth import DONENESS_EDGES, LABEL_MARGIN, LABELS, Shape

OLIVE, MUSHROOM, PEPPER, SALAMI, BASIL, BEETROOT = range(6)
TOPPING_NAMES = ("olive", "mushroom", "pepper", "salami", "basil", "beetroot")
"""On the menu are all but the last, which only a shift brings (shift.py)."""

_SAMPLED_MARGIN = LABEL_MARGIN + 0.008
"""Drawn a little further from the edges, for the mean over texels differs slightly from the solved one."""

_LEVELS_OF_LABEL = tuple(
    (low + _SAMPLED_MARGIN, high - _SAMPLED_MARGIN)
    for low, high in zip((0.0, *DONENESS_EDGES), (*DONENESS_EDGES, 1.0), strict=True)
)


class Draws:
    """Uniform draws of one bake, in the order they are asked for; `salt` names another stream of the same bake."""

    def __init__(self, seed: int, index: int, *salt: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence((seed, index, *salt)))

    def unit(self) -> float:
        """A number in [0, 1)."""
        return float(int(self._bits.random_raw()) >> 11) / float(1 << 53)

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.unit()

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high], both included."""
        return low + int(self.unit() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True in `probability` of the bakes."""
        return self.unit() < probability

    def angle(self) -> float:
        """An angle in [0, 2 pi) rad."""
        return self.between(0.0, 2.0 * math.pi)


class Item(NamedTuple):
    """Shape of the dough; lengths in metres, in the item's frame (origin at the centroid, x toward belt travel)."""

    is_slice: bool
    radius: float
    """Radius of the whole pizza, also for a slice of it."""
    centre_x: float
    """Centre of the whole pizza: the origin for a whole one, the tip for a slice."""
    centre_y: float
    slice_direction: float
    """Angle from the tip to the middle of the slice's rim, rad."""
    slice_half_angle: float
    extent: float
    """The item lies within [-extent, extent] on both axes."""
    rim_width: float
    rim_height: float
    base_height: float
    outline_offset: float
    """Where in the lattice the outline's unevenness is read."""

    @property
    def shape(self) -> Shape:
        """Name of the shape."""
        return "slice" if self.is_slice else "whole"


class Style(NamedTuple):
    """How the top is made; read by the surface kernel."""

    noise_x: float
    noise_y: float
    cheese_cover: float
    """0 none .. 1 everywhere."""
    cheese_shreds: float
    """0 slices of fresh cheese .. 1 shredded."""
    cheese_yellow: float
    sauce_red: float
    dough_dark: float
    """0 white flour .. 1 wholemeal."""
    flour: float
    """Flour dusted on the rim."""
    mottle: float
    """How spotted the cheese browns."""


class Baking(NamedTuple):
    """The bake field's ingredients; `field.solve` shifts their sum to the wanted mean."""

    mean: float
    hot_direction: float
    """Towards the oven's hot side, rad in the item's frame."""
    hot_side: float
    """Rise of the field from the centroid to one radius along that direction."""
    rim_rise: float
    """Rise from centre to rim."""
    patchiness: float
    """Amplitude of the slow noise."""
    patch_x: float
    patch_y: float
    hot_spots: npt.NDArray[np.float32]
    """float32 [S, 4]: x, y, rise, radius (m)."""


class Recipe(NamedTuple):
    """One item before it meets the camera."""

    item: Item
    style: Style
    baking: Baking
    blisters: npt.NDArray[np.float32]
    """float32 [B, 4]: x, y, radius, height (m)."""
    leopard: npt.NDArray[np.float32]
    """float32 [L, 3]: x, y, radius (m) of small char spots."""
    toppings: npt.NDArray[np.float32]
    """float32 [T, 10]: kind, x, y, turn, size, height, red, green, blue (linear), variant in [0, 1)."""


def draw_recipe(draws: Draws) -> Recipe:
    """Draw one item."""
    item = _draw_item(draws)
    return Recipe(
        item=item,
        style=_draw_style(draws),
        baking=_draw_baking(draws, item),
        blisters=_draw_blisters(draws, item),
        leopard=_draw_leopard(draws, item),
        toppings=_draw_toppings(draws, item),
    )


def _draw_item(draws: Draws) -> Item:
    is_slice = draws.chance(0.25)
    radius = draws.between(0.13, 0.165)
    direction = draws.angle()
    half_angle = draws.between(math.radians(24), math.radians(38))
    centre_x = centre_y = 0.0
    extent = radius
    if is_slice:
        centroid = 2.0 / 3.0 * radius * math.sin(half_angle) / half_angle  # metres from the tip
        centre_x, centre_y = -centroid * math.cos(direction), -centroid * math.sin(direction)
        corner = math.hypot(radius * math.cos(half_angle) - centroid, radius * math.sin(half_angle))
        extent = max(centroid, corner, radius - centroid)
    return Item(
        is_slice=is_slice,
        radius=radius,
        centre_x=centre_x,
        centre_y=centre_y,
        slice_direction=direction,
        slice_half_angle=half_angle,
        extent=1.07 * extent + 0.004,
        rim_width=radius * draws.between(0.11, 0.17),
        rim_height=draws.between(0.012, 0.026),
        base_height=draws.between(0.004, 0.0065),
        outline_offset=draws.between(0.0, 200.0),
    )


def _draw_style(draws: Draws) -> Style:
    return Style(
        noise_x=draws.between(0.0, 200.0),
        noise_y=draws.between(0.0, 200.0),
        cheese_cover=draws.between(0.5, 0.95),
        cheese_shreds=draws.unit(),
        cheese_yellow=draws.unit(),
        sauce_red=draws.unit(),
        dough_dark=draws.unit() ** 2,
        flour=draws.unit() ** 2,
        mottle=draws.between(0.5, 1.0),
    )


def _draw_baking(draws: Draws, item: Item) -> Baking:
    label = draws.integer(0, len(LABELS) - 1)
    mean = draws.between(*_LEVELS_OF_LABEL[label])
    spots = []
    for _ in range(draws.integer(0, 2)):
        x, y = point_on(draws, item, 0.0, 1.0)
        spots.append((x, y, draws.between(0.15, 0.45), item.extent * draws.between(0.12, 0.28)))
    return Baking(
        mean=mean,
        hot_direction=draws.angle(),
        hot_side=draws.between(0.02, 0.26),
        rim_rise=draws.between(-0.02, 0.08),
        patchiness=draws.between(0.05, 0.16),
        patch_x=draws.between(0.0, 200.0),
        patch_y=draws.between(0.0, 200.0),
        hot_spots=np.array(spots, dtype=np.float32).reshape(-1, 4),
    )


def point_on(draws: Draws, item: Item, inner: float, outer: float) -> tuple[float, float]:
    """A point of the item between two shares of its radius, metres in the item's frame."""
    distance = item.radius * math.sqrt(draws.between(inner * inner, outer * outer))
    spread = item.slice_half_angle if item.is_slice else math.pi
    turn = item.slice_direction + spread * draws.between(-1.0, 1.0)
    return item.centre_x + distance * math.cos(turn), item.centre_y + distance * math.sin(turn)


def _share_of_whole(item: Item) -> float:
    return item.slice_half_angle / math.pi if item.is_slice else 1.0


def _draw_blisters(draws: Draws, item: Item) -> npt.NDArray[np.float32]:
    count = round(draws.integer(4, 48) * _share_of_whole(item))
    rows = []
    for _ in range(count):
        on_rim = draws.chance(0.6)
        inner, outer = (1.0 - item.rim_width / item.radius, 0.99) if on_rim else (0.0, 0.8)
        x, y = point_on(draws, item, inner, outer)
        radius = draws.between(0.004, 0.011)
        rows.append((x, y, radius, radius * draws.between(0.3, 0.6)))
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def _draw_leopard(draws: Draws, item: Item) -> npt.NDArray[np.float32]:
    count = round(draws.integer(10, 90) * _share_of_whole(item)) if draws.chance(0.5) else 0
    rows = []
    for _ in range(count):
        inner, outer = (1.0 - item.rim_width / item.radius, 0.99) if draws.chance(0.6) else (0.0, 0.85)
        x, y = point_on(draws, item, inner, outer)
        rows.append((x, y, 0.0015 + 0.0045 * draws.unit() ** 2))
    return np.array(rows, dtype=np.float32).reshape(-1, 3)


_PALETTES: dict[int, tuple[tuple[float, float, float], ...]] = {
    OLIVE: ((0.022, 0.016, 0.020), (0.030, 0.020, 0.016), (0.14, 0.13, 0.03)),
    MUSHROOM: ((0.46, 0.36, 0.24), (0.36, 0.26, 0.16)),
    PEPPER: ((0.07, 0.19, 0.02), (0.50, 0.03, 0.015), (0.62, 0.34, 0.02)),
    SALAMI: ((0.34, 0.055, 0.03), (0.26, 0.035, 0.022), (0.12, 0.022, 0.016)),
    BASIL: ((0.055, 0.15, 0.02), (0.04, 0.10, 0.02)),
}
_SIZES_M = {  # half length, height over the cheese
    OLIVE: (0.0065, 0.0030),
    MUSHROOM: (0.0160, 0.0030),
    PEPPER: (0.0190, 0.0035),
    SALAMI: (0.0165, 0.0028),
    BASIL: (0.0190, 0.0020),
}
_MENU = (  # what lies on it, and how much of each on a whole pizza
    {BASIL: (3, 7)},
    {SALAMI: (9, 20)},
    {SALAMI: (6, 12), OLIVE: (8, 22)},
    {MUSHROOM: (12, 24)},
    {OLIVE: (14, 40), PEPPER: (4, 10)},
    {MUSHROOM: (6, 14), PEPPER: (6, 12), OLIVE: (6, 18)},
    {SALAMI: (6, 14), MUSHROOM: (5, 10), BASIL: (0, 3)},
    {OLIVE: (10, 30), BASIL: (2, 5)},
)


def _draw_toppings(draws: Draws, item: Item) -> npt.NDArray[np.float32]:
    rows: list[tuple[float, ...]] = []
    for kind, (fewest, most) in _MENU[draws.integer(0, len(_MENU) - 1)].items():
        count = math.ceil(draws.integer(fewest, most) * _share_of_whole(item))
        palette = _PALETTES[kind]
        first = draws.integer(0, len(palette) - 1)
        length, height = _SIZES_M[kind]
        for _ in range(count):
            # Peppers come in a mix of colours; the rest of one kind is alike.
            colour = palette[draws.integer(0, len(palette) - 1) if kind == PEPPER else first]
            size = length * draws.between(0.82, 1.2)
            x, y = _free_point(draws, item, rows, size)
            shade = draws.between(0.8, 1.2)
            red, green, blue = (shade * channel for channel in colour)
            thickness = height * draws.between(0.8, 1.25)
            rows.append((kind, x, y, draws.angle(), size, thickness, red, green, blue, draws.unit()))
    return np.array(rows, dtype=np.float32).reshape(-1, 10)


def _free_point(draws: Draws, item: Item, rows: list[tuple[float, ...]], size: float) -> tuple[float, float]:
    """A point inside the rim that is mostly free of earlier toppings (the last of 8 tries when none is)."""
    outer = 1.0 - item.rim_width / item.radius - 0.3 * size / item.radius
    x = y = 0.0
    for _ in range(8):
        x, y = point_on(draws, item, 0.0, outer)
        if all(math.hypot(x - row[1], y - row[2]) > 0.75 * (size + row[4]) for row in rows):
            break
    return x, y
