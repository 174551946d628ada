"""A proven requantisation gives TFLite's output on every reachable step, on both sides of it, and at the ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.compiler.arithmetic import add_rescale, quantise_multiplier, rescale
from firmware_sim.compiler.graph import Add, Graph, Rescale, Tensor
from firmware_sim.compiler.prover import EXACT, F1D, F3D, Staircase, apply, prove, prove_add

CHANNELS = 6


def staircase(seed: int, *, once: bool = False, relu: bool = True) -> Staircase:
    """Channels with random factors, biases and reaches: most of their steps are reachable, some are not."""
    rng = np.random.default_rng(seed)
    reach = np.exp2(rng.uniform(2, 22, CHANNELS)).astype(np.int64)  # [O]
    real = 127.0 * np.exp2(rng.uniform(-2, 5, CHANNELS)) / reach
    pairs = [quantise_multiplier(float(factor)) for factor in real]
    if seed % 3 == 0:  # exact powers of two have ties
        pairs = [(1 << 30, exponent) for _, exponent in pairs]
    zero_point = int(rng.integers(-128, 128))
    low, high = (zero_point, 127) if relu else (-128, 127)
    smallest = -(reach * rng.uniform(0, 1, CHANNELS)).astype(np.int64)
    return Staircase(
        Rescale(np.array([m for m, _ in pairs], np.int32), np.array([e for _, e in pairs], np.int8), once),
        (reach * rng.uniform(-1, 1, CHANNELS)).astype(np.int64),
        zero_point,
        low,
        high,
        smallest,
        smallest + reach,
    )


def probes(stairs: Staircase, seed: int) -> np.ndarray:
    """Dot products int64 [O, n]: the steps and their neighbours, the ends, and random ones."""
    _, first = stairs.steps()  # [O, S]
    near = np.concatenate([first + offset for offset in (-2, -1, 0, 1)], axis=1)
    between = np.random.default_rng(seed).integers(stairs.smallest, stairs.largest + 1, (500, CHANNELS)).T
    ends = np.stack([stairs.smallest, stairs.largest], axis=1)
    x = np.concatenate([near, between, ends], axis=1)
    return np.clip(x, stairs.smallest[:, None], stairs.largest[:, None])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.booleans(), st.booleans())
def test_a_proven_form_is_tflite_s_formula(seed: int, once: bool, relu: bool) -> None:
    stairs = staircase(seed, once=once, relu=relu)
    found = prove(stairs)
    x = probes(stairs, seed)
    np.testing.assert_array_equal(apply(found, stairs, x), stairs.value(x))
    inexact = found.form != EXACT
    assert (np.abs(found.b[inexact]) < 2**31).all()


def test_the_steps_are_where_the_output_grows() -> None:
    stairs = staircase(4, relu=False)
    n, first = stairs.steps()
    inside = (first > stairs.smallest[:, None]) & (first <= stairs.largest[:, None])
    grown = stairs.value(first) - stairs.value(first - 1) > 0
    assert inside.any()
    assert grown[inside].all()
    assert (stairs.value(first)[inside] >= np.broadcast_to(n, first.shape)[inside]).all()


def test_without_relu_the_ties_decide() -> None:
    """Forms that ignore the second rounding's ties are not enough there, and the prover sees it."""
    kinds: set[int] = set()
    for seed in range(40):
        kinds |= set(prove(staircase(seed, relu=False)).form.tolist())
    assert kinds & {F1D, F3D}


def test_a_wrong_constant_is_not_proven() -> None:
    stairs = staircase(7)
    found = prove(stairs)
    assert (found.form != EXACT).all()
    x = probes(stairs, 7)
    for change in (1 << found.shift, -(1 << found.shift)):
        moved = replace(found, b=found.b + change, after=0)
        assert (apply(moved, stairs, x) != stairs.value(x)).any()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_verdict_counts_every_channel(seed: int) -> None:
    words = prove(staircase(seed)).verdict().replace(",", "").split()
    assert sum(int(word) for word in words if word.isdigit()) == CHANNELS


@pytest.mark.parametrize("seed", range(8))
def test_the_cheap_add_is_tflite_s_on_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scales = [float(np.float32(scale)) for scale in 10.0 ** rng.uniform(-3, -1, 2)]
    out_scale = float(np.float32(max(scales) * rng.uniform(0.4, 2.5)))
    zero_points = [int(zero) for zero in rng.integers(-128, 128, 3)]
    multipliers, exponents = add_rescale(*scales, out_scale)
    factors = Rescale(np.array(multipliers, np.int32), np.array(exponents, np.int8))
    forms = zip((*scales, out_scale), zero_points, strict=True)
    tensors = {i: Tensor(str(i), (16, 16, 256), scale, zero) for i, (scale, zero) in enumerate(forms)}
    operator = Add(0, 1, 2, factors, zero_points[2] if seed % 2 else -128, 127, -1 if seed % 3 == 0 else 1)
    graph = Graph(tensors, (operator,), 0, 2, {})
    form = prove_add(operator, graph)
    assert form is not None
    a, b = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
    cheap = np.clip((form.m1 * a + form.m2 * b + form.c) >> form.shift, operator.low, operator.high)
    first, second = (
        rescale((x.astype(np.int64) - zero) << 20, factors.multiplier[i : i + 1], factors.exponent[i : i + 1])
        for i, (x, zero) in enumerate(((a, zero_points[0]), (b, zero_points[1])))
    )
    scaled = rescale(first + operator.sign * second, factors.multiplier[2:], factors.exponent[2:])
    np.testing.assert_array_equal(cheap, np.clip(scaled + zero_points[2], operator.low, operator.high))


@pytest.mark.parametrize("reach", [0, 1, 50])
@pytest.mark.parametrize("exponent", [5, 8, 20, 30])
def test_a_factor_that_no_register_holds_is_not_chosen(reach: int, exponent: int) -> None:
    """A pruned channel multiplies nothing but zeros, whatever its scale."""
    rescaling = Rescale(np.array([1 << 30], np.int32), np.array([exponent], np.int8))
    ends = np.array([reach])
    found = prove(Staircase(rescaling, np.array([0]), 0, -128, 127, -ends, ends))
    assert found.form[0] == EXACT or max(found.m[0], found.k[0]) < 2**31
