"""Finds, for each output channel, the cheapest requantisation that is proven to give TFLite's bytes.

TFLite's result is a monotone staircase of at most 255 steps in the dot product x of weights and raw inputs: it is at
least n exactly from x = T(n) on. A form clamp((f(x) + b) >> t) with a monotone f gives the same bytes for every x that
the weights can reach if and only if, for every step n,

    f(T(n)) + b >= n * 2^t     and     f(T(n) - 1) + b < n * 2^t

which leaves an interval for b; its centre is taken. Nothing may leave int32 on the way. The bias is inside b. One t
serves a layer, because the chip's interpolator shifts and clamps and is set once a layer.

| form | f(x) | cycles an output |
| --- | --- | --- |
| F1 | x * m | 4 |
| F2 | floor(x * m / 2^8), from x >> 8 and x & 255 | 9 |
| F2x | floor(x * (m * 2^8 + k) / 2^16), nearly | 12 |
| F1d, F2d, F2xd | the same, and ties away from zero | 8, 13, 16 |
| exact | what TFLite computes, in 64 bits | 37 and more |

Without RELU, TFLite's second rounding moves every step at or below the zero point up by one unit of its intermediate
result, 2^-s of an output. The d forms take g = f(x) + b, whose sign is the sign of the real sum, and give
clamp((g - [g < 0] * 2^(t - s) + 2^(t - 1) + zero_point * 2^t) >> t).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.arithmetic import ADD_LEFT_SHIFT, INT32_MAX, INT32_MIN, rescale, rescale_once
from firmware_sim.compiler.graph import Add, Conv2D, DepthwiseConv2D, Graph, Rescale

Int64 = NDArray[np.int64]
EXACT, F1, F2, F2X, F1D, F2D, F2XD = range(7)
NAMES = ("exact", "F1", "F2", "F2x", "F1d", "F2d", "F2xd")
CYCLES = {EXACT: 37, F1: 4, F2: 9, F2X: 12, F1D: 8, F2D: 13, F2XD: 16}  # without load and store
BASE = {F1D: F1, F2D: F2, F2XD: F2X}
SHIFTS = range(24, 5, -1)  # candidates for t
ADD_SHIFTS = range(22, 13, -1)
NONE_LOW, NONE_HIGH = -(2**62), 2**62


@dataclass(frozen=True, slots=True)
class Requantisation:
    """One layer's channels: bytes(x) for every reachable x. Arrays [O]; m, k and b count where `form` is not EXACT."""

    shift: int  # t
    form: NDArray[np.int8]
    m: Int64
    k: Int64
    b: Int64
    d: Int64  # t - s of the d forms
    after: int  # 2^(t - 1) + zero_point * 2^t, which the d forms add last

    def verdict(self) -> str:
        """How many channels have which form, such as "60 F2, 4 exact"."""
        counts = [(NAMES[form], int((self.form == form).sum())) for form in (*range(1, 7), EXACT)]
        return ", ".join(f"{count} {name}" for name, count in counts if count)


@dataclass(frozen=True, slots=True)
class Staircase:
    """TFLite's result of one layer as a function of the dot product. Arrays [O] unless noted."""

    rescale: Rescale
    bias: Int64
    zero_point: int
    low: int
    high: int
    smallest: Int64  # reachable dot product
    largest: Int64

    def value(self, x: Int64) -> Int64:
        """TFLite's output for dot products x int64 [O, ...]."""
        axes = (...,) + (None,) * (x.ndim - 1)
        multiplier, exponent = self.rescale.multiplier[axes], self.rescale.exponent[axes]
        function = rescale_once if self.rescale.once else rescale
        scaled = function(x + self.bias[axes], multiplier, exponent)
        return np.clip(scaled + self.zero_point, self.low, self.high)

    def steps(self) -> tuple[Int64, Int64]:
        """(n [S], T [O, S]): the first reachable x whose output is at least n; largest + 1 when there is none."""
        n = np.arange(self.low + 1, self.high + 1)  # [S]
        left = np.repeat(self.smallest[:, None], len(n), axis=1)  # [O, S]
        right = np.repeat(self.largest[:, None] + 1, len(n), axis=1)
        while (left < right).any():
            middle = (left + right) >> 1
            reached = self.value(middle) >= n
            right = np.where(reached, middle, right)
            left = np.where(reached | (left == right), left, middle + 1)
        return n, left


def staircase_of(operator: Conv2D | DepthwiseConv2D, graph: Graph) -> Staircase:
    """The staircase of a convolution of raw inputs -128..127; padding reads the zero point, which is one of them."""
    into, out = graph.tensors[operator.input], graph.tensors[operator.output]
    channels = len(operator.bias)
    rows = operator.weights.reshape(channels, -1) if isinstance(operator, Conv2D) else None
    taps = rows if rows is not None else operator.weights.reshape(-1, channels).T
    wide = taps.astype(np.int64)  # [O, taps]
    ends = np.stack([wide * -128, wide * 127])  # [2, O, taps]
    return Staircase(
        rescale=operator.rescale,
        bias=operator.bias.astype(np.int64) - into.zero_point * wide.sum(axis=1),
        zero_point=out.zero_point,
        low=operator.low,
        high=operator.high,
        smallest=ends.min(axis=0).sum(axis=1),
        largest=ends.max(axis=0).sum(axis=1),
    )


@dataclass(frozen=True, slots=True)
class AddForm:
    """ADD and SUB as clamp((m1 * a + m2 * b + c) >> t) of raw int8 values, proven on all 65,536 pairs."""

    m1: int
    m2: int
    c: int
    shift: int


def prove_add(operator: Add, graph: Graph) -> AddForm | None:
    """The cheap form of an ADD or SUB; None when there is none."""
    one, two = graph.tensors[operator.input], graph.tensors[operator.input2]
    out = graph.tensors[operator.output]
    values = np.arange(-128, 128, dtype=np.int64)
    multiplier, exponent = operator.rescale.multiplier, operator.rescale.exponent
    first, second = (
        rescale((values - tensor.zero_point) << ADD_LEFT_SHIFT, multiplier[i : i + 1], exponent[i : i + 1])
        for i, tensor in enumerate((one, two))
    )  # [256] each
    scaled = rescale(first[:, None] + operator.sign * second[None], multiplier[2:], exponent[2:])
    wanted = np.clip(scaled + out.zero_point, operator.low, operator.high)  # [256, 256]
    for shift in ADD_SHIFTS:
        m1, m2 = (round(tensor.scale / out.scale * 2**shift) for tensor in (one, two))
        m2 *= operator.sign
        raw = m1 * values[:, None] + m2 * values[None]  # [256, 256]
        least = int(np.where(wanted > operator.low, (wanted << shift) - raw, INT32_MIN).max())
        most = int(np.where(wanted < operator.high, ((wanted + 1) << shift) - 1 - raw, INT32_MAX).min())
        c = (least + most) >> 1
        reach = int(np.abs(raw).max()) + abs(c)
        if least <= most and reach <= INT32_MAX:
            return AddForm(m1, m2, c, shift)
    return None


def f_of(form: int, x: Int64, m: Int64, k: Int64) -> Int64:
    """f(x) of a form, for x int64 [O, ...] and m, k int64 [O], as the kernels compute it."""
    axes = (...,) + (None,) * (x.ndim - 1)
    m, k = m[axes], k[axes]
    if BASE.get(form, form) == F1:
        return x * m
    high, low = x >> 8, x & 255
    return high * m + ((low * m + (high * k if BASE.get(form, form) == F2X else 0)) >> 8)


def apply(found: Requantisation, stairs: Staircase, x: Int64) -> Int64:
    """Outputs [O, n] of dot products x int64 [O, n] by each channel's form: what the kernels do."""
    out = stairs.value(x)  # of the exact channels
    for form in range(F1, F2XD + 1):
        rows = found.form == form
        value = f_of(form, x[rows], found.m[rows], found.k[rows]) + found.b[rows, None]
        if form in BASE:
            value -= (value < 0).astype(np.int64) << found.d[rows, None]
            value += found.after
        out[rows] = np.clip(value >> found.shift, stairs.low, stairs.high)
    return out


def prove(stairs: Staircase) -> Requantisation:
    """The cheapest proven form of each channel, and the shift with which the layer costs least."""
    n, first = stairs.steps()  # [S], [O, S]
    best: Requantisation | None = None
    best_cost = np.inf
    for shift in SHIFTS:
        found = _with_shift(stairs, n, first, shift)
        cost = sum(CYCLES[form] * int((found.form == form).sum()) for form in CYCLES)
        if cost < best_cost:
            best, best_cost = found, cost
    assert best is not None  # noqa: S101
    return best


def _with_shift(stairs: Staircase, n: Int64, first: Int64, shift: int) -> Requantisation:
    channels = len(stairs.bias)
    form = np.full(channels, EXACT, np.int8)
    m, k, b = (np.zeros(channels, np.int64) for _ in range(3))
    real = stairs.rescale.multiplier.astype(np.float64) * np.exp2(stairs.rescale.exponent - 31.0)  # [O]
    kinds = [(F2XD, 16), (F2D, 8), (F1D, 0), (F2X, 16), (F2, 8), (F1, 0)]
    if stairs.low >= stairs.zero_point or stairs.rescale.once:
        kinds = kinds[3:]  # no step at or below the zero point, or no second rounding
    for kind, bits in sorted(kinds, key=lambda pair: -CYCLES[pair[0]]):  # the cheaper overwrites
        exact = real * 2.0 ** (shift + bits)
        for offset in (0, 1):
            factor = np.minimum(np.floor(exact) + offset, 2.0**40).astype(np.int64)  # [O]
            wide = BASE.get(kind, kind) == F2X
            this_m, this_k = (factor >> 8, factor & 255) if wide else (factor, np.zeros_like(factor))
            proven, this_b = _check(stairs, n, first, shift, kind, this_m, this_k)
            form[proven], m[proven], k[proven] = kind, this_m[proven], this_k[proven]
            b[proven] = this_b[proven]
    after = (1 << (shift - 1)) + (stairs.zero_point << shift)
    return Requantisation(shift, form, m, k, b, _ties(stairs, shift), after)


def _ties(stairs: Staircase, shift: int) -> Int64:
    """t - s of each channel, int64 [O]."""
    return np.maximum(shift + stairs.rescale.exponent.astype(np.int64), 0)


def _check(
    stairs: Staircase, n: Int64, first: Int64, shift: int, kind: int, m: Int64, k: Int64
) -> tuple[NDArray[np.bool_], Int64]:
    """Whether the form is exact on all that each channel reaches, bool [O], and its b, int64 [O]."""
    target = np.broadcast_to(n << shift, first.shape)  # [O, S]
    possible = np.ones(len(m), np.bool_)
    if kind in BASE:  # conditions on f(x) + b, less what comes after it
        exponent = stairs.rescale.exponent.astype(np.int64)  # -s
        possible = (exponent <= -2) & (shift + exponent >= 0)
        lowered = np.where(n <= stairs.zero_point, np.int64(1) << _ties(stairs, shift)[:, None], 0)  # [O, S]
        target = target + lowered - (1 << (shift - 1)) - (stairs.zero_point << shift)
    reached, begins_later = first <= stairs.largest[:, None], first > stairs.smallest[:, None]  # [O, S]
    at = f_of(kind, np.minimum(first, stairs.largest[:, None]), m, k)
    below = f_of(kind, np.maximum(first - 1, stairs.smallest[:, None]), m, k)
    least = np.where(reached, target - at, NONE_LOW).max(axis=1, initial=NONE_LOW)  # [O]
    most = np.where(begins_later, target - 1 - below, NONE_HIGH).min(axis=1, initial=NONE_HIGH)
    ends = np.stack([stairs.smallest, stairs.largest], axis=1)  # [O, 2]
    f_low, f_high = f_of(kind, ends, m, k).T  # [O], [O]
    room = (1 << shift) * 129 if kind in BASE else 0  # for half, zero point and ties
    least = np.maximum(least, INT32_MIN + room - np.minimum(f_low, 0))
    most = np.minimum(most, INT32_MAX - room - np.maximum(f_high, 0))
    fits = possible & _products_fit(BASE.get(kind, kind), ends, m, k)
    return fits & (least <= most), (least + most) >> 1


def _products_fit(kind: int, ends: Int64, m: Int64, k: Int64) -> NDArray[np.bool_]:
    """Whether no product of the form leaves its register: bool [O]. `ends` int64 [O, 2] are the extreme x."""
    high = ends if kind == F1 else ends >> 8
    fits: NDArray[np.bool_] = (np.abs(high * m[:, None]) <= INT32_MAX).all(axis=1)
    if kind == F2:
        fits &= m < 2**24  # the low product is unsigned
    elif kind == F2X:
        fits &= 255 * m + np.abs(high * k[:, None]).max(axis=1) <= INT32_MAX
    return fits
