"""How two cores share a layer, and which form each layer takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.compiler.split import Split, balanced, split_of


@given(
    st.sampled_from(["conv_2d", "depthwise_conv_2d", "add", "proven_add", "pad", "softmax", "average_pool_2d"]),
    st.integers(1, 50),
    st.integers(1, 50),
    st.integers(1, 70),
)
def test_both_cores_get_something_and_none_much_more(kernel: str, height: int, width: int, channels: int) -> None:
    found = split_of(kernel, height, width, channels)
    if found is None:
        return
    whole = channels if found.by_channels else height * width
    assert 0 < found.begin < whole
    step = width if kernel == "pad" else 2
    assert found.begin - (whole - found.begin) <= 2 * step


@pytest.mark.parametrize(
    ("kernel", "shape", "wanted"),
    [
        ("conv_2d", (6, 6, 128), Split(18, False)),
        ("conv_2d", (3, 3, 128), Split(64, True)),  # five pairs of pixels divide badly
        ("depthwise_conv_2d", (9, 9, 3), Split(2, True)),
        ("pad", (9, 7, 3), Split(35, False)),
        ("proven_add", (1, 1, 64), Split(32, True)),
        ("softmax", (1, 1, 10), None),
        ("copy", (8, 8, 8), None),
    ],
)
def test_where_the_second_part_begins(kernel: str, shape: tuple[int, int, int], wanted: Split | None) -> None:
    assert split_of(kernel, *shape) == wanted


def test_rows_stay_whole_where_the_kernel_wants_it() -> None:
    assert split_of("generated_conv_2d", 5, 8, 16, keeps_channels=False, whole_rows=True) == Split(24, False)


@given(st.lists(st.floats(0.0, 1e6), min_size=2, max_size=40))
def test_the_balance_is_the_best_there_is(costs: list[float]) -> None:
    at = balanced(costs)
    best = min(max(sum(costs[:i]), sum(costs[i:])) for i in range(1, len(costs)))
    assert max(sum(costs[:at]), sum(costs[at:])) == pytest.approx(best)
