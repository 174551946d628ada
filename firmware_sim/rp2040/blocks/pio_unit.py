"""How the bus reaches the PIO blocks: functions called through addresses, see units.py."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.pio import pio_read, pio_write
from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.far import longs_at
from firmware_sim.rp2040.layout import PIO, PIO_STRIDE, STATE_WORDS


@inner
def block_at(address: int) -> int:
    """Where the words of the block at a register address begin."""
    return PIO + (PIO_STRIDE if address >> 20 & 1 else 0)


@far
def read_pio(state: int, address: int, look: int, now: int, _d: int) -> int:
    """Register of PIO0 or PIO1; -1 when there is none."""
    return pio_read(longs_at(state, STATE_WORDS), block_at(address), address & 0xFFF, now, look != 0)


@far
def write_pio(state: int, address: int, value: int, now: int, _d: int) -> int:
    """Write a register of PIO0 or PIO1; -1 when there is none."""
    return pio_write(longs_at(state, STATE_WORDS), block_at(address), address & 0xFFF, value, now)
