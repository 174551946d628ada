"""Clips in blocks of a file: what is whose, what a power cut may leave, and what deletion leaves."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.gateway.clip_file import BLOCK, ClipFile
from edge.gateway.clip_store import RECENT_BYTES, ClipStore

SIZES = st.one_of(st.integers(0, 3 * BLOCK), st.sampled_from((BLOCK - 1, BLOCK, BLOCK + 1)))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), SIZES), max_size=40), st.integers(0, 2**32))
def test_clips_never_touch_each_other(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int]], seed: int
) -> None:
    path, rng = tmp_path_factory.mktemp("clips") / "clips", random.Random(seed)
    file, held = ClipFile(path, 20 * BLOCK, ()), {}
    for number, (add, size) in enumerate(steps):
        if add or not held:
            clip = bytes([number % 255 + 1]) * size
            try:
                place = file.take(size)
            except OSError:
                used = sum(-(-len(other) // BLOCK) for other in held.values())
                assert used + -(-size // BLOCK) > 20
                continue
            file.write(place, clip)
            held[number, place] = clip
        else:
            key = rng.choice(list(held))
            del held[key]
            file.free(key[1], version=0)
            file.reclaim(0)
        for (_, place), clip in held.items():
            assert file.read(place, len(clip)) == clip
    file.close()
    again = ClipFile(path, 20 * BLOCK, [place for _, place in held])
    again.cut()
    assert not path.exists() or path.stat().st_size <= 20 * BLOCK
    for (_, place), clip in held.items():
        assert again.read(place, len(clip)) == clip
    again.close()


def test_a_place_is_not_used_again_before_the_deletion_is_on_the_disk(tmp_path: Path) -> None:
    """A power cut would bring the row back, with somebody else's picture."""
    file = ClipFile(tmp_path / "clips", 100 * BLOCK, ())
    first, second = file.take(5), file.take(5)
    file.free(first, version=7)
    file.reclaim(6)
    assert file.take(5) not in (first, second)
    file.reclaim(7)
    assert file.take(5) == first


def sha256(clip: bytes) -> bytes:
    return hashlib.sha256(clip).digest()


def test_a_clip_whose_verdict_came_first_is_never_written(tmp_path: Path) -> None:
    store = ClipStore(ClipFile(tmp_path / "clips", 100 * BLOCK, ()), lazily=True)
    early, late = store.put(b"a", b"early", 0), store.put(b"b", b"late", 0)
    store.committed(1)
    assert store.get(b"a", early, 5, sha256(b"early")) == b"early"
    store.drop(b"a", early)
    store.rolled_back()  # the deletion did not happen
    assert store.get(b"a", early, 5, sha256(b"early")) == b"early"
    store.drop(b"a", early)
    store.committed(2)
    store.save()
    assert b"early" not in (tmp_path / "clips").read_bytes()
    assert store.get(b"b", late, 4, sha256(b"late")) == b"late"
    assert store.file.read(late, 4) == b"late"


def test_few_saved_clips_are_kept_in_memory(tmp_path: Path) -> None:
    store = ClipStore(ClipFile(tmp_path / "clips", 10**8, ()), lazily=True)
    clips = {bytes([number]): bytes([number]) * 400_000 for number in range(8)}
    places = {}
    for bake_id, clip in clips.items():
        places[bake_id] = store.put(bake_id, clip, 0)
        store.committed(1)
    assert sum(len(held.clip) for held in store._held.values()) == 8 * 400_000, "none of them is on the disk"
    store.save()
    store.put(b"new", b"clip", 0)
    assert sum(len(held.clip) for held in store._held.values()) <= RECENT_BYTES + 4
    for bake_id, clip in clips.items():
        assert store.get(bake_id, places[bake_id], len(clip), sha256(clip)) == clip
    store.file.close()


def test_a_clip_that_was_not_accepted_leaves_its_place(tmp_path: Path) -> None:
    store = ClipStore(ClipFile(tmp_path / "clips", 100 * BLOCK, ()), lazily=True)
    place = store.put(b"a", b"refused", 0)
    store.rolled_back()
    assert store.get(b"a", place, 7, sha256(b"refused")) is None
    assert store.put(b"b", b"next", 0) == place
    store.save()
    assert store.file.read(place, 4) == b"next"


def test_a_clip_that_changed_on_the_disk_is_none(tmp_path: Path) -> None:
    store = ClipStore(ClipFile(tmp_path / "clips", 100 * BLOCK, ()), lazily=False)
    place = store.put(b"a", b"picture", 0)
    store.committed(0)
    assert store.get(b"a", place, 7, sha256(b"picture")) == b"picture"
    (tmp_path / "clips").write_bytes(b"pictura")
    assert store.get(b"a", place, 7, sha256(b"picture")) is None
    (tmp_path / "clips").write_bytes(b"")
    assert store.get(b"a", place, 7, sha256(b"picture")) is None


def test_what_was_deleted_is_overwritten_on_demand(tmp_path: Path) -> None:
    path = tmp_path / "clips"
    file = ClipFile(path, 100 * BLOCK, ())
    places = [file.take(6) for _ in range(3)]
    for number, place in enumerate(places):
        file.write(place, f"clip {number}".encode())
    for place in (places[0], places[2]):
        file.free(place, version=9)
    file.forget_free()
    assert path.stat().st_size == 2 * BLOCK
    assert path.read_bytes()[:BLOCK] == bytes(BLOCK)
    assert file.read(places[1], 6) == b"clip 1"
    file.close()
