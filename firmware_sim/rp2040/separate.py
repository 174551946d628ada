"""What is compiled apart from the interpreter, and how it is linked to it (see blocks/lazy.py)."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma import dma_read, dma_write
from firmware_sim.rp2040.blocks.dma_channel import dma_look_all
from firmware_sim.rp2040.blocks.dma_transfer import dma_run, dma_schedule
from firmware_sim.rp2040.bus import read_register, write_register
from firmware_sim.rp2040.compiled import entry_point
from firmware_sim.rp2040.indirect import separate_address
from firmware_sim.rp2040.layout import (
    ADVANCE_ADDRESS,
    LAZY_READ_ADDRESS,
    LAZY_WRITE_ADDRESS,
    READ_REGISTER_ADDRESS,
    WRITE_REGISTER_ADDRESS,
    Memory,
    State,
)


@entry_point
def advance_blocks(S: State, mem: Memory, now: int) -> int:
    """Bring DMA and PIO up to the cycle `now`."""
    dma_run(S, mem, now)
    dma_look_all(S, now)
    dma_schedule(S)
    return 0


@entry_point
def read_any_register(S: State, address: int, now: int) -> int:
    """Word at an aligned register address of APB or AHB-Lite; negative: fault."""
    return read_register(S, address, now, False)


@entry_point
def write_any_register(S: State, address: int, value: int, now: int) -> int:
    """Write a word to a register of APB or AHB-Lite; negative: fault."""
    return write_register(S, address, value, now)


@entry_point
def read_lazy_register(S: State, address: int, look: int) -> int:
    """Register of DMA or PIO; -1 when there is none."""
    return dma_read(S, address & 0xFFF)


@entry_point
def write_lazy_register(S: State, address: int, value: int, now: int) -> int:
    """Write a register of DMA or PIO; -1 when there is none."""
    return dma_write(S, address & 0xFFF, value, now)


def link(S: State, mem: Memory) -> None:
    """Put the addresses of the functions above into the state, compiled or read from the cache."""
    S[LAZY_READ_ADDRESS] = separate_address(read_lazy_register, S, 0, 0)
    S[LAZY_WRITE_ADDRESS] = separate_address(write_lazy_register, S, 0, 0, 0)
    S[READ_REGISTER_ADDRESS] = separate_address(read_any_register, S, 0, 0)
    S[WRITE_REGISTER_ADDRESS] = separate_address(write_any_register, S, 0, 0, 0)
    S[ADVANCE_ADDRESS] = separate_address(advance_blocks, S, mem, 0)
