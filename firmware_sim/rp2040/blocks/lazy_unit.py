"""DMA and PIO run together: called through its address by whoever wants them up to date (lazy.py)."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma_channel import dma_look_all
from firmware_sim.rp2040.blocks.dma_layout import EVENT
from firmware_sim.rp2040.blocks.dma_transfer import dma_due, dma_next, dma_pending, dma_plan, dma_run
from firmware_sim.rp2040.blocks.pio_run import pio_due, pio_next, pio_run
from firmware_sim.rp2040.compiled import far
from firmware_sim.rp2040.far import longs_at, memory_of
from firmware_sim.rp2040.layout import STATE_WORDS


@far
def advance_blocks(state: int, now: int, _b: int, _c: int, _d: int) -> int:
    """Bring DMA and PIO up to the cycle `now`, each action at its cycle: one may wait for what the other does.

    A read by the DMA in the cycle `now` itself is not done yet: the cores may want its bank too.
    """
    S = longs_at(state, STATE_WORDS)
    mem = memory_of(S)
    while True:
        machines, transfers = pio_next(S), dma_next(S)
        if not dma_pending(S, now) and (machines > now or transfers <= machines):
            break
        if transfers <= machines:
            dma_run(S, mem, min(now, machines), min(now, machines + 1))
        else:
            dma_look_all(S, pio_run(S, min(now, transfers - 1)))
    dma_look_all(S, now)
    dma_plan(S)
    S[EVENT] = max(now + 1, min(dma_due(S, now), pio_due(S)))
    return 0
