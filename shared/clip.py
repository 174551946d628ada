"""The clip container: the JPEG frames of one bake with their capture times, as one MQTT payload.

```
frame 0 JPEG | frame 1 JPEG | ... | index entry 0 | index entry 1 | ... | footer
index entry  i64 capture time (microseconds since the Unix epoch), u32 length of the JPEG      12 bytes
footer       u16 frames, u8 version, u8 zero, u32 CRC-32 of all bytes before, magic "CWCL"     12 bytes
```
All integers are little-endian. The index stands at the end, so that a payload begins with a JPEG: any image
viewer or dashboard that is handed one shows the first frame (decision 0070). Knows no sockets.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from shared.errors import BadInputError

MAGIC = b"CWCL"
VERSION = 1
MAX_FRAMES = 64  # as many as a task may ask for
MAX_FRAME_BYTES = 2 * 1024 * 1024
MAX_CLIP_BYTES = 8 * 1024 * 1024  # the broker's payload cap is the same

_ENTRY = struct.Struct("<qI")
_FOOTER = struct.Struct("<HBBI4s")
_SOI = b"\xff\xd8"  # a JPEG's first two bytes (ITU-T T.81, table B.1)


class ClipFrame(NamedTuple):
    """One JPEG and the time it was taken, in microseconds since the Unix epoch."""

    jpeg: bytes
    time_us: int


def encode_clip(frames: Sequence[ClipFrame]) -> bytes:
    """Pack `frames` in their order. Raises BadInputError when they break a limit of `decode_clip`."""
    if not 1 <= len(frames) <= MAX_FRAMES:
        raise BadInputError(f"a clip has 1 to {MAX_FRAMES} frames, not {len(frames)}")
    for number, frame in enumerate(frames):
        _check_frame(number, frame)
    entries = [_ENTRY.pack(frame.time_us, len(frame.jpeg)) for frame in frames]
    body = b"".join([*(frame.jpeg for frame in frames), *entries])
    head = _FOOTER.pack(len(frames), VERSION, 0, 0, MAGIC)[:4]
    clip = body + head + struct.pack("<I", zlib.crc32(body + head)) + MAGIC
    if len(clip) > MAX_CLIP_BYTES:
        raise BadInputError(f"a clip holds at most {MAX_CLIP_BYTES} bytes, not {len(clip)}")
    return clip


def decode_clip(clip: bytes, *, verified: bool = False) -> list[ClipFrame]:
    """The frames of a clip. Raises BadInputError for anything that `encode_clip` cannot have written.

    `verified` says that the caller has compared a hash of the clip, so that its CRC need not be.
    The JPEGs are sliced, not decoded: `shared.images.decode_jpeg` does that under its own caps.
    """
    if len(clip) > MAX_CLIP_BYTES:
        raise BadInputError(f"a clip holds at most {MAX_CLIP_BYTES} bytes, not {len(clip)}")
    if len(clip) < _FOOTER.size or clip[-4:] != MAGIC:
        raise BadInputError("not a clip, or cut short: its last four bytes are not CWCL")
    count, version, zero, checksum, _ = _FOOTER.unpack_from(clip, len(clip) - _FOOTER.size)
    if version != VERSION or zero != 0:
        raise BadInputError(f"clip version {version} is not understood: this reads version {VERSION}")
    if not verified and zlib.crc32(memoryview(clip)[:-8]) != checksum:
        raise BadInputError("clip damaged: its CRC-32 does not match")
    if not 1 <= count <= MAX_FRAMES:
        raise BadInputError(f"a clip has 1 to {MAX_FRAMES} frames, not {count}")
    index_at = len(clip) - _FOOTER.size - count * _ENTRY.size
    if index_at < 0:
        raise BadInputError(f"clip damaged: no room for the index of {count} frames")
    frames, start = [], 0
    for number in range(count):
        time_us, length = _ENTRY.unpack_from(clip, index_at + number * _ENTRY.size)
        if length > index_at - start:
            raise BadInputError(f"clip damaged: frame {number} claims {length} bytes, {index_at - start} are left")
        frame = ClipFrame(clip[start : start + length], time_us)
        _check_frame(number, frame)
        frames.append(frame)
        start += length
    if start != index_at:
        raise BadInputError(f"clip damaged: {index_at - start} bytes belong to no frame")
    return frames


def _check_frame(number: int, frame: ClipFrame) -> None:
    if not 4 <= len(frame.jpeg) <= MAX_FRAME_BYTES:
        raise BadInputError(f"frame {number} has {len(frame.jpeg)} bytes: 4 to {MAX_FRAME_BYTES} are allowed")
    if not frame.jpeg.startswith(_SOI):
        raise BadInputError(f"frame {number} is not a JPEG: it does not begin with FF D8")
    if not 0 <= frame.time_us < 1 << 63:
        raise BadInputError(f"frame {number} has the impossible capture time {frame.time_us} us")
