"""What is true of a rendered bake, and how the truth is defined.

The bake field b(x, y) is in [0, 1] at every point of the item's top: 0 is raw dough, 1 is charcoal. Its mean over
the item's area is `bake_index`, and `doneness` is the fifth of [0, 1] that the mean falls in (`DONENESS_EDGES`).
No bake has a mean closer than `LABEL_MARGIN` to an edge between two labels, so each label can be known.

Hours are those of a clock face seen from above whose 12 points in the direction of belt travel.
"""

from __future__ import annotations

import bisect
from typing import Literal, get_args

import msgspec

from shared.errors import BadInputError

LABELS = ("raw", "underbaked", "golden", "dark", "burnt")
DONENESS_EDGES = (0.2, 0.4, 0.6, 0.8)
"""Edges of the mean bake field between two labels."""
LABEL_MARGIN = 0.03
"""Least distance of a bake's mean field to an edge."""

FRAME_COUNT = 8
FRAME_HEIGHT = 240
FRAME_WIDTH = 320
KEY_FRAME = 4
"""The middle frame: the one that the edge classifies."""

CHAR_THRESHOLD = 0.5
"""A point counts as burnt from this value of the char map on."""
CHAR_PRESENT_FRACTION = 0.01
"""Under this burnt share of the item's area, `char_where` is "none"."""
ALL_ROUND_SPREAD = 0.15
"""Resultant length (0 all round, 1 one direction) of the char under which no one hour can be named."""

Shift = Literal["new-topping", "new-light"]
SHIFTS: tuple[Shift, ...] = get_args(Shift)
"""How the bakery can change; shift.py says what each brings."""

CharWhere = Literal["none", "rim", "centre"]
Shape = Literal["whole", "slice"]


class BakeTruth(msgspec.Struct, frozen=True, kw_only=True):
    """Ground truth of one bake; lengths in the unit that the name ends with, fractions in [0, 1]."""

    bake_id: str
    seed: int
    index: int
    shape: Shape
    doneness: str
    bake_index: float
    """Mean of the bake field over the item's area."""
    evenness: float
    """1 minus four standard deviations of the bake field over the item's area, at least 0."""
    burnt_fraction: float
    """Share of the item's area that is charred."""
    char_where: CharWhere
    """Where more than half of the char lies; "none" under `CHAR_PRESENT_FRACTION`."""
    char_sector: int | None
    """Hour 1..12 that the char lies towards from the item's centroid; None without char or with char all round."""
    char_fraction_by_hour: list[float]
    """Charred area in each hour's 30 degrees (hour 1 first) over the item's area: adds up to `burnt_fraction`."""
    crust_height_mm: float
    """95th percentile of the height of the rim over the belt."""
    blister_count: int
    blister_height_mm: float
    """Height of the highest blister over the surface around it; 0 without blisters."""
    toppings: dict[str, int]
    frames_with_glare: list[int]
    frames_with_shadow: list[int]
    frames_with_paddle: list[int]
    visible_fraction: list[float]
    """Share of the item's area that each frame shows, hidden parts not counted."""
    times_s: list[float]
    belt_speed_m_s: float
    item_centre_m: list[float]
    """Origin of the item's frame (its centroid on the belt) in the world frame: x, y, z."""
    intrinsics: list[list[float]]
    poses: list[list[list[float]]]
    """World to camera, 3x4 a frame, OpenCV axes, metres; the world is the belt as it lies at frame 0."""


def parse_shift(name: str | None) -> Shift | None:
    """The shift of that name; None without one. Raises BadInputError for another name."""
    for shift in SHIFTS:
        if shift == name:
            return shift
    if name is not None:
        raise BadInputError(f"there is no shift {name!r}: choose {' or '.join(SHIFTS)}")
    return None


def doneness_of(bake_index: float) -> str:
    """Label of a mean bake field."""
    return LABELS[bisect.bisect_right(DONENESS_EDGES, bake_index)]


def bake_id_of(seed: int, index: int, shift: str | None = None) -> str:
    """Name of a bake, unique among all seeds and shifts."""
    return f"s{seed}-b{index:06d}" + (f"-{shift}" if shift else "")
