"""The six banks of the SRAM: which of them a core uses in which cycle. RP2040 datasheet 2.1.1 and 2.6.2.

Banks 0-3 hold the words of the first 256 KB in turn, banks 4 and 5 are the two of 4 KB. A bank serves one master a
cycle. S[BANKS] is a ring with one word a cycle: the cycle << BITS, and six bits for each core.
"""

from __future__ import annotations

from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import (
    BANK_CYCLES,
    BANKS,
    CORE_STRIDE,
    SRAM_OFFSET,
    SRAM_SIZE,
    SRAM_STRIPED_SIZE,
    State,
)

BITS = 12
CORE_SHIFT = CORE_STRIDE.bit_length() - 1


@inner
def is_sram(offset: int) -> bool:
    """Whether an offset in the emulated memory is one of the SRAM."""
    return SRAM_OFFSET <= offset < SRAM_OFFSET + SRAM_SIZE


@inner
def bank_of(offset: int) -> int:
    """Bank of a word of the SRAM, by its offset in the emulated memory."""
    inside = offset - SRAM_OFFSET
    return (inside >> 2) & 3 if inside < SRAM_STRIPED_SIZE else 4 + ((inside >> 12) & 1)


@inner
def log_bank(S: State, core: int, bank: int, cycle: int) -> None:
    """`core` uses a bank in a cycle."""
    at = BANKS + (cycle & (BANK_CYCLES - 1))
    used = S[at] if S[at] >> BITS == cycle else cycle << BITS
    S[at] = used | 1 << (bank + 6 * (core >> CORE_SHIFT))


@inner
def busy_by(S: State, core: int, bank: int, cycle: int) -> int:
    """First cycle from `cycle` on in which `core` does not use the bank."""
    bit = 1 << (bank + 6 * (core >> CORE_SHIFT))
    while S[BANKS + (cycle & (BANK_CYCLES - 1))] & bit and S[BANKS + (cycle & (BANK_CYCLES - 1))] >> BITS == cycle:
        cycle += 1
    return cycle
