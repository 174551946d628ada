"""The integer area resize against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import BadInputError
from shared.resize import area_weights, square_resize


def exact_mean(square: np.ndarray, size: int, y: int, x: int, channel: int) -> int:
    """The area mean of one output cell in rationals, rounded half up."""
    side = square.shape[0]
    total = Fraction(0)
    for row in range(side):
        height = min(Fraction(row + 1), Fraction((y + 1) * side, size)) - max(Fraction(row), Fraction(y * side, size))
        for column in range(side):
            width = min(Fraction(column + 1), Fraction((x + 1) * side, size)) - max(
                Fraction(column), Fraction(x * side, size)
            )
            if height > 0 and width > 0:
                total += height * width * int(square[row, column, channel])
    mean = total / Fraction(side, size) ** 2
    return int(mean + Fraction(1, 2))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 23), st.integers(1, 23), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_every_pixel_is_the_exact_area_mean_rounded_half_up(height: int, width: int, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    frame = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    small = square_resize(frame, size)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = frame[top : top + side, left : left + side]
    y, x, channel = (int(random.integers(0, bound)) for bound in (size, size, 3))
    assert small[y, x, channel] == exact_mean(square, size, y, x, channel)


def test_the_box_path_equals_the_weighted_path() -> None:
    frame = np.random.default_rng(7).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    weights = area_weights(240, 48)  # [48, 240]
    square = frame[:, 40:280].astype(np.int64)  # [240, 240, 3]
    sums = np.einsum("yr,xs,rsc->yxc", weights, weights, square)  # [48, 48, 3]
    expected = (2 * sums + 240 * 240) // (2 * 240 * 240)
    np.testing.assert_array_equal(square_resize(frame, 48), expected)


def test_weights_cover_source_and_target_exactly() -> None:
    weights = area_weights(240, 64)
    assert (weights.sum(axis=1) == 240).all()
    assert (weights.sum(axis=0) == 64).all()


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_what_is_no_frame_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInputError, match="RGB"):
        square_resize(np.zeros(shape, np.uint8), 2)
