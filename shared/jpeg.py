"""The structure of a JPEG stream, checked before a decoder sees it (ITU-T T.81, annex B). Knows no pixels.

A decoder believes what the stream says: sizes, and how often to go over the whole picture. A progressive JPEG of 1 MB
may hold 50,000 scans, each of which costs a pass over every block: minutes of work from a small file. So: one frame
header, 8 bits, baseline or progressive Huffman, few scans, little metadata, and nothing behind its end, where other
formats hide (ZIP, scripts). What passes costs the decoder at most MAX_PASSES_PX pixel visits.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from shared.errors import BadInputError

MAX_SEGMENTS = 256
MAX_METADATA_BYTES = 128 * 1024  # APPn and COM together: two EXIF blocks
MAX_PASSES_PX = 160_000_000  # pixels times scans: the largest frame with the ten scans of libjpeg's own script
_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_FRAMES = {0xC0, 0xC1, 0xC2}  # SOF0 baseline, SOF1 extended sequential, SOF2 progressive; all Huffman
_OTHER_FRAMES = {*range(0xC3, 0xD0)} - {0xC4, 0xC8, 0xCC}  # lossless, hierarchical, arithmetic
_APPLICATION = range(0xE0, 0xF0)
_NEEDED = {0xE0: (b"JFIF\0",), 0xE1: (b"Exif\0", b"http://ns.adobe.com/xap/"), 0xEE: (b"Adobe",)}
"""What says how pixels are to be read: JFIF and Adobe's segment their colours, EXIF and XMP how the camera was held."""

_TABLES = {0xC4, 0xDB, 0xDD}  # DHT, DQT, DRI
_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # the end of entropy-coded data: no stuffed byte, no restart (B.1.1.5)


class JpegShape(NamedTuple):
    """What the frame header says, and how many scans follow it."""

    width: int
    height: int
    components: int
    scans: int


def check_jpeg(data: bytes) -> JpegShape:
    """The shape of a whole JPEG stream. Raises BadInputError for a truncated, padded, foreign or excessive one."""
    return stripped(data)[0]


def stripped(data: bytes) -> tuple[JpegShape, bytes]:
    """As `check_jpeg`, with the stream as a decoder needs it: of its metadata only JFIF, EXIF, XMP and Adobe's segment.

    The pixels are the same; profiles, thumbnails and whatever else stands there reach no decoder.
    """
    if data[:2] != b"\xff\xd8":
        raise BadInputError("not a JPEG: no image that can be read begins without FF D8")
    at, metadata, scans = 2, 0, 0
    frame: tuple[int, int, int] | None = None
    kept_from = 0
    kept: list[bytes] = []  # the parts before it, without metadata
    for _ in range(MAX_SEGMENTS):
        before = at
        marker, at = _marker(data, at)
        if marker == _EOI:
            if frame is None or not scans:
                raise BadInputError("a JPEG without a picture")
            if at != len(data):
                raise BadInputError(f"{len(data) - at} bytes behind the end of the JPEG")
            return JpegShape(*frame, scans), b"".join((*kept, data[kept_from:])) if kept else data
        start, at = at + 2, _segment_end(data, at)
        if marker in _FRAMES:
            if frame is not None:
                raise BadInputError("a JPEG with two frame headers")
            frame = _frame(data[start:at])
        elif marker == _SOS:
            if frame is None:
                raise BadInputError("a JPEG whose scan comes before its frame header")
            scans += 1
            if scans * frame[0] * frame[1] > MAX_PASSES_PX:
                raise BadInputError(f"a JPEG of {frame[0]}x{frame[1]} with {scans} scans or more takes too long")
            found = _IN_SCAN.search(data, at)
            if found is None:
                raise BadInputError("JPEG damaged or cut short: its scan does not end")
            at = found.start()
        elif marker in _APPLICATION or marker == _COM:
            metadata += at - start
            if metadata > MAX_METADATA_BYTES:
                raise BadInputError(f"a JPEG with more than {MAX_METADATA_BYTES} bytes of metadata")
            if not data.startswith(_NEEDED.get(marker, ()), start, at):
                kept.append(data[kept_from:before])
                kept_from = at
        elif marker not in _TABLES:
            kind = "of an unusual kind (lossless, arithmetic)" if marker in _OTHER_FRAMES else "damaged"
            raise BadInputError(f"JPEG {kind}: marker FF {marker:02X}")
    raise BadInputError(f"a JPEG with more than {MAX_SEGMENTS} segments")


def _marker(data: bytes, at: int) -> tuple[int, int]:
    if data[at : at + 1] != b"\xff":
        raise BadInputError("JPEG damaged or cut short: a marker is missing")
    while data[at : at + 1] == b"\xff":  # fill bytes (B.1.1.2)
        at += 1
    if at >= len(data):
        raise BadInputError("JPEG damaged or cut short: it ends before its end marker")
    return data[at], at + 1


def _segment_end(data: bytes, at: int) -> int:
    length = int.from_bytes(data[at : at + 2], "big")
    if len(data) < at + 2 or length < 2 or at + length > len(data):
        raise BadInputError("JPEG damaged or cut short: a segment is not whole")
    return at + length


def _frame(body: bytes) -> tuple[int, int, int]:
    if len(body) < 6:
        raise BadInputError("JPEG damaged: its frame header is too short")
    precision, height, width, components = struct.unpack_from(">BHHB", body)
    if precision != 8 or components not in (1, 3) or len(body) != 6 + 3 * components:
        raise BadInputError(f"a JPEG of {components} components at {precision} bits: 1 or 3 at 8 are read")
    if not width or not height:
        raise BadInputError(f"a JPEG of {width}x{height} pixels")
    return width, height, components
