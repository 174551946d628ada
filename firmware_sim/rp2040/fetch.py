"""From an address to the table entry of the instruction there."""

from __future__ import annotations

from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.decode import OP_BKPT, decode, entry
from firmware_sim.rp2040.far import longs_at, memory_of
from firmware_sim.rp2040.layout import (
    BREAKPOINT,
    CODE_PAGE_SHIFT,
    DPRAM_BASE,
    FAULT_EXECUTE_NEVER,
    FAULT_UNMAPPED,
    FLASH_BASE,
    FLASH_OFFSET,
    FLASH_SIZE,
    ROM_SIZE,
    SCRATCH,
    SRAM_BASE,
    SRAM_OFFSET,
    SRAM_SIZE,
    SRAM_STRIPED_SIZE,
    STATE_WORDS,
    STOPS,
    XIP_ALIASES_END,
    Memory,
)
from firmware_sim.rp2040.memory_map import memory_offset

SRAM_TO_OFFSET = SRAM_OFFSET - SRAM_BASE
FLASH_LINE = -8  # mask: the cache of the flash has lines of 8 bytes
SINGLE_ENTRY = -2  # mask of code without entries of its own: each instruction is decoded anew


@inner
def code_line(pc: int) -> tuple[int, int, int]:
    """(line, mask, bias): code with `(pc ^ line) & mask == 0` has the entries `(pc + bias) >> 1`; mask 0: none."""
    if SRAM_BASE <= pc < SRAM_BASE + SRAM_STRIPED_SIZE:
        return SRAM_BASE, -SRAM_STRIPED_SIZE, SRAM_TO_OFFSET
    if SRAM_BASE <= pc < SRAM_BASE + SRAM_SIZE:
        return SRAM_BASE + SRAM_STRIPED_SIZE, -(SRAM_SIZE - SRAM_STRIPED_SIZE), SRAM_TO_OFFSET
    if FLASH_BASE <= pc < XIP_ALIASES_END:
        return pc & FLASH_LINE, FLASH_LINE, FLASH_OFFSET - (pc & -FLASH_SIZE)
    if pc < ROM_SIZE:
        return 0, -ROM_SIZE, 0
    if pc < DPRAM_BASE and memory_offset(pc) >= 0:
        return pc, SINGLE_ENTRY, 2 * SCRATCH - pc
    return 0, 0, 0


@inner
def fetch_fault(pc: int) -> int:
    """Kind of the fault when nothing can be fetched at `pc`."""
    peripheral = 0x40000000 <= pc < 0x60000000 or pc >= 0xA0000000
    return FAULT_EXECUTE_NEVER if peripheral else FAULT_UNMAPPED


@inner
def decode_at(mem: Memory, pc: int, index: int) -> None:
    """Fill the table entry `index` with the instruction at `pc`, or with what stops there for a breakpoint."""
    offset = memory_offset(pc)
    following = memory_offset(pc + 2)
    second = mem.halves[following >> 1] & 0xFFFF if following >= 0 else 0
    mem.decoded[index] = decode(mem.halves[offset >> 1] & 0xFFFF, second, pc)
    if mem.breaks[offset >> 1] & STOPS:
        mem.decoded[index] = entry(OP_BKPT, 0, 0, 0, BREAKPOINT)
    if offset < SRAM_OFFSET + SRAM_SIZE:
        mem.pages[offset >> CODE_PAGE_SHIFT] |= 1
        mem.pages[(offset + 2) >> CODE_PAGE_SHIFT] |= 1


@far
def far_decode(state: int, pc: int, index: int, _c: int, _d: int) -> int:
    """As decode_at."""
    decode_at(memory_of(longs_at(state, STATE_WORDS)), pc, index)
    return 0
