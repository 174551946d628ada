"""Running instruction by instruction, with a record of each: for profiles, traces, coverage and watchpoints.

The interpreter itself knows nothing of it: a compiled loop lets it run for one instruction at a time (S[SLICE] one
cycle ahead) and looks at the state before and after. Where the interpreter is interrupted changes no result, so a
recorded run is the same run.
"""

from __future__ import annotations

from firmware_sim.rp2040 import decode as d
from firmware_sim.rp2040.compiled import entry_point, inner
from firmware_sim.rp2040.decode import decode
from firmware_sim.rp2040.exceptions import FRAME_BYTES, xpsr
from firmware_sim.rp2040.indirect import call_run
from firmware_sim.rp2040.layout import (
    CYCLES,
    END,
    EXIT_END,
    FLASH_BASE,
    FLASH_OFFSET,
    INSTRUCTIONS,
    IPSR,
    LR,
    OTHER_SP,
    PC,
    SLEEPING,
    SLICE,
    SP,
    SRAM_BASE,
    SRAM_OFFSET,
    SRAM_SIZE,
    WORD,
    IntArray,
    Memory,
    State,
)
from firmware_sim.rp2040.memory_map import memory_offset

# One record: the words of an instruction, or of an exception entry or sleep without one.
CORE = 0  # 0 or 1
KIND = 1  # bits of the next lines
RAN, ENTERED, RETURNED, ASLEEP, JUMPED = 1, 2, 4, 8, 16  # JUMPED: the host moved the PC (boot ROM, hooks)
AT, NEXT = 2, 3  # PC before and after
STARTED, TOOK = 4, 5  # cycle before, cycles
ENTRY = 6  # the decoded instruction
SP_BEFORE, SP_AFTER = 7, 8
STACKED = 9  # ENTERED: the PC to which the exception returns
EXCEPTION = 10  # IPSR after
REGISTERS = 11  # [17] r0-r12, SP, LR, PC, xPSR before; filled when LOG_REGISTERS is set
RECORD_WORDS = 28

# The log: what one recorder keeps besides its ring of records.
LOG_HEAD = 0  # records written since the start
LOG_CAPACITY = 1  # of the ring
LOG_STOP_WHEN_FULL = 2  # leave the loop once LOG_CAPACITY records lie behind LOG_TAKEN
LOG_TAKEN = 3
LOG_REGISTERS = 4
LOG_WATCHES = 5
LOG_BEFORE = 6  # stop before the access of a watchpoint (as debuggers on ARM expect), not after
LOG_PASS = 7  # do not look at watchpoints for the first instruction
LOG_CORES = 8
LOG_LAST_PC, LOG_LAST_CYCLE = 10, 12  # [2] where each core was when the loop ended
LOG_LOWEST_SP = 14  # [2] of the main stack
LOG_HIT = 16  # of the watchpoint: core, PC, address, size, kind, number
LOG_WORDS = 32
WATCH_WORDS = 3  # first address, last address, kind (bits READ and WRITE of points.py)
READ, WRITE = 1, 2

EXIT_FULL = 32  # the ring is full
EXIT_WATCH = 33


@inner
def canonical(address: int) -> int:
    """One address for all aliases: of SRAM, of flash, and of the atomic register aliases."""
    address &= WORD
    offset = memory_offset(address)
    if SRAM_OFFSET <= offset < SRAM_OFFSET + SRAM_SIZE:
        return offset - SRAM_OFFSET + SRAM_BASE
    if offset >= FLASH_OFFSET:
        return offset - FLASH_OFFSET + FLASH_BASE
    if 0x40000000 <= address < 0x60000000 and offset < 0:
        return address & ~0x3000
    return address


@inner
def access_of(S: State, core: int, pc: int, entry: int) -> tuple[int, int, int]:
    """(address, size, READ or WRITE) of the instruction that is about to run; size 0 without an access."""
    op = entry & 0xFF
    a, b, c, imm = (entry >> 8) & 31, (entry >> 16) & 31, (entry >> 24) & 31, entry >> 32
    if op == d.OP_LDR_LITERAL:
        return ((pc & ~3) + imm) & WORD, 4, READ
    if d.OP_LDR <= op <= d.OP_STRB:
        address = (S[core + b] + S[core + c] + imm) & WORD
        if op == d.OP_LDR or op == d.OP_STR:
            return address, 4, READ if op == d.OP_LDR else WRITE
        if op == d.OP_LDRB or op == d.OP_LDRSB:
            return address, 1, READ
        if op == d.OP_STRB:
            return address, 1, WRITE
        return address, 2, WRITE if op == d.OP_STRH else READ
    if op == d.OP_LDM or op == d.OP_POP:
        return S[core + a], 4 * c, READ
    if op == d.OP_STM:
        return S[core + a], 4 * c, WRITE
    if op == d.OP_PUSH:
        return (S[core + SP] - 4 * c) & WORD, 4 * c, WRITE
    return 0, 0, 0


@inner
def watch_number(watches: IntArray, count: int, address: int, size: int, kind: int) -> int:
    """Index of the first watchpoint that an access touches; -1: none."""
    step = min(size, 4)
    for at in range(address, address + size, max(1, step)):
        first = canonical(at)
        for i in range(count):
            w = i * WATCH_WORDS
            if first <= watches[w + 1] and first + step > watches[w] and kind & watches[w + 2]:
                return i
    return -1


@inner
def instruction_at(mem: Memory, pc: int) -> int:
    """The decoded instruction at an address, whatever stands in the decoded table; 0 where no memory is."""
    offset, following = memory_offset(pc), memory_offset(pc + 2)
    if offset < 0:
        return 0
    return decode(mem.halves[offset >> 1] & 0xFFFF, mem.halves[following >> 1] & 0xFFFF if following >= 0 else 0, pc)


@inner
def word_at(mem: Memory, address: int) -> int:
    """A word of memory; 0 where none is."""
    offset = memory_offset(address & WORD & ~3)
    return mem.words[offset >> 2] & WORD if offset >= 0 else 0


@inner
def returns_from_exception(S: State, mem: Memory, core: int, entry: int) -> bool:
    """Whether the instruction about to run is BX or POP with EXC_RETURN, in a handler."""
    op, c = entry & 0xFF, (entry >> 24) & 31
    if S[core + IPSR] == 0:
        return False
    if op == d.OP_BX:
        return S[core + ((entry >> 16) & 31)] >= 0xF0000000
    return op == d.OP_POP and (entry >> 32) & 0x8000 != 0 and word_at(mem, S[core + SP] + 4 * c - 4) >= 0xF0000000


@inner
def before(S: State, mem: Memory, core: int, log: IntArray, record: IntArray) -> None:
    """First half of a record: what is about to run."""
    entry = instruction_at(mem, S[core + PC])
    record[AT], record[STARTED], record[ENTRY] = S[core + PC], S[core + CYCLES], entry
    record[SP_BEFORE], record[EXCEPTION] = S[core + SP], S[core + IPSR]
    record[TOOK] = S[core + INSTRUCTIONS]
    record[KIND] = ASLEEP if S[core + SLEEPING] else 0
    if returns_from_exception(S, mem, core, entry):
        record[KIND] = RETURNED
    if log[LOG_REGISTERS]:
        for i in range(16):
            record[REGISTERS + i] = S[core + i]
        record[REGISTERS + 16] = xpsr(S, core)


@inner
def after(S: State, mem: Memory, core: int, record: IntArray) -> None:
    """Second half: what it did."""
    rom = record[ENTRY] & 0xFF == d.OP_ROM_CALL and S[core + PC] != record[AT]
    exception, kind = S[core + IPSR], record[KIND]
    if rom or S[core + INSTRUCTIONS] != record[TOOK]:
        kind = (kind | RAN) & ~ASLEEP
    else:
        kind &= ~RETURNED
    main = S[core + SP]
    if kind & RETURNED:
        # A return raises the stack; a chained handler starts on the frame that is there.
        op, c = record[ENTRY] & 0xFF, (record[ENTRY] >> 24) & 31
        main -= 4 * c if op == d.OP_POP else 0
        if exception and main < record[SP_BEFORE] + FRAME_BYTES:
            kind |= ENTERED
    elif exception and exception != record[EXCEPTION]:
        kind |= ENTERED
    record[STACKED] = 0
    if kind & ENTERED and not kind & RETURNED:
        frame = S[core + OTHER_SP] if S[core + LR] & 4 else S[core + SP]
        record[STACKED] = word_at(mem, frame + 24)
    record[CORE], record[KIND] = 1 if core else 0, kind
    record[NEXT], record[SP_AFTER], record[EXCEPTION] = S[core + PC], S[core + SP], exception
    record[TOOK] = S[core + CYCLES] - record[STARTED]


@inner
def jumped(S: State, core: int, number: int, log: IntArray, ring: IntArray) -> None:
    """A record of what the host did between two calls: a function of the boot ROM, a hook that moved the PC."""
    pc, cycle = log[LOG_LAST_PC + number], log[LOG_LAST_CYCLE + number]
    if cycle < 0 or (pc == S[core + PC] and cycle == S[core + CYCLES]) or S[core + CYCLES] < cycle:
        return
    at = log[LOG_HEAD] % log[LOG_CAPACITY] * RECORD_WORDS
    ring[at : at + RECORD_WORDS] = 0
    ring[at + CORE], ring[at + KIND], ring[at + AT], ring[at + NEXT] = number, JUMPED, pc, S[core + PC]
    ring[at + STARTED], ring[at + TOOK] = cycle, S[core + CYCLES] - cycle
    ring[at + SP_BEFORE] = ring[at + SP_AFTER] = S[core + SP]
    ring[at + EXCEPTION] = S[core + IPSR]
    log[LOG_HEAD] += 1


@inner
def watched(S: State, mem: Memory, core: int, log: IntArray, watches: IntArray) -> bool:
    """Whether the instruction about to run touches a watchpoint; keeps the hit."""
    pc = S[core + PC]
    address, size, kind = access_of(S, core, pc, instruction_at(mem, pc))
    if size == 0 or S[core + SLEEPING]:
        return False
    number = watch_number(watches, log[LOG_WATCHES], address, size, kind)
    if number < 0:
        return False
    log[LOG_HIT], log[LOG_HIT + 1], log[LOG_HIT + 2] = core, pc, address
    log[LOG_HIT + 3], log[LOG_HIT + 4], log[LOG_HIT + 5] = size, kind, number
    return True


@entry_point
def decode_one(half: int, second: int, address: int) -> int:
    """The decoder for Python: table entry of an instruction."""
    return decode(half, second, address)


@entry_point
def watch_address(address: int) -> int:
    """The address under which a watchpoint's table holds a place."""
    return canonical(address)


@entry_point
def run_recorded(
    S: State, mem: Memory, run: int, slice_end: int, log: IntArray, ring: IntArray, watches: IntArray
) -> int:
    """Run one instruction after the other until S[END], `slice_end`, a full ring or any reason of the interpreter.

    run: address of `run_core`. ring: int64 [LOG_CAPACITY * RECORD_WORDS].
    """
    code = EXIT_END
    hit = False
    jumped(S, 0, 0, log, ring)
    while code == EXIT_END:
        now = S[CYCLES]
        if now >= S[END] or now >= slice_end:
            break
        if log[LOG_STOP_WHEN_FULL] and log[LOG_HEAD] - log[LOG_TAKEN] >= log[LOG_CAPACITY] - 4:
            code = EXIT_FULL
            break
        if log[LOG_WATCHES] and not log[LOG_PASS]:
            hit = watched(S, mem, 0, log, watches)
            if hit and log[LOG_BEFORE]:
                code = EXIT_WATCH
                break
        log[LOG_PASS] = 0
        at = log[LOG_HEAD] % log[LOG_CAPACITY] * RECORD_WORDS
        record = ring[at : at + RECORD_WORDS]
        before(S, mem, 0, log, record)
        S[SLICE] = now + 1
        code = call_run(run, S, mem, 0)
        after(S, mem, 0, record)
        if record[KIND] or record[TOOK]:
            log[LOG_HEAD] += 1
        if hit and code == EXIT_END:
            code = EXIT_WATCH
    log[LOG_LAST_PC], log[LOG_LAST_CYCLE] = S[PC], S[CYCLES]
    return code
