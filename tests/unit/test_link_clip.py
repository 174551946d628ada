"""The clip container: what goes in comes out, and nothing else gets in."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.clip import MAX_CLIP_BYTES, MAX_FRAME_BYTES, MAX_FRAMES, ClipFrame, decode_clip, encode_clip
from shared.errors import BadInputError
from shared.images import encode_jpeg

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines may be busy

frames = st.lists(
    st.builds(
        ClipFrame,
        st.binary(min_size=2, max_size=200).map(lambda rest: b"\xff\xd8" + rest),
        st.integers(0, 2**63 - 1),
    ),
    min_size=1,
    max_size=12,
)


def sealed(body: bytes, count: int, version: int = 1) -> bytes:
    """`body` with a footer whose checksum is right, so that only what the test is about is wrong."""
    head = body + struct.pack("<HBB", count, version, 0)
    return head + struct.pack("<I", zlib.crc32(head)) + b"CWCL"


@patient
@given(frames)
def test_round_trip(clip: list[ClipFrame]) -> None:
    assert decode_clip(encode_clip(clip)) == clip


@patient
@given(frames)
def test_every_truncated_prefix_is_refused(clip: list[ClipFrame]) -> None:
    data = encode_clip(clip)
    for length in range(len(data)):
        with pytest.raises(BadInputError):
            decode_clip(data[:length])


@patient
@given(frames, st.data())
def test_one_changed_byte_is_refused(clip: list[ClipFrame], data: st.DataObject) -> None:
    packed = bytearray(encode_clip(clip))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadInputError):
        decode_clip(bytes(packed))


@patient
@given(st.binary(max_size=600), st.integers(0, 65535), st.integers(0, 255))
def test_any_bytes_are_frames_or_bad_input(body: bytes, count: int, version: int) -> None:
    for data in (body, body + b"CWCL", sealed(body, count, version)):
        try:
            clip = decode_clip(data)
        except BadInputError:
            continue
        assert encode_clip(clip) == data


def test_a_payload_opens_in_an_image_viewer() -> None:
    image = np.full((24, 32, 3), 90, np.uint8)
    clip = encode_clip([ClipFrame(encode_jpeg(image), 1), ClipFrame(encode_jpeg(image // 2), 2)])
    with Image.open(io.BytesIO(clip)) as shown:
        assert shown.size == (32, 24)
        assert abs(int(np.asarray(shown).mean()) - 90) < 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (sealed(struct.pack("<qI", 0, 0xFFFFFFFF), 1), "claims 4294967295 bytes"),
        (sealed(b"", MAX_FRAMES + 1), "1 to 64 frames"),
        (sealed(b"", 0), "1 to 64 frames"),
        (sealed(b"", 3), "no room for the index"),
        (sealed(b"\xff\xd8\xff\xd9" + struct.pack("<qI", -1, 4), 1), "impossible capture time"),
        (sealed(b"\x89PNG" + struct.pack("<qI", 0, 4), 1), "not a JPEG"),
        (sealed(b"\xff\xd8\xff\xd9xx" + struct.pack("<qI", 0, 4), 1), "belong to no frame"),
        (sealed(b"\xff\xd8\xff\xd9" + struct.pack("<qI", 0, 4), 1, version=2), "version 2"),
        (b"CWCL", "not a clip"),
    ],
)
def test_hostile_clips_name_what_is_wrong(data: bytes, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        decode_clip(data)


def test_sizes_are_capped_before_anything_is_sliced() -> None:
    with pytest.raises(BadInputError, match="at most"):
        decode_clip(bytes(MAX_CLIP_BYTES + 1))
    with pytest.raises(BadInputError, match="frame 0 has"):
        encode_clip([ClipFrame(b"\xff\xd8" + bytes(MAX_FRAME_BYTES), 0)])
    with pytest.raises(BadInputError, match="1 to 64 frames"):
        encode_clip([])
