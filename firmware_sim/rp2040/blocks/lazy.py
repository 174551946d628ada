"""Blocks that are simulated late: DMA and PIO run when somebody looks, or when their next event is due."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma_layout import BUSY_CHANNELS, EVENT
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.far import call_far
from firmware_sim.rp2040.layout import FAR_ADVANCE, NEVER, State

DMA_PAGE = 0x50000  # address >> 12 of the plain alias


@inner
def is_lazy(address: int) -> bool:
    """Whether a register address belongs to a block that is simulated late."""
    return (address >> 12) & ~3 == DMA_PAGE


@inner
def advance(S: State, now: int) -> None:
    """Bring DMA and PIO up to the cycle `now`."""
    if S[BUSY_CHANNELS]:
        call_far(S, FAR_ADVANCE, now, 0, 0, 0)
    else:
        S[EVENT] = NEVER
