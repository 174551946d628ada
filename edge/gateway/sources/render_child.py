"""A process that renders bakes ahead of the gateway: `python -m ... SEED START STEP STOP [SHIFT]`.

Writes one record a bake to stdout: u32 length, then msgpack of RenderedRecord. The pipe bounds how far it runs ahead:
one bake is being written while the next one waits to be rendered.
"""

from __future__ import annotations

import struct
import sys

import msgspec
import numpy as np

LENGTH = struct.Struct("<I")


class RenderedRecord(msgspec.Struct, frozen=True):
    """One rendered bake on the pipe."""

    name: str
    truth: str | None  # doneness label, where it is known
    times_s: list[float]
    shape: tuple[int, int, int, int]  # frames, height, width, 3
    frames: bytes  # uint8, C order


def packed(record: RenderedRecord) -> bytes:
    """A record as it stands on the pipe."""
    data = msgspec.msgpack.encode(record)
    return LENGTH.pack(len(data)) + data


def main() -> None:
    """Render START, START + STEP, ... below STOP."""
    from shared.bakery import render_bake
    from shared.bakery.truth import parse_shift

    seed, start, step, stop = (int(argument) for argument in sys.argv[1:5])
    shift = parse_shift(sys.argv[5] if len(sys.argv) > 5 else None)
    out = sys.stdout.buffer
    for index in range(start, stop, step):
        bake = render_bake(seed, index, shift)
        frames = np.ascontiguousarray(bake.frames)  # uint8 [8, 240, 320, 3]
        count, height, width, _ = frames.shape
        record = RenderedRecord(
            bake.truth.bake_id, bake.truth.doneness, bake.truth.times_s, (count, height, width, 3), frames.tobytes()
        )
        try:
            out.write(packed(record))
            out.flush()
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()
