"""Exceptions as they nearly always come: from thread mode, vector and stack in plain memory, nothing else waiting.

Each function does all that the general code in exceptions.py and control.py does in its case, or nothing and says so.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma_layout import BUSY_CHANNELS
from firmware_sim.rp2040.blocks.dma_layout import EVENT as DMA_EVENT
from firmware_sim.rp2040.blocks.pio_layout import RUNNING
from firmware_sim.rp2040.blocks.ppb import SYSTICK, pending_exceptions
from firmware_sim.rp2040.blocks.systick import CLKSOURCE, ENABLE, TICKINT
from firmware_sim.rp2040.blocks.xip import can_be_read, xip_wait
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.events import next_event
from firmware_sim.rp2040.far import memory_of
from firmware_sim.rp2040.flags import set_flags, xpsr
from firmware_sim.rp2040.layout import (
    ACTIVE,
    CODE_PAGE_SHIFT,
    CONTROL,
    CORE_STRIDE,
    CYCLES,
    DEAD,
    DREQ_WANTED,
    ENABLED,
    END,
    EVENT_REGISTER,
    EXECUTION_PRIORITY,
    EXIT,
    EXIT_END,
    FLASH_BASE,
    FLASH_OFFSET,
    FLASH_SIZE,
    IPSR,
    LATCHED,
    LINES,
    LR,
    NEVER,
    NEXT_EVENT,
    NMI_MASK,
    OWN_LINES,
    PC,
    PRIMASK,
    PRIORITY,
    SCR,
    SEEN_PENDING,
    SLEEP_WFI,
    SLEEPING,
    SLEPT,
    SLICE,
    SP,
    SRAM_BASE,
    SRAM_END,
    SRAM_OFFSET,
    SRAM_SIZE,
    SYST_COUNTFLAG,
    SYST_CSR,
    SYST_EVENT,
    SYST_LOADED,
    SYST_RVR,
    SYST_ZERO,
    THREAD_PRIORITY,
    VTOR,
    WORD,
    XIP_ALIASES_END,
    State,
)

ENTRY_CYCLES = 15  # Cortex-M0+ TRM 3.6.1: worst-case latency with zero wait states
RETURN_CYCLES = 11  # with the 2 of BX: 13 from the return instruction to the interrupted one; docs/decisions/0041
FRAME_BYTES = 32
THUMB_BIT = 1 << 24  # EPSR.T
SRAM_TO_OFFSET = SRAM_OFFSET - SRAM_BASE


@inner
def waiting(S: State, core: int) -> int:
    """Enabled exceptions that wait, bit = number, without NMI; a line counts though its handler runs."""
    return (S[core + LATCHED] | (S[LINES] | S[core + OWN_LINES]) << 16) & S[core + ENABLED]


@inner
def enter_from_thread(S: State, core: int, number: int) -> bool:
    """Enter the handler of the exception that is to be taken; False: not the simple case, nothing happened."""
    words, pages = memory_of(S).words, memory_of(S).pages
    sp = S[core + SP]
    frame = (sp - FRAME_BYTES) & 0xFFFFFFF8
    offset = frame + SRAM_TO_OFFSET
    vector = (S[core + VTOR] + 4 * number) & WORD
    in_flash = FLASH_BASE <= vector < XIP_ALIASES_END
    source = (vector & (FLASH_SIZE - 1)) + FLASH_OFFSET if in_flash else vector + SRAM_TO_OFFSET
    if (
        S[core + ACTIVE] | S[core + IPSR] | S[core + CONTROL]
        or offset < SRAM_OFFSET
        or offset > SRAM_OFFSET + SRAM_SIZE - FRAME_BYTES
        or not (in_flash or SRAM_BASE <= vector < SRAM_END)
        or (in_flash and not can_be_read(S, vector))
        or offset - 4 < source < offset + FRAME_BYTES
        or pages[offset >> CODE_PAGE_SHIFT] | pages[(offset + FRAME_BYTES - 4) >> CODE_PAGE_SHIFT]
    ):
        return False
    entry = words[source >> 2] & WORD
    handler = entry & (WORD - 1)
    if not entry & 1 or not (SRAM_BASE <= handler < SRAM_END or FLASH_BASE <= handler < XIP_ALIASES_END):
        return False
    at = offset >> 2
    for i in range(4):
        words[at + i] = S[core + i]
    words[at + 4], words[at + 5] = S[core + 12], S[core + LR]
    words[at + 6], words[at + 7] = S[core + PC], xpsr(S, core) | ((sp >> 2 & 1) << 9)
    cycle = S[core + CYCLES] + ENTRY_CYCLES
    S[core + CYCLES] = cycle + xip_wait(S, vector, cycle) if in_flash else cycle
    S[core + SP], S[core + LR], S[core + PC] = frame, 0xFFFFFFF9, handler
    S[core + IPSR] = number
    S[core + ACTIVE] = 1 << number
    S[core + LATCHED] &= ~(1 << number)
    S[core + EVENT_REGISTER] = 1
    S[core + SLEEPING] = 0
    S[core + EXECUTION_PRIORITY] = S[core + PRIORITY + number]
    return True


@inner
def return_to_thread(S: State, core: int, exc_return: int) -> bool:
    """Leave the only active handler for what it interrupted; False: not the simple case, nothing happened."""
    frame = S[core + SP]
    offset = frame + SRAM_TO_OFFSET
    if (
        exc_return != 0xFFFFFFF9
        or S[core + ACTIVE] != 1 << S[core + IPSR]
        or S[core + SCR] | S[core + NMI_MASK] | (frame & 3)
        or offset < SRAM_OFFSET
        or offset > SRAM_OFFSET + SRAM_SIZE - FRAME_BYTES
        or waiting(S, core)
        or S[NEXT_EVENT] <= S[core + CYCLES]
        or (S[CORE_STRIDE - core + SLEEPING] == 0 and S[CORE_STRIDE - core + CYCLES] < S[core + CYCLES])
    ):
        return False
    at = offset >> 2
    words = memory_of(S).words
    if not words[at + 7] & THUMB_BIT:
        return False
    for i in range(4):
        S[core + i] = words[at + i]
    S[core + 12], S[core + LR] = words[at + 4], words[at + 5]
    S[core + PC] = words[at + 6] & (WORD - 1)
    status = words[at + 7] & WORD
    S[core + SP] = (frame + FRAME_BYTES + (4 if status >> 9 & 1 else 0)) & WORD
    set_flags(S, core, status)
    S[core + IPSR] = status & 63
    S[core + ACTIVE] = 0
    S[core + LATCHED] |= (S[LINES] | S[core + OWN_LINES]) << 16  # lines that are still high
    S[core + EXECUTION_PRIORITY] = THREAD_PRIORITY
    S[core + EVENT_REGISTER] = 1
    S[core + CYCLES] += RETURN_CYCLES
    return True


@inner
def sleep_until_systick(S: State, now: int) -> bool:
    """Both cores sleep, core 0 in WFI, and its SysTick comes next: sleep until then and let the counter reach zero.

    False: not the simple case, nothing happened.
    """
    at = S[SYST_EVENT]
    other = S[CORE_STRIDE + SLEEPING]
    if (
        S[SLEEPING] != SLEEP_WFI
        or at != S[NEXT_EVENT]
        or at <= now
        or at >= S[END]
        or now >= S[SLICE]
        or S[EXIT] != EXIT_END
        or other in (0, DEAD)
        or S[SYST_CSR] != ENABLE | TICKINT | CLKSOURCE
        or S[SYST_RVR] == 0
        or S[SCR] | S[PRIMASK] | S[ACTIVE] | S[NMI_MASK] | S[BUSY_CHANNELS] | S[RUNNING] | S[DREQ_WANTED]
        or S[CORE_STRIDE + SCR] | S[CORE_STRIDE + NMI_MASK] | S[CORE_STRIDE + EVENT_REGISTER]
        or waiting(S, 0) | waiting(S, CORE_STRIDE)
    ):
        return False
    S[SLEPT] += at - now
    S[CYCLES] = at
    S[CORE_STRIDE + CYCLES] = max(S[CORE_STRIDE + CYCLES], at)
    S[SYST_ZERO], S[SYST_LOADED], S[SYST_COUNTFLAG] = at, S[SYST_RVR], 1
    S[SYST_EVENT] = at + S[SYST_RVR] + 1
    S[LATCHED] |= 1 << SYSTICK
    S[SEEN_PENDING] = pending_exceptions(S, 0)
    S[CORE_STRIDE + SEEN_PENDING] = pending_exceptions(S, CORE_STRIDE)
    S[DMA_EVENT] = NEVER
    S[NEXT_EVENT] = next_event(S)
    return True
