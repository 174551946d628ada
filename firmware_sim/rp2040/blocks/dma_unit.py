"""How the bus and the events reach the DMA: functions called through addresses, see units.py."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma import dma_read, dma_write
from firmware_sim.rp2040.blocks.dma_channel import dma_look_all
from firmware_sim.rp2040.blocks.dma_transfer import dma_run, dma_schedule
from firmware_sim.rp2040.compiled import far
from firmware_sim.rp2040.far import longs_at, memory_of
from firmware_sim.rp2040.layout import STATE_WORDS


@far
def advance_blocks(state: int, now: int, _b: int, _c: int, _d: int) -> int:
    """Bring DMA and PIO up to the cycle `now`."""
    S = longs_at(state, STATE_WORDS)
    dma_run(S, memory_of(S), now)
    dma_look_all(S, now)
    dma_schedule(S)
    return 0


@far
def read_dma(state: int, address: int, look: int, now: int, _d: int) -> int:
    """Register of the DMA; -1 when there is none."""
    return dma_read(longs_at(state, STATE_WORDS), address & 0xFFF)


@far
def write_dma(state: int, address: int, value: int, now: int, _d: int) -> int:
    """Write a register of the DMA; -1 when there is none."""
    return dma_write(longs_at(state, STATE_WORDS), address & 0xFFF, value, now)
