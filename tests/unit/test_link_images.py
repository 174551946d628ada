"""Images under caps: the declared size is believed only as far as the cap, and damage is an error, not a picture."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.errors import BadInputError
from shared.images import decode_jpeg, encode_jpeg, encode_snapshot, read_image_file

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines may be busy

RNG = np.random.default_rng(7)
NOISE = RNG.integers(0, 256, (60, 80, 3), np.uint8)  # [H, W, 3]
SMOOTH = np.broadcast_to(np.linspace(0, 255, 80, dtype=np.uint8)[None, :, None], (60, 80, 3)).copy()


def test_jpeg_round_trip_is_close() -> None:
    decoded = decode_jpeg(encode_jpeg(SMOOTH, 90))
    assert decoded.shape == SMOOTH.shape
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - SMOOTH).mean() < 2.0


def test_a_truncated_jpeg_is_refused_at_every_length() -> None:
    jpeg = encode_jpeg(NOISE)
    for length in range(0, len(jpeg) - 2, 7):  # without its last two bytes, EOI, a JPEG is still whole to Pillow
        with pytest.raises(BadInputError):
            decode_jpeg(jpeg[:length])


def test_the_declared_size_is_checked_before_decoding() -> None:
    jpeg = bytearray(encode_jpeg(NOISE))
    at = jpeg.index(b"\xff\xc0") + 5  # SOF0: marker, length, precision, then height and width
    jpeg[at : at + 4] = struct.pack(">HH", 6_000, 6_000)
    with pytest.raises(BadInputError, match="6000x6000 pixels are more"):
        decode_jpeg(bytes(jpeg))


def test_a_decompression_bomb_png_is_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(BadInputError, match=r"bomb\.png"):
        read_image_file(tmp_path / "bomb.png", 640)


def test_other_formats_are_no_jpeg() -> None:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "PNG")
    with pytest.raises(BadInputError, match="no image that can be read"):
        decode_jpeg(buffer.getvalue())


@patient
@given(st.binary(max_size=400), st.integers(0, 300))
def test_damaged_jpegs_never_raise_anything_else(junk: bytes, at: int) -> None:
    jpeg = encode_jpeg(SMOOTH)
    try:
        decoded = decode_jpeg(jpeg[:at] + junk + jpeg[at + len(junk) :])
    except BadInputError:
        return
    assert decoded.ndim == 3


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "I;16", "CMYK", "YCbCr", "F"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(NOISE)
    path = tmp_path / "image.tif"
    if mode == "I;16":
        Image.fromarray(NOISE[:, :, 0].astype(np.uint16) * 256).save(path)
    else:
        image.convert("L" if mode in ("I;16", "F") else "RGB").convert(mode).save(path)
    assert read_image_file(path, 640).shape == (60, 80, 3)


def test_large_photographs_become_smaller_and_upright(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    Image.fromarray(np.zeros((900, 1600, 3), np.uint8)).save(path, exif=exif)
    assert read_image_file(path, 640).shape == (640, 360, 3)


def test_files_that_are_no_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("flour, water, salt")
    with pytest.raises(BadInputError, match=r"notes\.txt: no image that can be read"):
        read_image_file(tmp_path / "notes.txt", 640)
    with pytest.raises(BadInputError, match="cannot be read"):
        read_image_file(tmp_path / "missing.png", 640)


def test_a_snapshot_keeps_its_cap() -> None:
    noise = RNG.integers(0, 256, (480, 640, 3), np.uint8)
    snapshot = encode_snapshot(noise, 30_000)
    assert len(snapshot) <= 30_000
    assert decode_jpeg(snapshot).shape[2] == 3
