"""LDM, STM, PUSH and POP off the fast path: other memories, registers, and faults.

A fault leaves the registers as they were; words stored before it stay stored, as on the chip.
"""

from __future__ import annotations

from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.far import call_far, longs_at
from firmware_sim.rp2040.layout import (
    COST_SHIFT,
    FAR_READ,
    FAR_WRITE,
    FAULT_UNALIGNED,
    LOADED,
    STATE_WORDS,
    WORD,
)


@inner
def access_cost(value: int) -> int:
    """Cycles of one access beyond the first of the instruction: 1 for memory, more behind the APB bridge."""
    return max(1, (value >> COST_SHIFT) - 1)


@far
def load_multiple(state: int, core: int, address: int, registers: int, now: int) -> int:
    """Load the registers of a bit set from `address` on; cycles, or minus (bad address << 8 | fault).

    The PC, bit 15, goes to S[core + PC] as it was read. Registers change when the last word has come.
    """
    S = longs_at(state, STATE_WORDS)
    if address & 3:
        return -(address << 8 | FAULT_UNALIGNED)
    cost, at = 1, address
    for i in range(16):
        if registers >> i & 1:
            value = call_far(S, FAR_READ, core, at & WORD, 4, now + cost - 1)
            if value < 0:
                return -((at & WORD) << 8 | -value)
            S[core + LOADED + i] = value & WORD
            cost += access_cost(value)
            at += 4
    for i in range(16):
        if registers >> i & 1:
            S[core + i] = S[core + LOADED + i]
    return cost


@far
def store_multiple(state: int, core: int, address: int, registers: int, now: int) -> int:
    """Store the registers of a bit set from `address` on; cycles, or the negated fault as in load_multiple."""
    S = longs_at(state, STATE_WORDS)
    if address & 3:
        return -(address << 8 | FAULT_UNALIGNED)
    cost, at = 1, address
    for i in range(16):
        if registers >> i & 1:
            status = call_far(S, FAR_WRITE, core, at & WORD, S[core + i] << 3 | 4, now + cost - 1)
            if status < 0:
                return -((at & WORD) << 8 | -status)
            cost += max(1, status - 1)
            at += 4
    return cost
