"""Blocks that are simulated late: DMA and PIO run when somebody looks, or when their next event is due.

They are compiled apart from the interpreter and called through addresses in the state, which `link` sets: the DMA
reaches all registers, its own included, and every caller would otherwise compile all of that again.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma_layout import BUSY_CHANNELS, EVENT
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.indirect import call_separate
from firmware_sim.rp2040.layout import ADVANCE_ADDRESS, LAZY_READ_ADDRESS, LAZY_WRITE_ADDRESS, NEVER, Memory, State

DMA_PAGE = 0x50000  # address >> 12 of the plain alias


@inner
def is_lazy(address: int) -> bool:
    """Whether a register address belongs to a block that is simulated late."""
    return (address >> 12) & ~3 == DMA_PAGE


@inner
def advance(S: State, mem: Memory, now: int) -> None:
    """Bring DMA and PIO up to the cycle `now`."""
    if S[BUSY_CHANNELS]:
        call_separate(S[ADVANCE_ADDRESS], (S, mem, now))
    else:
        S[EVENT] = NEVER


@inner
def lazy_read(S: State, address: int, look: int) -> int:
    """Register of a block that was advanced; -1 when there is none."""
    return call_separate(S[LAZY_READ_ADDRESS], (S, address, look))


@inner
def lazy_write(S: State, address: int, value: int, now: int) -> int:
    """Write a register of a block that was advanced; -1 when there is none."""
    return call_separate(S[LAZY_WRITE_ADDRESS], (S, address, value, now))
