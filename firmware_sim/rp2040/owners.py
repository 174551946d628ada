"""Which core has read and written which page of the SRAM: what the leader of two cores must not run ahead of.

Fast interleaving (decision 0046): the leader runs up to a window of cycles before the follower. It waits for the
follower before a register, before flash that is not in the cache, and before a page that the other core has written, or
has read when the leader writes. What both cores only read may be read at any time.
"""

from __future__ import annotations

from firmware_sim.rp2040.banks import CORE_SHIFT
from firmware_sim.rp2040.blocks.xip import is_cached
from firmware_sim.rp2040.compiled import apart
from firmware_sim.rp2040.decode import OP_PUSH, OP_STM, OP_STR, OP_STRB, OP_STRH
from firmware_sim.rp2040.layout import (
    CODE_PAGE_SHIFT,
    FLASH_BASE,
    FLASH_SIZE,
    OWNERS,
    ROM_SIZE,
    SRAM_BASE,
    SRAM_SIZE,
    State,
)

STORES = 1 << OP_STR | 1 << OP_STRH | 1 << OP_STRB | 1 << OP_STM | 1 << OP_PUSH
READ, WRITTEN = 1, 2  # bits in S[OWNERS + page], shifted by 2 for core 1


@apart
def must_wait(S: State, core: int, address: int, length: int, store: int) -> bool:
    """Whether the order of an access to `length` words matters to the other core."""
    last = address + 4 * length - 4
    if address >= SRAM_BASE and last < SRAM_BASE + SRAM_SIZE:
        other = (READ * store | WRITTEN) << (2 - 2 * (core >> CORE_SHIFT))
        first_page, last_page = (address - SRAM_BASE) >> CODE_PAGE_SHIFT, (last - SRAM_BASE) >> CODE_PAGE_SHIFT
        return (S[OWNERS + first_page] | S[OWNERS + last_page]) & other != 0
    if FLASH_BASE <= address < FLASH_BASE + FLASH_SIZE:
        return not (is_cached(S, address) and is_cached(S, last))
    return last >= ROM_SIZE


@apart
def note_access(S: State, core: int, address: int, length: int, store: int) -> None:
    """Remember an access to `length` words of the SRAM."""
    last = address + 4 * length - 4
    if address >= SRAM_BASE and last < SRAM_BASE + SRAM_SIZE:
        mine = (WRITTEN if store else READ) << (2 * (core >> CORE_SHIFT))
        S[OWNERS + ((address - SRAM_BASE) >> CODE_PAGE_SHIFT)] |= mine
        S[OWNERS + ((last - SRAM_BASE) >> CODE_PAGE_SHIFT)] |= mine
