"""A name for what the renderer makes, so that caches of rendered bakes notice when it changes."""

from __future__ import annotations

import hashlib
from functools import cache

from shared.bakery.bake import render_bake

_PROBE_SEED = 0
_PROBE_BAKES = 2


@cache
def renderer_fingerprint() -> str:
    """16 hex digits over all that two probe bakes hold.

    A change of a pixel, a depth or a truth gives another name; a change of a comment does not. Takes the time of
    two bakes, once a process.
    """
    digest = hashlib.sha256()
    for index in range(_PROBE_BAKES):
        bake = render_bake(_PROBE_SEED, index)
        for array in (bake.frames, bake.depth, bake.intrinsics, bake.poses, *bake.maps):
            digest.update(array.tobytes())
        digest.update(repr(bake.truth).encode())
    return digest.hexdigest()[:16]
