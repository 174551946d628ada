"""Shifts of the rendered bakery: another picture of the same pizza, and without one not a byte moves."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from shared.bakery import iter_bakes, render_bake
from shared.bakery.truth import SHIFTS, parse_shift
from shared.errors import BadInputError

SEED = 3
FRAMES_BEFORE_SHIFTS = {
    0: "0b525163542fdec64a3c3050a6d967035cbfb283416a56fa07b940147536c17c",
    6: "eb8a6b446eef4d792d8cd7f366f05985a2dc2f3ce0130b523c4ed2222a4566f0",
}
"""SHA-256 of the frames of bakes of seed 3, from the renderer as it was before it knew of shifts."""
MAY_DIFFER = {
    "new-topping": {"bake_id", "toppings", "visible_fraction"},  # slices stand out a little and hide what is behind
    "new-light": {"bake_id"},
}


def frames_digest(bake):
    return hashlib.sha256(bake.frames.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def plain():
    return {index: render_bake(SEED, index) for index in (0, 1, 6)}


@pytest.fixture(scope="module", params=SHIFTS)
def shifted(request):
    return request.param, {index: render_bake(SEED, index, request.param) for index in (0, 1, 6)}


def test_without_a_shift_no_byte_has_moved(plain):
    assert {index: frames_digest(plain[index]) for index in FRAMES_BEFORE_SHIFTS} == FRAMES_BEFORE_SHIFTS


def test_a_shift_gives_another_picture_and_the_same_one_each_time(plain, shifted):
    shift, bakes = shifted
    again = next(iter_bakes(SEED, 1, start=1, shift=shift))
    assert frames_digest(again) == frames_digest(bakes[1])
    assert again.truth == bakes[1].truth
    for index, bake in bakes.items():
        apart = np.abs(bake.frames.astype(int) - plain[index].frames.astype(int)).mean()
        assert apart > 3  # of 255


def test_what_is_true_of_a_bake_stays(plain, shifted):
    shift, bakes = shifted
    for index, bake in bakes.items():
        before, after = plain[index].truth, bake.truth
        changed = {name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name)}
        assert changed <= MAY_DIFFER[shift]
        assert after.bake_id == f"{before.bake_id}-{shift}"
        assert set(after.toppings) - set(before.toppings) == ({"beetroot"} if shift == "new-topping" else set())


def test_the_light_changes_no_geometry(plain):
    before, after = plain[6], render_bake(SEED, 6, "new-light")
    assert (before.depth == after.depth).all()
    assert (before.maps.burn == after.maps.burn).all()
    # Colder: the blue channel keeps more of its level than the red one.
    kept = after.frames.mean(axis=(0, 1, 2)) / before.frames.mean(axis=(0, 1, 2))  # [3]
    assert kept[0] < kept[1] < kept[2] < 1.0


def test_an_unknown_shift_is_one_clear_line():
    assert parse_shift(None) is None
    with pytest.raises(BadInputError, match=r"no shift 'new-cheese': choose new-topping or new-light"):
        parse_shift("new-cheese")
