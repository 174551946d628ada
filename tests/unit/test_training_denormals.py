"""A training leaves the processor as it found it."""

from __future__ import annotations

import sys

import pytest

from cloud.training.denormals import denormals_flushed


def half_of_the_smallest_normal() -> float:
    return float(sys.float_info.min) / 2


def test_denormals_are_zero_inside_only() -> None:
    with denormals_flushed():
        assert half_of_the_smallest_normal() == 0.0
    assert half_of_the_smallest_normal() > 0.0


def test_a_failed_training_gives_them_back() -> None:
    with pytest.raises(KeyboardInterrupt), denormals_flushed():
        raise KeyboardInterrupt
    assert half_of_the_smallest_normal() > 0.0
