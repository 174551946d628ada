"""Clips of a wanted size whose decoding costs nothing, so that a bench of the link measures the link."""

from __future__ import annotations

import numpy as np

from shared.clip import ClipFrame, encode_clip
from shared.images import encode_jpeg

_SEGMENT = 60_000  # bytes of one APP15 segment; 65,533 is JPEG's limit (ITU-T T.81, B.2.4.6)


def padded_clip(size: int, frames: int = 3) -> bytes:
    """A clip of about `size` bytes: `frames` JPEGs of 16 x 16 pixels, each blown up by application segments."""
    tiny = encode_jpeg(np.full((16, 16, 3), 120, np.uint8))
    rng = np.random.default_rng(1)
    each = max(0, size // frames - len(tiny))
    padding = b""
    while each > 8:
        part = min(each, _SEGMENT)
        padding += b"\xff\xef" + (part - 2).to_bytes(2, "big") + rng.bytes(part - 4)
        each -= part
    jpeg = tiny[:2] + padding + tiny[2:]
    return encode_clip([ClipFrame(jpeg, 1_000_000 + 100_000 * number) for number in range(frames)])
