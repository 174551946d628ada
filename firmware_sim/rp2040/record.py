"""Running instruction by instruction, with a record of each: for profiles, traces, coverage and watchpoints.

The interpreter itself knows nothing of it: a compiled loop lets it run for one instruction at a time (S[SLICE] one
cycle ahead) and looks at the state before and after. Where the interpreter is interrupted changes no result, so a
recorded run is the same run.
"""

from __future__ import annotations

from firmware_sim.rp2040 import decode as d
from firmware_sim.rp2040.compiled import entry_point, inner
from firmware_sim.rp2040.control import present
from firmware_sim.rp2040.decode import decode
from firmware_sim.rp2040.exceptions import EXC_RETURN, STACKING_CYCLES
from firmware_sim.rp2040.far import memory_of
from firmware_sim.rp2040.flags import xpsr
from firmware_sim.rp2040.kernels.intrinsics import intrinsic
from firmware_sim.rp2040.layout import (
    CORE_STRIDE,
    CYCLES,
    END,
    EXIT_END,
    FLASH_BASE,
    FLASH_OFFSET,
    INSTRUCTIONS,
    IPSR,
    LR,
    NEVER,
    OTHER_SP,
    PC,
    ROM_SIZE,
    SLEEPING,
    SLICE,
    SP,
    SRAM_BASE,
    SRAM_OFFSET,
    SRAM_SIZE,
    STEPPING,
    SWITCH_AT,
    SWITCH_TO,
    WORD,
    IntArray,
    Memory,
    State,
)
from firmware_sim.rp2040.memory_map import memory_offset
from firmware_sim.rp2040.shortcuts import FRAME_BYTES

# One record: the words of an instruction, or of an exception entry or sleep without one.
CORE = 0  # 0 or 1
KIND = 1  # bits of the next lines
RAN, ENTERED, RETURNED, ASLEEP, JUMPED = 1, 2, 4, 8, 16  # JUMPED: the host moved the PC (boot ROM, hooks)
HELD = 32  # in the making: the instruction that returns has run, the return itself comes now
AT, NEXT = 2, 3  # PC before and after
STARTED, TOOK = 4, 5  # cycle before, cycles
ENTRY = 6  # the decoded instruction
SP_BEFORE, SP_AFTER = 7, 8
STACKED = 9  # ENTERED: the PC to which the exception returns
EXCEPTION = 10  # IPSR after
REGISTERS = 11  # [17] r0-r12, SP, LR, PC, xPSR before; filled when LOG_REGISTERS is set
OPEN = 28  # of a record in the making: the core sleeps on, and this is not the end of it
RECORD_WORDS = 29

# The log: what one recorder keeps besides its ring of records.
LOG_HEAD = 0  # records written since the start
LOG_CAPACITY = 1  # of the ring
LOG_STOP_WHEN_FULL = 2  # leave the loop once LOG_CAPACITY records lie behind LOG_TAKEN
LOG_TAKEN = 3
LOG_REGISTERS = 4
LOG_WATCHES = 5
LOG_BEFORE = 6  # stop before the access of a watchpoint (as debuggers on ARM expect), not after
LOG_LAST_PC, LOG_LAST_CYCLE = 10, 12  # [2] where each core was when the loop ended
LOG_HIT = 16  # [2][HIT_WORDS] by core: PC, address, size, kind, number of the watchpoint
LOG_HIT_CORE = 28
LOG_PASSED = 29  # [2] cycle of the access before which each core was stopped: it goes on over it
HIT_WORDS = 6
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
def reached(S: State, core: int) -> int:
    """The cycle of a core without what an exception's entry or return put off will take: it belongs to what follows."""
    if S[core + SWITCH_AT] == NEVER:
        return S[core + CYCLES]
    return S[core + SWITCH_AT] - (0 if S[core + SWITCH_TO] >= EXC_RETURN else STACKING_CYCLES)


@inner
def returns_later(S: State, core: int) -> bool:
    """Whether a return from a handler was put off until more is known."""
    return S[core + SWITCH_AT] != NEVER and S[core + SWITCH_TO] >= EXC_RETURN


@inner
def before(S: State, mem: Memory, core: int, log: IntArray, record: IntArray) -> None:
    """First half of a record: what is about to run. The record of a sleep that goes on stays as it is."""
    if record[OPEN] and S[core + SLEEPING]:
        record[KIND], record[TOOK] = ASLEEP, S[core + INSTRUCTIONS]
        return
    record[OPEN] = 0
    entry = instruction_at(mem, S[core + PC])
    record[AT], record[STARTED], record[ENTRY] = S[core + PC], reached(S, core), entry
    record[SP_BEFORE], record[EXCEPTION] = S[core + SP], S[core + IPSR]
    record[TOOK] = S[core + INSTRUCTIONS]
    record[KIND] = ASLEEP if S[core + SLEEPING] else 0
    record[CORE] = 1 if core else 0
    if returns_later(S, core):
        record[KIND], record[ENTRY] = RETURNED | HELD, 0
    elif returns_from_exception(S, mem, core, entry):
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
    elif not kind & HELD:
        kind &= ~RETURNED
    if returns_later(S, core):
        kind &= ~RETURNED
        record[ENTRY] = 0
    kind &= ~HELD
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
    if not kind & (RAN | ENTERED) and S[core + PC] != record[AT]:
        kind |= JUMPED  # core 1 was launched
    took = reached(S, core) - record[STARTED]
    record[OPEN] = kind == ASLEEP and S[core + SLEEPING] != 0
    record[KIND] = kind if took or kind & ~ASLEEP else 0
    record[NEXT], record[SP_AFTER], record[EXCEPTION] = S[core + PC], S[core + SP], exception
    record[TOOK] = took


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
def watched(S: State, mem: Memory, core: int, number: int, log: IntArray, watches: IntArray) -> bool:
    """Whether the instruction about to run touches a watchpoint; keeps the hit."""
    if S[core + SLEEPING] or S[core + SWITCH_AT] != NEVER or log[LOG_PASSED + number] == S[core + CYCLES]:
        return False
    pc = S[core + PC]
    address, size, kind = access_of(S, core, pc, instruction_at(mem, pc))
    if size == 0:
        return False
    watch = watch_number(watches, log[LOG_WATCHES], address, size, kind)
    if watch < 0:
        return False
    at = LOG_HIT + number * HIT_WORDS
    log[at], log[at + 1], log[at + 2], log[at + 3], log[at + 4] = pc, address, size, kind, watch
    return True


@entry_point
def decode_one(half: int, second: int, address: int) -> int:
    """The decoder for Python: table entry of an instruction."""
    return decode(half, second, address)


@entry_point
def watch_address(address: int) -> int:
    """The address under which a watchpoint's table holds a place."""
    return canonical(address)


@inner
def keep(log: IntArray, ring: IntArray, ended: bool) -> None:
    """Count the records that `after` completed: those of cores to which anything happened. `ended`: also sleeps."""
    for number in range(2):
        at = log[LOG_HEAD] % log[LOG_CAPACITY] * RECORD_WORDS
        scratch = (log[LOG_CAPACITY] + number) * RECORD_WORDS
        is_open = ring[scratch + OPEN] != 0
        waits = ring[scratch + KIND] == ASLEEP and ring[scratch + AT] < ROM_SIZE  # core 1 before its launch
        if is_open == ended and not waits and (ring[scratch + KIND] or ring[scratch + TOOK]):
            for i in range(RECORD_WORDS if log[LOG_REGISTERS] else REGISTERS):
                ring[at + i] = ring[scratch + i]
            log[LOG_HEAD] += 1
        if ended:
            ring[scratch + OPEN] = 0


@intrinsic("inttoptr i64 {0} to ptr", "call i64 {a}(ptr {1})")
def call_run(address: int, S: State) -> int:
    """Call `run_core`, whose machine code begins at `address`: so its caller needs no copy of the interpreter."""
    raise NotImplementedError


@entry_point
def run_recorded(
    S: State, run: int, slice_end: int, steps: int, log: IntArray, ring: IntArray, watches: IntArray
) -> int:
    """Run one instruction after the other until S[END], `slice_end`, a full ring or any reason of the interpreter.

    At most `steps` instructions or sleeps.

    run: address of `run_core`. ring: int64 [(LOG_CAPACITY + 2) * RECORD_WORDS], the last two for records in the making.
    """
    mem = memory_of(S)
    code = EXIT_END
    hit = hit_2 = False
    first = ring[log[LOG_CAPACITY] * RECORD_WORDS : (log[LOG_CAPACITY] + 1) * RECORD_WORDS]
    second = ring[(log[LOG_CAPACITY] + 1) * RECORD_WORDS : (log[LOG_CAPACITY] + 2) * RECORD_WORDS]
    jumped(S, 0, 0, log, ring)
    jumped(S, CORE_STRIDE, 1, log, ring)
    S[STEPPING] = 1
    while code == EXIT_END:
        now = present(S)
        if now >= S[END] or now >= slice_end or steps == 0:
            break
        steps -= 1
        if log[LOG_STOP_WHEN_FULL] and log[LOG_HEAD] - log[LOG_TAKEN] >= log[LOG_CAPACITY] - 4:
            code = EXIT_FULL
            break
        if log[LOG_WATCHES]:
            hit, hit_2 = watched(S, mem, 0, 0, log, watches), watched(S, mem, CORE_STRIDE, 1, log, watches)
            if (hit or hit_2) and log[LOG_BEFORE]:
                number = 0 if hit else 1
                log[LOG_HIT_CORE], log[LOG_PASSED + number] = number, S[number * CORE_STRIDE + CYCLES]
                code = EXIT_WATCH
                break
        before(S, mem, 0, log, first)
        before(S, mem, CORE_STRIDE, log, second)
        S[SLICE] = now + 1
        code = call_run(run, S)
        after(S, mem, 0, first)
        after(S, mem, CORE_STRIDE, second)
        keep(log, ring, False)
        if (hit and first[KIND] & RAN) or (hit_2 and second[KIND] & RAN):
            log[LOG_HIT_CORE] = 0 if hit and first[KIND] & RAN else 1
            if code == EXIT_END:
                code = EXIT_WATCH
    S[STEPPING] = 0
    keep(log, ring, True)
    for number in range(2):
        log[LOG_LAST_PC + number] = S[number * CORE_STRIDE + PC]
        log[LOG_LAST_CYCLE + number] = S[number * CORE_STRIDE + CYCLES]
    return code
