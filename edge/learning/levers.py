"""What weights can be held to so that the firmware compiler's cheap forms apply (decision 0067).

| lever | what the compiler makes of it |
| --- | --- |
| multiplier_bits = 8 | s_in * s_w / s_out = M * 2^-e with M of 8 bits: requantisation by one product (prover.py, F1) |
| weight_bound = 31 | more products between drains; a depthwise channel's nine need none |
| pair_zeros = 0.5 | half of the taps are zero for both output channels of a pair that share loads (dense_code.py) |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import BadInputError

LARGEST_WEIGHT = 127  # of int8 weights in TFLite: symmetric
SMALLEST_BOUND = 3
BLOCK_SUM = 255  # of |w|: 128 times that stays below 2^15, so a depthwise window is one block (assembly.py, Block)
MULTIPLIER_BITS = (0, 2, 16)  # none, or from the second to the third


@dataclass(frozen=True, slots=True)
class Levers:
    """The defaults hold weights to nothing but int8. Raises BadInputError for values out of range."""

    multiplier_bits: int = 0  # of the mantissa of s_in * s_w / s_out; 0: any
    weight_bound: int = LARGEST_WEIGHT  # largest |w|
    pair_zeros: float = 0.0  # share of (pair of output channels, tap) that is zero in dense layers, the head aside

    def __post_init__(self) -> None:
        none, least, most = MULTIPLIER_BITS
        if self.multiplier_bits != none and not least <= self.multiplier_bits <= most:
            raise BadInputError(
                f"{self.multiplier_bits} bits for multipliers: 0 for any multiplier, or {least} to {most}"
            )
        if not SMALLEST_BOUND <= self.weight_bound <= LARGEST_WEIGHT:
            raise BadInputError(f"weights bounded by {self.weight_bound}: {SMALLEST_BOUND} to {LARGEST_WEIGHT}")
        if not 0.0 <= self.pair_zeros < 1.0:
            raise BadInputError(f"a share of {self.pair_zeros} zero pairs: from 0 to below 1")

    def scales(
        self, weights: NDArray[np.float32], bias: NDArray[np.float32], input_scale: float, output_scale: float
    ) -> NDArray[np.float32]:
        """The weights' scales float32 [O] of a layer: weights [O, I / groups, kh, kw] (depthwise: I / groups = 1).

        The smallest scales that keep integers within the bound; scales are widened where the bias would leave 2^30 (the
        rest of int32 is headroom for the sums), and a channel whose weights vanish gets one that still holds its bias.
        """
        flat = np.abs(weights.reshape(len(weights), -1)).astype(np.float64)  # [O, taps]
        scales = flat.max(axis=1) / self.weight_bound  # [O]
        if self.weight_bound < LARGEST_WEIGHT and weights.ndim == 4 and weights.shape[1] == 1:
            scales = np.maximum(scales, flat.sum(axis=1) / (BLOCK_SUM - flat.shape[1] / 2))  # each rounds by up to 1/2
        smallest = np.abs(bias) / (input_scale * 2.0**30)  # [O]: below this the bias would overflow
        scales = np.maximum(np.maximum(scales, smallest), 1e-9)
        if self.multiplier_bits:
            ratio = input_scale / output_scale
            scales = next_short(scales * ratio, self.multiplier_bits) / ratio
        found: NDArray[np.float32] = scales.astype(np.float32)
        return found


PLAIN = Levers()


def next_short(values: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """The least numbers M * 2^e that are not below the positive `values`, M an integer of `bits` bits."""
    mantissa, exponent = np.frexp(values)  # 0.5 <= mantissa < 1
    # a value that is such a number already, but for the rounding of its float64, stays
    found: NDArray[np.float64] = np.ldexp(np.ceil(mantissa * 2.0**bits - 1e-6), exponent - bits)
    return found
