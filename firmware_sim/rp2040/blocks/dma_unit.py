"""How the bus reaches the DMA: functions called through addresses, see units.py."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma import dma_read, dma_write
from firmware_sim.rp2040.compiled import far
from firmware_sim.rp2040.far import longs_at
from firmware_sim.rp2040.layout import STATE_WORDS


@far
def read_dma(state: int, address: int, look: int, now: int, _d: int) -> int:
    """Register of the DMA; -1 when there is none."""
    return dma_read(longs_at(state, STATE_WORDS), address & 0xFFF)


@far
def write_dma(state: int, address: int, value: int, now: int, _d: int) -> int:
    """Write a register of the DMA; -1 when there is none."""
    return dma_write(longs_at(state, STATE_WORDS), address & 0xFFF, value, now)
