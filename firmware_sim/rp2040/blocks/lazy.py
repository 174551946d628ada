"""Blocks that are simulated late: DMA and PIO run when somebody looks, or when their next event is due."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma_layout import BUSY_CHANNELS, EVENT, NEXT_ACTION
from firmware_sim.rp2040.blocks.pio_layout import RUNNING
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.far import call_far
from firmware_sim.rp2040.layout import DREQ_WANTED, FAR_ADVANCE, NEVER, State

DMA_PAGE, PIO0_PAGE, PIO1_PAGE = 0x50000, 0x50200, 0x50300  # address >> 12 of the plain alias


@inner
def is_lazy(address: int) -> bool:
    """Whether a register address belongs to a block that is simulated late."""
    return (address >> 12) & ~3 in (DMA_PAGE, PIO0_PAGE, PIO1_PAGE)


@inner
def is_gpio(address: int) -> bool:
    """Whether an address of the SIO belongs to its GPIO registers, whose pins the PIO may drive or see."""
    return 4 <= address & 0xFFF < 0x50


@inner
def advance(S: State, now: int) -> None:
    """Bring DMA and PIO up to the cycle `now`: before somebody looks at them or changes what they see of the pins."""
    if S[BUSY_CHANNELS] | S[RUNNING] | S[DREQ_WANTED]:
        call_far(S, FAR_ADVANCE, now, 0, 0, 0)
    else:
        S[EVENT] = S[NEXT_ACTION] = NEVER
