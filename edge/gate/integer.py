"""The gate's arithmetic, as the firmware has it (firmware_sim/firmware/src/nn.h), bit for bit.

    total           = sum over i of lut[max - logit[i]]        lut[d] = exp(-d * logit_scale / temperature) in Q15
    probability_q15 = (lut[0] << 15) // total                  label = lowest index of max
    sure            iff (lut[0] << 15) >= tau_q15[label] * total

The products need more than 32 bits: a Q12 table with products below 2^31 gave another decision than the float
gate on 1 of 5,024 rows, the Q15 table on none. The quotient is rounded down, so `sure` is `probability_q15 >= tau`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.errors import BadInputError

LUT_SIZE = 256  # differences of two int8 logits: 0..255
Q15_SHIFT = 15
Q15 = 1 << Q15_SHIFT  # 32768: probability 1
NEVER_ALONE = 65535  # a threshold that no probability reaches


class Decision(NamedTuple):
    """What the gate makes of one row of logits."""

    label: int  # index of the largest logit, the lowest one of equals
    probability_q15: int  # 1..32768
    sure: bool


def exponential_table(logit_scale: float, temperature: float) -> tuple[int, ...]:
    """The 256 entries round(32768 * exp(-d * logit_scale / temperature))."""
    steps = np.arange(LUT_SIZE, dtype=np.float64)  # [256]
    return tuple(int(entry) for entry in np.rint(Q15 * np.exp(-steps * logit_scale / temperature)))


@dataclass(frozen=True, slots=True)
class GateTable:
    """The exponential table and one threshold a label. Raises BadInputError unless both are as nn.h wants them."""

    lut: tuple[int, ...]  # uint16[256], lut[0] = 32768, never rising
    tau_q15: tuple[int, ...]  # uint16[labels]: 0..32768, or NEVER_ALONE

    def __post_init__(self) -> None:
        if len(self.lut) != LUT_SIZE or self.lut[0] != Q15 or min(self.lut) < 0:
            raise BadInputError(f"a gate table has {LUT_SIZE} entries from {Q15} down to 0 at least")
        if any(after > before for before, after in zip(self.lut, self.lut[1:], strict=False)):
            raise BadInputError("a gate table never rises")
        check_thresholds(self.tau_q15)

    def decide(self, logits: Sequence[int] | NDArray[np.int8]) -> Decision:
        """The decision on int8 logits [labels]. Raises BadInputError for another number of logits."""
        row = [int(logit) for logit in logits]
        if len(row) != len(self.tau_q15):
            raise BadInputError(f"{len(row)} logits for {len(self.tau_q15)} thresholds")
        largest = max(row)
        label = row.index(largest)
        total = sum(self.lut[largest - logit] for logit in row)
        certain = self.lut[0] << Q15_SHIFT
        return Decision(label, certain // total, certain >= self.tau_q15[label] * total)

    def probabilities_q15(self, logits: NDArray[np.int8]) -> NDArray[np.int64]:
        """`decide`'s probability of each row of int8 logits [N, labels], int64 [N]."""
        wide = logits.astype(np.int64)  # [N, labels]
        steps = wide.max(axis=1, keepdims=True) - wide  # [N, labels]
        total: NDArray[np.int64] = np.array(self.lut, np.int64)[steps].sum(axis=1)  # [N]
        return (self.lut[0] << Q15_SHIFT) // total

    def sure(self, logits: NDArray[np.int8]) -> NDArray[np.bool_]:
        """`decide`'s answer for each row of int8 logits [N, labels], bool [N]."""
        thresholds = np.array(self.tau_q15, np.int64)[logits.argmax(axis=1)]  # [N]
        sure: NDArray[np.bool_] = self.probabilities_q15(logits) >= thresholds
        return sure


def check_thresholds(tau_q15: Sequence[int]) -> None:
    """Raise BadInputError unless all are Q15 shares or NEVER_ALONE."""
    for tau in tau_q15:
        if not (0 <= tau <= Q15 or tau == NEVER_ALONE):
            raise BadInputError(f"a threshold is 0 to {Q15} (Q15), or {NEVER_ALONE} for never alone, not {tau}")
