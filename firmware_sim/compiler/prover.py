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
| F3 | x * m + floor(floor(x / 2^a) * k / 2^s) | 8 |
| F1d, F3d | the same, and ties away from zero | 8, 12 |
| exact | what TFLite computes, in 64 bits | 37 and more |

For sums of r bits F3 has 31 - r bits of the factor in m and 31 - r + a in k. What x loses by a is below 2^a of f, of
which one step of x has m; FRACTIONS are the a and bits of k that are tried. A k of eight bits saves generated code half
a cycle an output: MOVS in the place of a literal.

Without RELU, TFLite's second rounding moves every step at or below the zero point up by one unit of its intermediate
result, 2^-s of an output. The d forms take g = f(x) + b, whose sign is the sign of the real sum, and give
clamp((g - [g < 0] * 2^(t - s) + 2^(t - 1) + zero_point * 2^t) >> t).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.arithmetic import ADD_LEFT_SHIFT, INT32_MAX, INT32_MIN, rescale, rescale_once
from firmware_sim.compiler.graph import Add, Conv2D, DepthwiseConv2D, Graph, Rescale

Int64 = NDArray[np.int64]
EXACT, F1, F3, F1D, F3D = range(5)
NAMES = ("exact", "F1", "F3", "F1d", "F3d")
CYCLES = {EXACT: 37, F1: 4, F3: 8, F1D: 8, F3D: 12}  # an output; constants, load and store left out
BASE = {F1D: F1, F3D: F3}
FRACTIONS = ((0, 8), (0, 12), (0, 10), (2, 12), (3, 13), (4, 13), (4, 14), (5, 14), (6, 15))
"""Of F3: a, and the bits of k that are tried; where a is 0 s is PLAIN_SHIFT."""
PLAIN_SHIFT = 12
WIDE_CYCLES = 0.5  # of a k that is more than MOVS takes
SHIFTS = range(24, 5, -1)  # candidates for t
ADD_SHIFTS = range(22, 13, -1)
NONE_LOW, NONE_HIGH = -(2**62), 2**62


@dataclass(frozen=True, slots=True)
class Requantisation:
    """One layer's channels: bytes(x) for every reachable x. Arrays [O]; m, k, a, s, b count where `form` has them."""

    shift: int  # t
    form: NDArray[np.int8]
    m: Int64
    k: Int64
    a: Int64
    s: Int64
    b: Int64
    d: Int64  # t - s of the d forms
    after: int  # 2^(t - 1) + zero_point * 2^t, which the d forms add last

    def verdict(self) -> str:
        """How many channels have which form, and its cycles an output: "60 F3 (8), 4 exact (37)"."""
        counts = [(form, int((self.form == form).sum())) for form in (*range(1, len(NAMES)), EXACT)]
        return ", ".join(f"{count} {NAMES[form]} ({CYCLES[form]})" for form, count in counts if count)


@dataclass(frozen=True, slots=True)
class Factors:
    """The numbers of f(x). Arrays [O]."""

    m: Int64
    k: Int64
    a: Int64
    s: Int64


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

    def only(self, channels: Int64) -> Staircase:
        """Some of the channels."""
        scale = replace(self.rescale, multiplier=self.rescale.multiplier[channels])
        scale = replace(scale, exponent=self.rescale.exponent[channels])
        return replace(
            self,
            rescale=scale,
            bias=self.bias[channels],
            smallest=self.smallest[channels],
            largest=self.largest[channels],
        )

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


def f_of(form: int, x: Int64, factors: Factors) -> Int64:
    """f(x) of a form, for x int64 [O, ...], as the kernels compute it."""
    axes = (...,) + (None,) * (x.ndim - 1)
    if BASE.get(form, form) == F1:
        return x * factors.m[axes]
    return x * factors.m[axes] + (((x >> factors.a[axes]) * factors.k[axes]) >> factors.s[axes])


def apply(found: Requantisation, stairs: Staircase, x: Int64) -> Int64:
    """Outputs [O, n] of dot products x int64 [O, n] by each channel's form: what the kernels do."""
    out = stairs.value(x)  # of the exact channels
    for form in range(F1, F3D + 1):
        rows = found.form == form
        factors = Factors(found.m[rows], found.k[rows], found.a[rows], found.s[rows])
        value = f_of(form, x[rows], factors) + found.b[rows, None]
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
        cost = float(sum(CYCLES[form] * int((found.form == form).sum()) for form in CYCLES))
        cost += WIDE_CYCLES * int(((found.k % 16 != 0) | (found.a > 0)).sum())
        if cost < best_cost:
            best, best_cost = found, cost
    assert best is not None  # noqa: S101
    return best


def _with_shift(stairs: Staircase, n: Int64, first: Int64, shift: int) -> Requantisation:
    channels = len(stairs.bias)
    form = np.full(channels, EXACT, np.int8)
    m, k, a, s, b = (np.zeros(channels, np.int64) for _ in range(5))
    real = stairs.rescale.multiplier.astype(np.float64) * np.exp2(stairs.rescale.exponent - 31.0)  # [O]
    # no step at or below the zero point, or no second rounding: no ties
    ties = stairs.low < stairs.zero_point and not stairs.rescale.once
    for one, fraction in ((F1, F3), (F1D, F3D)) if ties else ((F1, F3),):
        for kind, (before, bits) in ((one, (0, 0)), *((fraction, found) for found in FRACTIONS)):
            for offset in (0, 1):
                left = np.flatnonzero(form == EXACT)
                if not len(left):
                    break
                exact = np.floor(real[left] * 2.0 ** (shift + bits)) + offset  # [n]
                factors = _factors(np.minimum(exact, 2.0 ** (31 + bits)).astype(np.int64), before, bits)
                proven, this_b = _check(stairs.only(left), n, first[left], shift, kind, factors)
                done = left[proven]
                form[done], b[done] = kind, this_b[proven]
                for whole, part in zip((m, k, a, s), (factors.m, factors.k, factors.a, factors.s), strict=True):
                    whole[done] = part[proven]
    after = (1 << (shift - 1)) + (stairs.zero_point << shift)
    return Requantisation(shift, form, m, k, a, s, b, _ties(stairs, shift), after)


def _factors(factor: Int64, before: int, bits: int) -> Factors:
    """A factor [n] with `bits` below the point, in two parts."""
    k = factor & ((1 << bits) - 1)
    after = bits - before
    if before == 0 and bits:
        k, after = k << (PLAIN_SHIFT - bits), PLAIN_SHIFT
    return Factors(factor >> bits, k, np.full_like(factor, before), np.full_like(factor, after))


def _ties(stairs: Staircase, shift: int) -> Int64:
    """t - s of each channel, int64 [O]."""
    return np.maximum(shift + stairs.rescale.exponent.astype(np.int64), 0)


def _check(
    stairs: Staircase, n: Int64, first: Int64, shift: int, kind: int, factors: Factors
) -> tuple[NDArray[np.bool_], Int64]:
    """Whether the form is exact on all that each channel reaches, bool [O], and its b, int64 [O]."""
    target = np.broadcast_to(n << shift, first.shape)  # [O, S]
    possible = np.ones(len(first), np.bool_)
    if kind in BASE:  # conditions on f(x) + b, less what comes after it
        exponent = stairs.rescale.exponent.astype(np.int64)  # -s
        possible = (exponent <= -2) & (shift + exponent >= 0)
        lowered = np.where(n <= stairs.zero_point, np.int64(1) << _ties(stairs, shift)[:, None], 0)  # [O, S]
        target = target + lowered - (1 << (shift - 1)) - (stairs.zero_point << shift)
    reached, begins_later = first <= stairs.largest[:, None], first > stairs.smallest[:, None]  # [O, S]
    at = f_of(kind, np.minimum(first, stairs.largest[:, None]), factors)
    below = f_of(kind, np.maximum(first - 1, stairs.smallest[:, None]), factors)
    least = np.where(reached, target - at, NONE_LOW).max(axis=1, initial=NONE_LOW)  # [O]
    most = np.where(begins_later, target - 1 - below, NONE_HIGH).min(axis=1, initial=NONE_HIGH)
    ends = np.stack([stairs.smallest, stairs.largest], axis=1)  # [O, 2]
    f_low, f_high = f_of(kind, ends, factors).T  # [O], [O]
    room = (1 << shift) * 129 if kind in BASE else 0  # for half, zero point and ties
    least = np.maximum(least, INT32_MIN + room - np.minimum(f_low, 0))
    most = np.minimum(most, INT32_MAX - room - np.maximum(f_high, 0))
    fits = possible & _products_fit(kind, ends, factors)
    return fits & (least <= most), (least + most) >> 1


def _products_fit(kind: int, ends: Int64, factors: Factors) -> NDArray[np.bool_]:
    """Whether no factor or product of the form leaves its register: bool [O]. `ends` int64 [O, 2] are the extreme x."""
    products = np.abs(ends * factors.m[:, None])
    if BASE.get(kind, kind) == F3:
        parts = np.abs((ends >> factors.a[:, None]) * factors.k[:, None])
        products = np.maximum(np.maximum(products, parts), np.abs(f_of(F3, ends, factors)))
    fits: NDArray[np.bool_] = (products <= INT32_MAX).all(axis=1) & (factors.m <= INT32_MAX)
    return fits
