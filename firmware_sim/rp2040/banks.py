"""The six banks of the SRAM: which master uses which of them in which cycle. RP2040 datasheet 2.1.1 and 2.6.2.

Banks 0-3 hold the words of the first 256 KB in turn (at 0x21000000: 64 KB after 64 KB), banks 4 and 5 are the two of
4 KB. A bank serves one master a cycle. S[BANKS] is a ring with one word a cycle: the cycle << BITS, and six bits for
each master: core 0, core 1, DMA.
"""

from __future__ import annotations

from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import (
    BANK_CYCLES,
    BANKS,
    CORE_STRIDE,
    SRAM_BASE,
    SRAM_SIZE,
    SRAM_STRIPED_SIZE,
    SRAM_UNSTRIPED_BASE,
    State,
)

BITS = 18
CORE_SHIFT = CORE_STRIDE.bit_length() - 1
DMA_MASTER = 12  # the lowest bit of the DMA


@inner
def in_banks(address: int) -> bool:
    """Whether an address is one of the SRAM."""
    return SRAM_BASE <= address < SRAM_BASE + SRAM_SIZE or (
        SRAM_UNSTRIPED_BASE <= address < SRAM_UNSTRIPED_BASE + SRAM_STRIPED_SIZE
    )


@inner
def bank_of(address: int) -> int:
    """Bank of a word of the SRAM."""
    if address >= SRAM_UNSTRIPED_BASE:
        return (address >> 16) & 3
    inside = address - SRAM_BASE
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


@inner
def dma_takes(S: State, address: int, cycle: int) -> bool:
    """The DMA reads or writes in a cycle; False: a core, or its other half, has the bank."""
    if not in_banks(address):
        return True
    bank = bank_of(address)
    at = BANKS + (cycle & (BANK_CYCLES - 1))
    used = S[at] if S[at] >> BITS == cycle else cycle << BITS
    if used & ((1 << bank) | (1 << (bank + 6)) | (1 << (bank + DMA_MASTER))):
        return False
    S[at] = used | 1 << (bank + DMA_MASTER)
    return True
