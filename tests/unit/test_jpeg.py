"""The structure of JPEG streams: what a decoder is never given."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from shared.errors import BadInputError
from shared.images import decode_jpeg, encode_jpeg
from shared.jpeg import JpegShape, check_jpeg, stripped

NOISE = np.random.default_rng(7).integers(0, 256, (60, 80, 3), np.uint8)  # [H, W, 3]
BASELINE = encode_jpeg(NOISE)


def jpeg(image: np.ndarray = NOISE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", **options)
    return buffer.getvalue()


PROGRESSIVE = jpeg(progressive=True)


def test_ordinary_streams_pass() -> None:
    assert check_jpeg(BASELINE) == JpegShape(80, 60, 3, 1)
    assert check_jpeg(PROGRESSIVE) == JpegShape(80, 60, 3, 10)
    assert check_jpeg(jpeg(NOISE[:, :, 0])).components == 1
    assert check_jpeg(jpeg(restart_marker_blocks=2, comment=b"fill", dpi=(72, 72), icc_profile=bytes(3000))).scans == 1
    filled = BASELINE.replace(b"\xff\xdb", b"\xff\xff\xff\xdb")
    assert check_jpeg(filled).width == 80


def test_a_decoder_gets_the_pixels_and_no_metadata_that_it_does_not_need() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: a quarter turn clockwise
    hidden = b"#!/bin/sh" * 100
    full = jpeg(comment=hidden, icc_profile=hidden, exif=turned.tobytes(), xmp=b"<x/>", progressive=True)
    assert hidden[:20] in full
    shape, lean = stripped(full)
    assert b"#!" not in lean
    assert b"Exif" in lean
    assert check_jpeg(lean) == shape == check_jpeg(full)
    assert stripped(lean)[1] is lean
    with Image.open(io.BytesIO(full)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert expected.shape == (80, 60, 3)
    assert np.array_equal(decode_jpeg(full), expected)
    cmyk = io.BytesIO()
    Image.fromarray(NOISE).convert("CMYK").save(cmyk, "JPEG")
    assert b"Adobe" in cmyk.getvalue()
    with pytest.raises(BadInputError, match="4 components"):
        stripped(cmyk.getvalue())


@pytest.mark.parametrize("stream", [BASELINE, PROGRESSIVE])
def test_every_cut_is_noticed(stream: bytes) -> None:
    for length in range(len(stream)):
        with pytest.raises(BadInputError):
            check_jpeg(stream[:length])


def test_nothing_hides_behind_the_end() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("run.sh", "echo hello")
    polyglot = BASELINE + archive.getvalue()
    assert zipfile.is_zipfile(io.BytesIO(polyglot)), "it is a picture and an archive at once"
    with pytest.raises(BadInputError, match="bytes behind the end of the JPEG"):
        decode_jpeg(polyglot)
    with pytest.raises(BadInputError, match="bytes behind the end"):
        decode_jpeg(BASELINE + BASELINE)
    for prefix in (b"GIF89a", b"%PDF-1.7\n", b"<script>", b"MZ"):
        with pytest.raises(BadInputError, match="not a JPEG"):
            decode_jpeg(prefix + BASELINE)


def test_metadata_is_bounded() -> None:
    segment = b"\xff\xe1" + struct.pack(">H", 65_535) + bytes(65_533)
    with pytest.raises(BadInputError, match="bytes of metadata"):
        check_jpeg(BASELINE[:2] + 3 * segment + BASELINE[2:])
    with pytest.raises(BadInputError, match="more than 256 segments"):
        check_jpeg(BASELINE[:2] + 1000 * b"\xff\xfe\x00\x02" + BASELINE[2:])


def test_a_progressive_bomb_is_refused_before_it_is_decoded() -> None:
    """4,000 x 4,000 pixels, then one empty scan after the other: each would cost a pass over 250,000 blocks."""
    at = PROGRESSIVE.index(b"\xff\xc2") + 5
    large = bytearray(PROGRESSIVE)
    large[at : at + 4] = struct.pack(">HH", 4_000, 4_000)
    first = large.index(b"\xff\xda")
    scan = bytes(large[first : large.index(b"\xff", first + 2)])
    with pytest.raises(BadInputError, match="4000x4000 with 11 scans or more takes too long"):
        decode_jpeg(bytes(large[:first]) + scan * 200 + b"\xff\xd9")


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9, 0xCA, 0xCF, 0xD0, 0xD8, 0x01, 0x00, 0xDC, 0xDE])
def test_unusual_kinds_never_reach_the_decoder(marker: int) -> None:
    with pytest.raises(BadInputError):
        check_jpeg(BASELINE.replace(b"\xff\xc0", bytes((0xFF, marker))))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (struct.pack(">BHHB", 12, 60, 80, 3), "3 components at 12 bits"),
        (struct.pack(">BHHB", 8, 60, 80, 4), "4 components at 8 bits"),
        (struct.pack(">BHHB", 8, 0, 80, 3), "80x0 pixels"),
        (struct.pack(">BHHB", 8, 65_535, 65_535, 3), "65535x65535"),
    ],
)
def test_frame_headers_are_read_before_a_pixel(header: bytes, words: str) -> None:
    at = BASELINE.index(b"\xff\xc0") + 4
    with pytest.raises(BadInputError, match=words):
        decode_jpeg(BASELINE[:at] + header + BASELINE[at + len(header) :])


@given(st.binary(max_size=60), st.integers(0, 700))
def test_damage_is_an_error_or_a_shape(junk: bytes, at: int) -> None:
    damaged = BASELINE[:at] + junk + BASELINE[at + len(junk) :]
    try:
        shape = check_jpeg(damaged)
    except BadInputError:
        return
    assert shape.width > 0
    assert shape.scans <= 256
