"""xPSR: flags, exception number and the Thumb bit, in the state's unshifted form and as one word."""

from __future__ import annotations

from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import CARRY, IPSR, NZ, OVERFLOW, WORD, State


@inner
def xpsr(S: State, core: int) -> int:
    """Flags, exception number and the Thumb bit as one word."""
    nz = S[core + NZ]
    value = (1 << 31 if nz >> 31 else 0) | (1 << 30 if nz & WORD == 0 else 0)
    value |= (S[core + CARRY] >> 32 & 1) << 29 | (S[core + OVERFLOW] >> 31 & 1) << 28
    return value | (1 << 24) | S[core + IPSR]


@inner
def set_flags(S: State, core: int, value: int) -> None:
    """Flags from the top four bits of a word."""
    negative, zero = value >> 31 & 1, value >> 30 & 1
    S[core + NZ] = (negative << 32) if zero else (0x80000000 if negative else 1)
    S[core + CARRY] = (value >> 29 & 1) << 32
    S[core + OVERFLOW] = (value >> 28 & 1) << 31
