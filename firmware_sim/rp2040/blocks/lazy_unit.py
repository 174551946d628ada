"""DMA and PIO run together: called through its address by whoever wants them up to date (lazy.py)."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma_channel import dma_look_all
from firmware_sim.rp2040.blocks.dma_layout import EVENT
from firmware_sim.rp2040.blocks.dma_transfer import dma_due, dma_next, dma_run
from firmware_sim.rp2040.blocks.pio_run import pio_due, pio_next, pio_run
from firmware_sim.rp2040.compiled import far
from firmware_sim.rp2040.far import longs_at, memory_of
from firmware_sim.rp2040.layout import STATE_WORDS


@far
def advance_blocks(state: int, now: int, _b: int, _c: int, _d: int) -> int:
    """Bring DMA and PIO up to the cycle `now`, each action at its cycle: one may wait for what the other does."""
    S = longs_at(state, STATE_WORDS)
    mem = memory_of(S)
    while True:
        machines, transfers = pio_next(S), dma_next(S)
        if min(machines, transfers) > now:
            break
        if transfers <= machines:
            dma_run(S, mem, min(now, machines))
        else:
            dma_look_all(S, pio_run(S, min(now, transfers - 1)))
    dma_look_all(S, now)
    S[EVENT] = min(dma_due(S), pio_due(S))
    return 0
