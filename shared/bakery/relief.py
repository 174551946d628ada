"""Where a ray meets the relief: a march over texels, then straight-line guesses between the last two."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shared.bakery.surface import TEXELS
from shared.jit import jit

Floats = npt.NDArray[np.float32]

LAST_TEXEL = TEXELS - 1.001
"""Largest position in texels that has a neighbour to blend with."""
_TEXELS_PER_STEP = 5.0
"""The relief is searched in steps of this many texels, for rims are a dozen texels wide and more."""
_REFINEMENTS = 3


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
def within(texel: float) -> float:
    """The nearest texel position that can be blended."""
    return min(LAST_TEXEL, max(0.0, texel))


@jit(nogil=True, error_model="numpy")
def meet_relief(height: Floats, top: float, u0: float, v0: float, u1: float, v1: float) -> float:
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
        if 0.5 <= u < LAST_TEXEL and 0.5 <= v < LAST_TEXEL:
            ground = float(height[int(v), int(u)])
            if ground > 0.0 and ground >= level:
                # Between the last sample above and this one below, as if the relief were straight, twice.
                above = step * stride
                below = above + stride
                gap = ground - level
                s = below
                for _ in range(_REFINEMENTS):
                    s = above + (below - above) * clearance / (clearance + gap + 1e-9)
                    here = _height_at(height, within(u0 + (u1 - u0) * s), within(v0 + (v1 - v0) * s))
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
