"""The fixed-point arithmetic against exact rational arithmetic and against the C sources' own words."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.compiler.arithmetic import (
    INT32_MAX,
    INT32_MIN,
    activation_range,
    add_rescale,
    doubling_high_multiply,
    quantise_multiplier,
    rescale,
    rounding_divide_by_power_of_two,
    truncating_mean,
)

INT32 = st.integers(INT32_MIN, INT32_MAX)
MULTIPLIERS = st.integers(2**30, INT32_MAX)
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines may be busy


def wide(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def half_away_from_zero(value: Fraction) -> int:
    magnitude = (abs(value) + Fraction(1, 2)).__floor__()
    return int(magnitude if value >= 0 else -magnitude)


@patient
@given(INT32, INT32)
def test_doubling_high_multiply_truncates_toward_zero_after_the_nudge(a: int, b: int) -> None:
    product = a * b
    nudge = 2**30 if product >= 0 else 1 - 2**30
    quotient = abs(product + nudge) // 2**31  # C: (ab + nudge) / (1ll << 31)
    expected = quotient if product + nudge >= 0 else -quotient
    assert doubling_high_multiply(wide(a), wide(b))[0] == min(expected, INT32_MAX)


def test_the_one_overflow_saturates() -> None:
    assert doubling_high_multiply(wide(INT32_MIN), wide(INT32_MIN))[0] == INT32_MAX


@patient
@given(INT32, st.integers(0, 31))
def test_dividing_by_a_power_of_two_rounds_ties_away_from_zero(x: int, exponent: int) -> None:
    expected = half_away_from_zero(Fraction(x, 2**exponent))
    assert rounding_divide_by_power_of_two(wide(x), wide(exponent))[0] == expected


@patient
@given(st.floats(1e-9, 1e6))
def test_a_multiplier_holds_its_factor_to_31_bits(real: float) -> None:
    multiplier, exponent = quantise_multiplier(real)
    assert 2**30 <= multiplier <= INT32_MAX
    held = Fraction(multiplier) * Fraction(2) ** (exponent - 31)
    assert abs(held / Fraction(real) - 1) <= Fraction(1, 2**31)


@pytest.mark.parametrize(
    ("real", "expected"), [(0.0, (0, 0)), (0.5, (2**30, 0)), (1.0, (2**30, 1)), (2.0**-40, (0, 0))]
)
def test_known_multipliers(real: float, expected: tuple[int, int]) -> None:
    assert quantise_multiplier(real) == expected


def test_a_mantissa_that_rounds_up_to_one_moves_the_exponent() -> None:
    assert quantise_multiplier(np.nextafter(1.0, 0.0)) == (2**30, 1)


@pytest.mark.parametrize("real", [-0.1, 2.0**30, float("inf"), float("nan")])
def test_factors_outside_the_range_are_refused(real: float) -> None:
    with pytest.raises(ValueError, match="rescale factor"):
        quantise_multiplier(real)


@patient
@given(st.integers(-(2**28), 2**28), MULTIPLIERS, st.integers(-31, 2))
def test_rescaling_is_within_one_step_of_the_exact_product(x: int, multiplier: int, exponent: int) -> None:
    exact = Fraction(x * multiplier) * Fraction(2) ** (exponent - 31)
    result = rescale(wide(x), np.array([multiplier], np.int32), np.array([exponent], np.int8))[0]
    assert abs(Fraction(int(result)) - exact) <= 1  # two roundings, a half each


@patient
@given(st.integers(-(2**28), 2**28), st.integers(-(2**28), 2**28), MULTIPLIERS, st.integers(-31, 2))
def test_rescaling_never_changes_an_order(x: int, y: int, multiplier: int, exponent: int) -> None:
    low, high = sorted((x, y))
    both = rescale(wide(low, high), np.array([multiplier], np.int32), np.array([exponent], np.int8))
    assert both[0] <= both[1]


@patient
@given(st.integers(-(2**20), 2**20), st.integers(1, 4096))
def test_the_pool_divides_as_c_does(total: int, count: int) -> None:
    biased = total + count // 2 if total > 0 else total - count // 2
    quotient = abs(biased) // count
    assert truncating_mean(wide(total), wide(count))[0] == (quotient if biased >= 0 else -quotient)


@pytest.mark.parametrize(
    ("activation", "scale", "zero_point", "expected"),
    [
        ("NONE", 0.1, 3, (-128, 127)),
        ("RELU", 0.1, 3, (3, 127)),
        ("RELU6", 0.1, -128, (-128, -68)),
        ("RELU6", 0.01, -128, (-128, 127)),
        ("RELU6", 4.0, 0, (0, 2)),  # 1.5 rounds up
    ],
)
def test_activation_ranges(activation: str, scale: float, zero_point: int, expected: tuple[int, int]) -> None:
    assert activation_range(activation, scale, zero_point) == expected


def test_an_activation_that_the_chip_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="TANH"):
        activation_range("TANH", 0.1, 0)


def test_adding_needs_an_output_scale_that_the_runtimes_accept() -> None:
    multipliers, exponents = add_rescale(0.5, 0.25, 0.5)
    assert (multipliers[0], exponents[0]) == (2**30, 0)  # the larger scale: exactly one half
    assert (multipliers[1], exponents[1]) == (2**30, -1)
    with pytest.raises(ValueError, match="too small"):
        add_rescale(0.5, 0.25, 2.0**-21)
