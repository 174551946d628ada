"""The rendered bakery: pizzas passing under a camera, with the truth about each. See docs/bakery.md.

Reading truth files needs no more than msgspec; rendering needs numba (extra `sim`), which is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.bakery.truth import FRAME_COUNT, FRAME_HEIGHT, FRAME_WIDTH, KEY_FRAME, LABELS, BakeTruth

if TYPE_CHECKING:
    from shared.bakery.bake import Bake, BakeMaps, iter_bakes, render_bake

__all__ = [
    "FRAME_COUNT",
    "FRAME_HEIGHT",
    "FRAME_WIDTH",
    "KEY_FRAME",
    "LABELS",
    "Bake",
    "BakeMaps",
    "BakeTruth",
    "iter_bakes",
    "render_bake",
]

_RENDERER = ("Bake", "BakeMaps", "iter_bakes", "render_bake")


def __getattr__(name: str) -> Any:
    if name in _RENDERER:
        from shared.bakery import bake

        return getattr(bake, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
