"""Exception entry, return, faults and lock-up. ARMv6-M Architecture Reference Manual B1.5.

The core's registers must be in the state array (not in locals of the loop) when these run.
"""

from __future__ import annotations

from firmware_sim.rp2040.bits import lowest_bit
from firmware_sim.rp2040.blocks.ppb import SVCALL, highest_pending, pending_exceptions
from firmware_sim.rp2040.blocks.xip import can_be_read, xip_wait
from firmware_sim.rp2040.bus import forget_code
from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.far import longs_at, memory_of
from firmware_sim.rp2040.flags import set_flags, xpsr
from firmware_sim.rp2040.layout import (
    ACTIVE,
    CODE_PAGE_SHIFT,
    CONTROL,
    CORE_STRIDE,
    CYCLES,
    DEAD,
    DPRAM_BASE,
    EVENT_REGISTER,
    EXECUTION_PRIORITY,
    EXIT,
    EXIT_CORE,
    EXIT_END,
    EXIT_FAULT,
    EXIT_LOCKUP,
    FAULT_ADDRESS,
    FAULT_EXCEPTION_RETURN,
    FAULT_KIND,
    FAULT_NONE,
    FAULT_NOT_THUMB,
    FAULT_PC,
    FAULT_REGISTERS,
    FAULT_STACKING,
    FAULT_SVC_PRIORITY,
    FAULT_VECTOR,
    FLASH_BASE,
    FLASH_OFFSET,
    IPSR,
    LATCHED,
    LR,
    NEVER,
    NEXT_EVENT,
    OTHER_SP,
    PC,
    PRIMASK,
    PRIORITY,
    SCR,
    SLEEP_WFI,
    SLEEPING,
    SP,
    SRAM_OFFSET,
    SRAM_SIZE,
    STATE_WORDS,
    SWITCH_AT,
    SWITCH_TO,
    THREAD_PRIORITY,
    VTOR,
    WORD,
    XIP_ALIASES_END,
    Memory,
    State,
)
from firmware_sim.rp2040.memory_map import memory_offset
from firmware_sim.rp2040.shortcuts import (
    ENTRY_CYCLES,
    FRAME_BYTES,
    RETURN_CYCLES,
    THUMB_BIT,
    enter_from_thread,
    return_to_thread,
)

VECTOR_CYCLES = 5  # of the entry: from the fetch of the vector to the first instruction of the handler
STACKING_CYCLES = ENTRY_CYCLES - VECTOR_CYCLES
TAIL_CYCLES = 6  # entry without stacking the eight words
HARDFAULT = 3
EXC_RETURN = 0xF0000000  # and above: values of the LR and the PC that end a handler
SLEEP_ON_EXIT = 2  # SCR.SLEEPONEXIT


@inner
def update_priority(S: State, core: int) -> None:
    """Execution priority: the highest of the active exceptions."""
    best, active = THREAD_PRIORITY, S[core + ACTIVE]
    while active:
        best = min(best, S[core + PRIORITY + lowest_bit(active)])
        active &= active - 1
    S[core + EXECUTION_PRIORITY] = best


@inner
def exception_to_take(S: State, core: int, ignore_primask: bool) -> int:
    """Pending exception that preempts what runs now; 0 when none does."""
    number = highest_pending(S, core)
    if number == 0:
        return 0
    priority = S[core + EXECUTION_PRIORITY]
    if S[core + PRIMASK] and not ignore_primask:
        priority = min(priority, 0)
    return number if S[core + PRIORITY + number] < priority else 0


@inner
def lock_up(S: State, core: int) -> None:
    """Nothing runs any more until a reset."""
    S[core + SLEEPING] = DEAD
    S[EXIT], S[EXIT_CORE] = EXIT_LOCKUP, core


@inner
def record_fault(S: State, core: int, kind: int, address: int) -> None:
    """Keep kind, address and registers for the report."""
    S[FAULT_KIND], S[FAULT_ADDRESS], S[FAULT_PC] = kind, address, S[core + PC]
    for i in range(16):
        S[FAULT_REGISTERS + i] = S[core + i]
    S[FAULT_REGISTERS + 16] = xpsr(S, core)


@inner
def handler_address(S: State, mem: Memory, core: int, number: int) -> int:
    """Vector of an exception; 0 when it cannot be read or no handler can run there: not Thumb, no executable memory."""
    address = (S[core + VTOR] + 4 * number) & WORD
    if FLASH_BASE <= address < XIP_ALIASES_END and not can_be_read(S, address):
        return 0
    vector = memory_offset(address)
    if vector < 0 or not mem.words[vector >> 2] & 1:
        return 0
    target = mem.words[vector >> 2] & (WORD - 1)
    return target if memory_offset(target) >= 0 and target < DPRAM_BASE else 0


@inner
def start_handler(S: State, core: int, number: int, handler: int, exc_return: int) -> None:
    """Mode, priorities and PC of the handler; the frame is on the stack already."""
    if S[core + CONTROL] & 2:
        S[core + OTHER_SP], S[core + SP] = S[core + SP], S[core + OTHER_SP]
        S[core + CONTROL] &= ~2
    S[core + LR] = exc_return
    S[core + IPSR] = number
    S[core + ACTIVE] |= 1 << number
    S[core + LATCHED] &= ~(1 << number)
    S[core + EVENT_REGISTER] = 1
    S[core + SLEEPING] = 0
    S[core + PC] = handler
    update_priority(S, core)


@inner
def frame_fits(address: int) -> bool:
    """Whether eight words can be stacked from `address` on."""
    offset = memory_offset(address)
    return SRAM_OFFSET <= offset < FLASH_OFFSET and memory_offset(address + FRAME_BYTES - 4) == offset + FRAME_BYTES - 4


@inner
def stack_and_start(S: State, mem: Memory, core: int, number: int) -> int:
    """Stack eight words and go to the handler; FAULT_VECTOR or FAULT_STACKING when that cannot be done."""
    if handler_address(S, mem, core, number) == 0:
        return FAULT_VECTOR
    exc_return = stack(S, mem, core)
    if exc_return == 0:
        return FAULT_STACKING
    fetch_vector(S, mem, core, number, exc_return)
    return FAULT_NONE


@inner
def fetch_vector(S: State, mem: Memory, core: int, number: int, exc_return: int) -> None:
    """Go to the handler of an exception for which handler_address has one; a vector in flash may have to be fetched."""
    vector = (S[core + VTOR] + 4 * number) & WORD
    if FLASH_BASE <= vector < XIP_ALIASES_END:
        S[core + CYCLES] += max(0, xip_wait(S, vector, S[core + CYCLES]))
    start_handler(S, core, number, handler_address(S, mem, core, number), exc_return)


@inner
def stack(S: State, mem: Memory, core: int) -> int:
    """Put the frame of eight words on the stack: EXC_RETURN for LR, or 0 when there is no memory."""
    old_sp = S[core + SP]
    frame = (old_sp - FRAME_BYTES) & 0xFFFFFFF8
    if not frame_fits(frame):
        return 0
    exc_return = 0xFFFFFFF1
    if S[core + IPSR] == 0:
        exc_return = 0xFFFFFFFD if S[core + CONTROL] & 2 else 0xFFFFFFF9
    status = xpsr(S, core) | ((old_sp >> 2 & 1) << 9)
    offset = memory_offset(frame)
    at = offset >> 2
    words = mem.words
    for i in range(4):
        words[at + i] = S[core + i]
    words[at + 4], words[at + 5] = S[core + 12], S[core + LR]
    words[at + 6], words[at + 7] = S[core + PC], status
    if offset < SRAM_OFFSET + SRAM_SIZE and (
        mem.pages[offset >> CODE_PAGE_SHIFT] | mem.pages[(offset + FRAME_BYTES - 4) >> CODE_PAGE_SHIFT]
    ):
        for i in range(8):
            forget_code(mem, offset + 4 * i)
    S[core + SP] = frame
    S[core + CYCLES] += ENTRY_CYCLES
    return exc_return


@inner
def take_fault(S: State, mem: Memory, core: int, kind: int, address: int) -> None:
    """HardFault at S[core + PC], or lock-up: inside HardFault and NMI, and when HardFault cannot be entered."""
    record_fault(S, core, kind, address)
    S[EXIT], S[EXIT_CORE] = EXIT_FAULT, core
    if S[core + EXECUTION_PRIORITY] < 0 or stack_and_start(S, mem, core, HARDFAULT) != FAULT_NONE:
        lock_up(S, core)


@inner
def take_exception(S: State, mem: Memory, core: int, number: int) -> None:
    """Enter the handler of a pending exception; S[core + PC] is where it returns to."""
    cause = stack_and_start(S, mem, core, number)
    if cause != FAULT_NONE:
        S[core + LATCHED] &= ~(1 << number)
        address = S[core + VTOR] + 4 * number if cause == FAULT_VECTOR else S[core + SP] - FRAME_BYTES
        if cause == FAULT_VECTOR and number == HARDFAULT:
            lock_up(S, core)
        else:
            take_fault(S, mem, core, cause, address & WORD)


@inner
def is_quiet(S: State, core: int, until: int) -> bool:
    """Whether all that may interrupt a core before the cycle `until` has happened."""
    other = CORE_STRIDE - core
    return S[NEXT_EVENT] > until and (S[other + SLEEPING] != 0 or S[other + CYCLES] >= until)


@inner
def hold(S: State, core: int, decided: int, to: int) -> None:
    """Put off an entry (`to`: the exception) or a return (EXC_RETURN) until everything up to `decided` has happened.

    The core's cycle is the end of it meanwhile, and NEXT_EVENT is not later than `decided`: so it does not run.
    """
    S[core + SWITCH_AT], S[core + SWITCH_TO] = decided, to
    S[core + CYCLES] = decided + (RETURN_CYCLES if to >= EXC_RETURN else VECTOR_CYCLES)
    S[NEXT_EVENT] = min(S[NEXT_EVENT], decided)


@inner
def begin_entry(S: State, mem: Memory, core: int, number: int) -> None:
    """Enter the handler of a pending exception, or begin to.

    One of higher priority that comes while the registers are stacked takes the entry over: the vector is fetched
    VECTOR_CYCLES before the handler's first instruction.
    """
    decided = S[core + CYCLES] + STACKING_CYCLES
    if not is_quiet(S, core, decided):
        hold(S, core, decided, number)
    elif not enter_from_thread(S, core, number):
        take_exception(S, mem, core, number)


@inner
def call_supervisor(S: State, mem: Memory, core: int) -> None:
    """SVC: taken at once, or a HardFault where its priority does not suffice."""
    priority = S[core + EXECUTION_PRIORITY]
    if S[core + PRIMASK]:
        priority = min(priority, 0)
    if S[core + PRIORITY + SVCALL] < priority:
        S[core + LATCHED] |= 1 << SVCALL  # it stays so when an exception of higher priority takes the entry over
        begin_entry(S, mem, core, SVCALL)
    else:
        S[core + PC] -= 2
        take_fault(S, mem, core, FAULT_SVC_PRIORITY, S[core + PC])


@inner
def return_is_valid(S: State, core: int, exc_return: int) -> bool:
    """Checks of ARMv6-M B1.5.8: a known code, an active exception, and the mode that the code says."""
    number = S[core + IPSR]
    others = S[core + ACTIVE] & ~(1 << number)
    if exc_return not in (0xFFFFFFF1, 0xFFFFFFF9, 0xFFFFFFFD) or not S[core + ACTIVE] >> number & 1:
        return False
    return (others != 0) == (exc_return == 0xFFFFFFF1)


@inner
def return_from_exception(S: State, mem: Memory, core: int, exc_return: int) -> None:
    """Leave the handler: straight to the next one when it waits (tail-chaining), else unstack."""
    if not return_is_valid(S, core, exc_return):
        take_fault(S, mem, core, FAULT_EXCEPTION_RETURN, exc_return)
        return
    S[core + ACTIVE] &= ~(1 << S[core + IPSR])
    S[core + LATCHED] = pending_exceptions(S, core)  # a line that is still high
    update_priority(S, core)
    S[core + EVENT_REGISTER] = 1
    following = exception_to_take(S, core, False)
    if following and handler_address(S, mem, core, following):
        S[core + CYCLES] += TAIL_CYCLES
        fetch_vector(S, mem, core, following, exc_return)
        return
    unstack(S, mem, core, exc_return)


@inner
def unstack(S: State, mem: Memory, core: int, exc_return: int) -> None:
    """Restore the eight words of the frame; a bad stack pointer and EPSR.T = 0 fault in the mode returned to."""
    if exc_return == 0xFFFFFFFD:
        S[core + OTHER_SP], S[core + SP] = S[core + SP], S[core + OTHER_SP]
        S[core + CONTROL] |= 2
    frame = S[core + SP]
    if frame & 3 or not frame_fits(frame):
        S[core + IPSR] = 0 if exc_return != 0xFFFFFFF1 else S[core + IPSR]
        take_fault(S, mem, core, FAULT_STACKING, frame)
        return
    at = memory_offset(frame) >> 2
    words = mem.words
    for i in range(4):
        S[core + i] = words[at + i]
    S[core + 12], S[core + LR] = words[at + 4], words[at + 5]
    S[core + PC] = words[at + 6] & (WORD - 1)
    status = words[at + 7] & WORD
    S[core + SP] = (frame + FRAME_BYTES + (4 if status >> 9 & 1 else 0)) & WORD
    set_flags(S, core, status)
    S[core + IPSR] = status & 63
    S[core + CYCLES] += RETURN_CYCLES
    if not status & THUMB_BIT:
        take_fault(S, mem, core, FAULT_NOT_THUMB, S[core + PC])
        return
    if S[core + SCR] & SLEEP_ON_EXIT and S[core + ACTIVE] == 0:
        S[core + SLEEPING] = SLEEP_WFI


@inner
def finish_switch(S: State, mem: Memory, core: int) -> None:
    """Go on with what `hold` put off: enter what is most urgent now, or return."""
    decided, to = S[core + SWITCH_AT], S[core + SWITCH_TO]
    S[core + SWITCH_AT] = NEVER
    S[core + CYCLES] = decided
    if to >= EXC_RETURN:
        return_from_exception(S, mem, core, to)
    else:
        S[core + CYCLES] -= STACKING_CYCLES
        number = exception_to_take(S, core, False)
        take_exception(S, mem, core, number if number else to)


@far
def far_svc(state: int, core: int, _b: int, _c: int, _d: int) -> int:
    """As call_supervisor."""
    S = longs_at(state, STATE_WORDS)
    call_supervisor(S, memory_of(S), core)
    return 0


@far
def far_return(state: int, core: int, exc_return: int, _c: int, _d: int) -> int:
    """As return_from_exception; 1: there is more to attend to than instructions."""
    S = longs_at(state, STATE_WORDS)
    if return_to_thread(S, core, exc_return):
        return 0
    if not is_quiet(S, core, S[core + CYCLES]):
        hold(S, core, S[core + CYCLES], exc_return)
        return 1
    return_from_exception(S, memory_of(S), core, exc_return)
    return 0 if S[core + SLEEPING] == 0 and S[EXIT] == EXIT_END else 1
