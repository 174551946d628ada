"""The interpreter: both cores, from one event to the next, in one compiled function.

`run` keeps PC, cycles, flags and what it knows about the code of both cores in locals: those of the core whose turn it
is in `pc`, `cycle`, ..., those of the other in `pc2`, `cycle2`, ... They are written to the state wherever something
outside the loop may look. Inside the loop `pc` points behind the instruction's first halfword. An instruction checks
its addresses before it changes anything, so a fault leaves the registers as they were.

Order of the two cores (docs/decisions/0043): one of them leads, core 0 in even windows of 256 cycles and core 1 in odd
ones. The leader takes an instruction while its cycle is less than two past the other's, the follower while it is more
than one behind: so whatever a bank of the SRAM does in a cycle is known before the follower asks for it. On a bank that
both want in the same cycle the follower waits.
"""

from __future__ import annotations

from firmware_sim.rp2040 import decode as d
from firmware_sim.rp2040.arbitration import FOLLOWS, LENGTH_SHIFT
from firmware_sim.rp2040.banks import bank_of, busy_by, in_banks, log_bank
from firmware_sim.rp2040.blocks.dma_layout import BUSY_CHANNELS, NEXT_ACTION
from firmware_sim.rp2040.blocks.pio_layout import RUNNING
from firmware_sim.rp2040.blocks.xip import is_cached, xip_wait
from firmware_sim.rp2040.bus import forget_code
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.far import call_far
from firmware_sim.rp2040.fetch import FLASH_LINE, SINGLE_ENTRY, code_line, fetch_fault
from firmware_sim.rp2040.host_call import HOST_ROM, call_host
from firmware_sim.rp2040.layout import (
    BUS_PRIORITY,
    CARRY,
    CODE_PAGE_SHIFT,
    CORE_STRIDE,
    COST_SHIFT,
    CYCLES,
    ENABLED,
    END,
    EVENT_REGISTER,
    EXIT,
    EXIT_BKPT,
    EXIT_CORE,
    EXIT_END,
    EXIT_HOST,
    EXIT_IDLE,
    EXIT_STUCK,
    EXIT_VALUE,
    FAR_ATTEND,
    FAR_DECODE,
    FAR_GRANT,
    FAR_LOAD_MULTIPLE,
    FAR_MRS,
    FAR_MSR,
    FAR_READ,
    FAR_RETURN,
    FAR_ROM_FLOAT,
    FAR_STORE_MULTIPLE,
    FAR_SVC,
    FAR_WRITE,
    FAST_SINCE,
    FAST_STALLS,
    FAULT_NOT_THUMB,
    FAULT_UNDEFINED,
    FLASH_BASE,
    FLASH_OFFSET,
    FLASH_SIZE,
    HOST_ADDRESS,
    INSTRUCTIONS,
    INTERLEAVING,
    IPSR,
    LINE,
    LINE_BIAS,
    NATIVE_ROW,
    NEVER,
    NEXT_EVENT,
    NZ,
    OVERFLOW,
    PC,
    PRIMASK,
    SCRATCH,
    SLEEP_WFE,
    SLEEP_WFI,
    SLEEPING,
    SLICE,
    SRAM_BASE,
    SRAM_OFFSET,
    SRAM_SIZE,
    STEPPING,
    WORD,
    Memory,
    State,
)
from firmware_sim.rp2040.native.enter import FOLLOWER, LEADER, ORIGINAL, enter_dual, enter_native
from firmware_sim.rp2040.owners import STORES, must_wait, note_access

SRAM_TO_OFFSET = SRAM_OFFSET - SRAM_BASE
FLASH_TO_OFFSET = FLASH_OFFSET - FLASH_BASE
WINDOW = 256  # cycles for which one core leads
EXACT = 0  # value of S[INTERLEAVING]
NEAR = 32  # cycles before a use of the bus by the DMA from which on the cores look at each access
MOST_WAITS = 16  # cycles, more than one core makes the other wait in an instruction
WARM_UP = 1 << 16  # cycles of both cores in exact order before the leader may run ahead
IDLE_TURNS = 8  # turns without an instruction, then the leader does not run ahead: cannot happen, so it is counted
LOGGED, SHARED = (
    1,
    2,
)  # accesses to SRAM are noted for the other core and the DMA; banks are arbitrated for with the DMA
SIO_EXCEPTIONS = 3 << 31  # SIO_IRQ_PROC0 and SIO_IRQ_PROC1 in ENABLED
EVERY = -1  # mask: look at each instruction


@inner
def write_back(
    R: State, pc: int, cycle: int, count: int, nz: int, cr: int, ov: int, line: int, mask: int, bias: int
) -> None:
    """The locals of a core to its slice of the state."""
    R[PC], R[CYCLES], R[INSTRUCTIONS] = pc, cycle, count
    R[NZ], R[CARRY], R[OVERFLOW] = nz, cr, ov
    # Where a fetch of the same line would cost something it is remembered.
    R[LINE], R[LINE_BIAS] = (line, bias) if mask in (EVERY, FLASH_LINE) else (-1, 0)


@inner
def run(S: State, mem: Memory) -> int:
    """Run the cores until S[END], S[SLICE] or a reason to stop (EXIT_*)."""
    words, halves, m8 = mem.words, mem.halves, mem.bytes
    decoded, pages = mem.decoded, mem.pages
    core = core2 = 0
    fault = fault_address = 0
    if S[FAR_ATTEND] == 0:  # nobody called Chip.link
        return EXIT_HOST
    S[EXIT] = EXIT_END
    S[NEXT_EVENT] = 0  # the host may have planned something
    stepped = False
    idle = moved = 0
    while True:
        if call_far(S, FAR_ATTEND, core, fault, fault_address, 0) == 0 or stepped:
            return S[EXIT]
        fault = 0
        stepping = S[STEPPING] != 0
        # --- who runs, and until when ---
        dual = S[SLEEPING] == 0 and S[CORE_STRIDE + SLEEPING] == 0
        window = NEVER
        leading = True
        core = CORE_STRIDE if S[SLEEPING] else 0
        behind = S[core + CYCLES]
        if dual:
            behind = min(behind, S[CORE_STRIDE + CYCLES])
            window = (behind | (WINDOW - 1)) + 1
            core = CORE_STRIDE if behind & WINDOW else 0
            if (S[BUS_PRIORITY] ^ S[BUS_PRIORITY] >> 4) & 1:
                core = 0 if S[BUS_PRIORITY] & 1 else CORE_STRIDE
        # Where the DMA's next use of the bus is known and near, its banks are arbitrated for in each access.
        soon = S[NEXT_ACTION] if S[BUSY_CHANNELS] else NEVER
        # Each access to SRAM is logged; transfers that PIO asks for are simulated late and look at the log then.
        late = S[BUSY_CHANNELS] != 0 and S[RUNNING] != 0 and S[INTERLEAVING] == EXACT
        tracked = LOGGED if dual or late else 0
        if soon < behind + 2 * NEAR:
            tracked = LOGGED | SHARED
        else:
            window = min(window, soon - NEAR)
        core2 = CORE_STRIDE - core
        end = min(S[END], S[SLICE])
        R, R2 = S[core : core + 64], S[core2 : core2 + 64]
        pc, cycle, count = R[PC], R[CYCLES], R[INSTRUCTIONS]
        nz, cr, ov = R[NZ], R[CARRY], R[OVERFLOW]
        line, mask, bias = R[LINE], EVERY, R[LINE_BIAS]
        pc2, cycle2, count2 = R2[PC], R2[CYCLES], R2[INSTRUCTIONS]
        nz2, cr2, ov2 = R2[NZ], R2[CARRY], R2[OVERFLOW]
        line2, mask2, bias2 = R2[LINE], EVERY, R2[LINE_BIAS]
        if tracked == 0:
            line, mask = (line & FLASH_LINE, FLASH_LINE) if line >> 28 == FLASH_BASE >> 28 else (-1, EVERY)
        # In fast mode the leader may run ahead, once it is known which pages both use.
        ahead = 0
        if dual:
            if S[INTERLEAVING] != EXACT:
                if S[FAST_SINCE] == 0:
                    S[FAST_SINCE] = cycle + 1
                # A core that the other may interrupt through the FIFO must not have passed that cycle.
                alone = (S[ENABLED] | S[CORE_STRIDE + ENABLED]) & SIO_EXCEPTIONS == 0 and not tracked & SHARED
                ahead = end if cycle > S[FAST_SINCE] + WARM_UP and alone else 0
            limit = min(max(cycle2 + 2, ahead), S[NEXT_EVENT], window)
            if cycle2 >= end:
                limit = min(limit, end)
        else:
            limit = min(S[NEXT_EVENT], end, window)
        if stepping:
            limit = min(limit, cycle + 1)
        before = count + count2
        need = 0  # cycle that the leader must reach before the follower's next access can be judged
        while True:  # one turn of one core
            turn_is_over = False
            if ahead:
                idle = idle + 1 if count + count2 == moved else 0
                moved = count + count2
                if idle > IDLE_TURNS:
                    ahead = 0
                    S[FAST_STALLS] += 1
            while cycle < limit:
                if (pc ^ line) & mask:
                    if tracked != 0:
                        if (pc ^ line) & -4:  # a fetch: code is read a word at a time
                            _, region, bias = code_line(pc)
                            if region == 0:
                                line = -1
                                fault, fault_address = fetch_fault(pc), pc
                                break
                            if region == SINGLE_ENTRY:
                                call_far(S, FAR_DECODE, pc, SCRATCH, 0, 0)
                            if region == FLASH_LINE:
                                if (pc ^ line) & FLASH_LINE:
                                    if ahead and cycle >= max(cycle2 + 2, need) and not is_cached(S, pc):
                                        turn_is_over = True
                                        break
                                    wait = xip_wait(S, pc, cycle)
                                    if wait < 0:
                                        fault, fault_address = -wait, pc
                                        break
                                    cycle += wait
                            elif in_banks(pc):
                                at = cycle
                                if tracked & SHARED and S[NEXT_ACTION] <= cycle + MOST_WAITS:
                                    known = cycle2 if not leading and cycle2 < min(window, S[NEXT_EVENT]) else NEVER
                                    who = core | 1 << LENGTH_SHIFT | (0 if leading else FOLLOWS)
                                    at = call_far(S, FAR_GRANT, who, pc, cycle, known)
                                    if at < 0:
                                        need, turn_is_over = -at, True
                                        break
                                else:
                                    if not leading:
                                        at = busy_by(S, core2, bank_of(pc), at)
                                        if at >= cycle2 and cycle2 < window and cycle2 < S[NEXT_EVENT]:
                                            need, turn_is_over = at + 1, True
                                            break
                                    log_bank(S, core, bank_of(pc), at)
                                cycle = at
                            line = -1 if region == SINGLE_ENTRY else (pc & -4) | 1  # never equal to pc
                        e = decoded[((pc + bias) & WORD) >> 1]
                        if e & 0xFF == d.OP_NATIVE:
                            if ahead:
                                R[PC], R[CYCLES], R[INSTRUCTIONS] = pc, cycle, count
                                R[NZ], R[CARRY], R[OVERFLOW], R[LINE] = nz, cr, ov, line
                                if enter_dual(S, R, mem, e >> 32, limit, LEADER if leading else FOLLOWER):
                                    pc, cycle, count = R[PC], R[CYCLES], R[INSTRUCTIONS]
                                    nz, cr, ov, line = R[NZ], R[CARRY], R[OVERFLOW], R[LINE]
                                    continue
                            e = mem.natives[(e >> 32) * NATIVE_ROW + ORIGINAL]
                        op = e & 0xFF
                        if d.OP_LDR <= op <= d.OP_PUSH:
                            a, b, c, imm = (e >> 8) & 31, (e >> 16) & 31, (e >> 24) & 31, e >> 32
                            length = 1
                            if op >= d.OP_LDM:
                                length = c
                                address = R[a] - (4 * c if op == d.OP_PUSH else 0)
                            elif op == d.OP_LDR_LITERAL:
                                address = (pc & ~3) + imm
                            else:
                                address = (R[b] + R[c] + imm) & WORD
                            if S[INTERLEAVING] != EXACT and dual:
                                if must_wait(S, core, address, length, STORES >> op & 1) and cycle >= max(
                                    cycle2 + 2, need
                                ):
                                    turn_is_over = True
                                    break
                                note_access(S, core, address, length, STORES >> op & 1)
                            if not (in_banks(address) and in_banks(address + 4 * length - 4)):
                                pass
                            elif tracked & SHARED and S[NEXT_ACTION] <= cycle + length + MOST_WAITS:
                                known = cycle2 if not leading and cycle2 < min(window, S[NEXT_EVENT]) else NEVER
                                who = core | length << LENGTH_SHIFT | (0 if leading else FOLLOWS)
                                at = call_far(S, FAR_GRANT, who, address, cycle + 1, known)
                                if at < 0:
                                    need, turn_is_over = -at, True
                                    break
                                cycle = at - length
                            elif length == 1:
                                at = cycle + 1
                                if not leading:
                                    at = busy_by(S, core2, bank_of(address), at)
                                    if at >= cycle2 and cycle2 < window and cycle2 < S[NEXT_EVENT]:
                                        need, turn_is_over = at + 1, True
                                        break
                                log_bank(S, core, bank_of(address), at)
                                cycle = at - 1
                            else:
                                at = cycle
                                for i in range(length):
                                    at += 1
                                    if not leading:
                                        at = busy_by(S, core2, bank_of(address + 4 * i), at)
                                if not leading and at >= cycle2 and cycle2 < window and cycle2 < S[NEXT_EVENT]:
                                    need, turn_is_over = at + 1, True
                                    break
                                stall = at - cycle - length
                                at = cycle
                                for i in range(length):
                                    at += 1
                                    if stall:
                                        at = busy_by(S, core2, bank_of(address + 4 * i), at)
                                    log_bank(S, core, bank_of(address + 4 * i), at)
                                cycle += stall
                        elif ahead and op >= d.OP_CPS and cycle >= max(cycle2 + 2, need):
                            turn_is_over = True
                            break
                    else:
                        line, mask, bias = code_line(pc)
                        if mask == 0:
                            line, mask = -1, EVERY
                            fault, fault_address = fetch_fault(pc), pc
                            break
                        if mask == SINGLE_ENTRY:
                            call_far(S, FAR_DECODE, pc, SCRATCH, 0, 0)
                        elif mask == FLASH_LINE:
                            wait = xip_wait(S, pc, cycle)
                            if wait < 0:
                                line, mask = -1, EVERY
                                fault, fault_address = -wait, pc
                                break
                            cycle += wait
                        e = decoded[((pc + bias) & WORD) >> 1]
                else:
                    e = decoded[((pc + bias) & WORD) >> 1]
                op = e & 0xFF
                a, b, c, imm = (e >> 8) & 31, (e >> 16) & 31, (e >> 24) & 31, e >> 32
                pc += 2
                count += 1
                if op == d.OP_UNKNOWN:
                    pc -= 2
                    count -= 1
                    call_far(S, FAR_DECODE, pc, (pc + bias) >> 1, 0, 0)
                elif op == d.OP_MOVS_IMM:
                    R[a] = nz = imm
                    cycle += 1
                elif op == d.OP_ADD:
                    R[a] = (R[b] + R[c] + imm) & WORD
                    cycle += 1
                elif op == d.OP_ADDS:
                    x, y = R[b], R[c]
                    cr = x + y
                    R[a] = nz = cr & WORD
                    ov = (x ^ nz) & (y ^ nz)
                    cycle += 1
                elif op == d.OP_ADDS_IMM:
                    x = R[b]
                    cr = x + imm
                    R[a] = nz = cr & WORD
                    ov = (x ^ nz) & (imm ^ nz)
                    cycle += 1
                elif op == d.OP_SUBS:
                    x, y = R[b], R[c]
                    cr = x - y + (1 << 32)
                    R[a] = nz = cr & WORD
                    ov = (x ^ y) & (x ^ nz)
                    cycle += 1
                elif op == d.OP_SUBS_IMM:
                    x = R[b]
                    cr = x - imm + (1 << 32)
                    R[a] = nz = cr & WORD
                    ov = (x ^ imm) & (x ^ nz)
                    cycle += 1
                elif op == d.OP_CMP:
                    x, y = R[b], R[c]
                    cr = x - y + (1 << 32)
                    nz = cr & WORD
                    ov = (x ^ y) & (x ^ nz)
                    cycle += 1
                elif op == d.OP_CMP_IMM:
                    x = R[b]
                    cr = x - imm + (1 << 32)
                    nz = cr & WORD
                    ov = (x ^ imm) & (x ^ nz)
                    cycle += 1
                elif op == d.OP_MULS:
                    R[a] = nz = (R[b] * R[c]) & WORD
                    cycle += 1
                elif op == d.OP_LSL_IMM:
                    cr = R[b] << imm
                    R[a] = nz = cr & WORD
                    cycle += 1
                elif op == d.OP_LSR_IMM:
                    cr = R[b] << (33 - imm)
                    R[a] = nz = R[b] >> imm
                    cycle += 1
                elif op == d.OP_ASR_IMM:
                    x = R[b] - ((R[b] & 0x80000000) << 1)
                    cr = x << (33 - imm)
                    R[a] = nz = (x >> imm) & WORD
                    cycle += 1
                elif op == d.OP_MOVS:
                    R[a] = nz = R[b]
                    cycle += 1
                elif op == d.OP_LDR:
                    address = (R[b] + R[c] + imm) & WORD
                    offset = address + SRAM_TO_OFFSET
                    if SRAM_OFFSET <= offset < SRAM_OFFSET + SRAM_SIZE and address & 3 == 0:
                        R[a] = words[offset >> 2]
                        cycle += 2
                    elif FLASH_BASE <= address < FLASH_BASE + FLASH_SIZE and address & 3 == 0:
                        wait = xip_wait(S, address, cycle)
                        if wait < 0:
                            fault, fault_address = -wait, address
                            pc -= 2
                            break
                        R[a] = words[(address + FLASH_TO_OFFSET) >> 2]
                        cycle += 2 + wait
                    else:
                        R[PC] = pc - 2
                        value = call_far(S, FAR_READ, core, address, 4, cycle)
                        if value < 0:
                            fault, fault_address = -value, address
                            pc -= 2
                            break
                        R[a] = value & WORD
                        cycle += value >> COST_SHIFT
                        limit = min(limit, S[NEXT_EVENT])
                elif op == d.OP_LDRB or op == d.OP_LDRSB:
                    address = (R[b] + R[c] + imm) & WORD
                    offset = address + SRAM_TO_OFFSET
                    if SRAM_OFFSET <= offset < SRAM_OFFSET + SRAM_SIZE:
                        value = m8[offset] & 0xFF
                        cycle += 2
                    elif FLASH_BASE <= address < FLASH_BASE + FLASH_SIZE:
                        wait = xip_wait(S, address, cycle)
                        if wait < 0:
                            fault, fault_address = -wait, address
                            pc -= 2
                            break
                        value = m8[address + FLASH_TO_OFFSET] & 0xFF
                        cycle += 2 + wait
                    else:
                        R[PC] = pc - 2
                        value = call_far(S, FAR_READ, core, address, 1, cycle)
                        if value < 0:
                            fault, fault_address = -value, address
                            pc -= 2
                            break
                        cycle += value >> COST_SHIFT
                        limit = min(limit, S[NEXT_EVENT])
                        value &= WORD
                    R[a] = value if op == d.OP_LDRB else (value - ((value & 0x80) << 1)) & WORD
                elif op == d.OP_LDRH or op == d.OP_LDRSH:
                    address = (R[b] + R[c] + imm) & WORD
                    offset = address + SRAM_TO_OFFSET
                    if SRAM_OFFSET <= offset < SRAM_OFFSET + SRAM_SIZE and address & 1 == 0:
                        value = halves[offset >> 1] & 0xFFFF
                        cycle += 2
                    elif FLASH_BASE <= address < FLASH_BASE + FLASH_SIZE and address & 1 == 0:
                        wait = xip_wait(S, address, cycle)
                        if wait < 0:
                            fault, fault_address = -wait, address
                            pc -= 2
                            break
                        value = halves[(address + FLASH_TO_OFFSET) >> 1] & 0xFFFF
                        cycle += 2 + wait
                    else:
                        R[PC] = pc - 2
                        value = call_far(S, FAR_READ, core, address, 2, cycle)
                        if value < 0:
                            fault, fault_address = -value, address
                            pc -= 2
                            break
                        cycle += value >> COST_SHIFT
                        limit = min(limit, S[NEXT_EVENT])
                        value &= WORD
                    R[a] = value if op == d.OP_LDRH else (value - ((value & 0x8000) << 1)) & WORD
                elif op == d.OP_LDR_LITERAL:
                    address = ((pc - 2) & ~3) + imm
                    offset = address + SRAM_TO_OFFSET
                    if SRAM_OFFSET <= offset < SRAM_OFFSET + SRAM_SIZE:
                        R[a] = words[offset >> 2]
                        cycle += 2
                    elif FLASH_BASE <= address < FLASH_BASE + FLASH_SIZE:
                        wait = xip_wait(S, address, cycle)
                        if wait < 0:
                            fault, fault_address = -wait, address
                            pc -= 2
                            break
                        R[a] = words[(address + FLASH_TO_OFFSET) >> 2]
                        cycle += 2 + wait
                    else:
                        R[PC] = pc - 2
                        value = call_far(S, FAR_READ, core, address & WORD, 4, cycle)
                        if value < 0:
                            fault, fault_address = -value, address
                            pc -= 2
                            break
                        R[a] = value & WORD
                        cycle += value >> COST_SHIFT
                        limit = min(limit, S[NEXT_EVENT])
                elif op == d.OP_STR:
                    address = (R[b] + R[c] + imm) & WORD
                    offset = address + SRAM_TO_OFFSET
                    if SRAM_OFFSET <= offset < SRAM_OFFSET + SRAM_SIZE and address & 3 == 0:
                        words[offset >> 2] = R[a]
                        cycle += 2
                        if pages[offset >> CODE_PAGE_SHIFT]:
                            forget_code(mem, offset)
                    else:
                        R[PC] = pc - 2
                        value = call_far(S, FAR_WRITE, core, address, R[a] << 3 | 4, cycle)
                        if value < 0:
                            fault, fault_address = -value, address
                            pc -= 2
                            break
                        cycle += value
                        limit = min(limit, S[NEXT_EVENT])
                elif op == d.OP_STRB:
                    address = (R[b] + R[c] + imm) & WORD
                    offset = address + SRAM_TO_OFFSET
                    if SRAM_OFFSET <= offset < SRAM_OFFSET + SRAM_SIZE:
                        m8[offset] = R[a]
                        cycle += 2
                        if pages[offset >> CODE_PAGE_SHIFT]:
                            forget_code(mem, offset)
                    else:
                        R[PC] = pc - 2
                        value = call_far(S, FAR_WRITE, core, address, R[a] << 3 | 1, cycle)
                        if value < 0:
                            fault, fault_address = -value, address
                            pc -= 2
                            break
                        cycle += value
                        limit = min(limit, S[NEXT_EVENT])
                elif op == d.OP_STRH:
                    address = (R[b] + R[c] + imm) & WORD
                    offset = address + SRAM_TO_OFFSET
                    if SRAM_OFFSET <= offset < SRAM_OFFSET + SRAM_SIZE and address & 1 == 0:
                        halves[offset >> 1] = R[a]
                        cycle += 2
                        if pages[offset >> CODE_PAGE_SHIFT]:
                            forget_code(mem, offset)
                    else:
                        R[PC] = pc - 2
                        value = call_far(S, FAR_WRITE, core, address, R[a] << 3 | 2, cycle)
                        if value < 0:
                            fault, fault_address = -value, address
                            pc -= 2
                            break
                        cycle += value
                        limit = min(limit, S[NEXT_EVENT])
                elif op == d.OP_BNE:
                    cycle += 1
                    if nz & WORD:
                        pc += imm - 2
                        cycle += 1
                elif op == d.OP_BEQ:
                    cycle += 1
                    if nz & WORD == 0:
                        pc += imm - 2
                        cycle += 1
                elif d.OP_BCS <= op <= d.OP_BLE:
                    negative, overflow = nz >> 31 != 0, ov & 0x80000000 != 0
                    zero, carry = nz & WORD == 0, cr & (1 << 32) != 0
                    if op == d.OP_BCS:
                        taken = carry
                    elif op == d.OP_BCC:
                        taken = not carry
                    elif op == d.OP_BMI:
                        taken = negative
                    elif op == d.OP_BPL:
                        taken = not negative
                    elif op == d.OP_BVS:
                        taken = overflow
                    elif op == d.OP_BVC:
                        taken = not overflow
                    elif op == d.OP_BHI:
                        taken = carry and not zero
                    elif op == d.OP_BLS:
                        taken = zero or not carry
                    elif op == d.OP_BGE:
                        taken = negative == overflow
                    elif op == d.OP_BLT:
                        taken = negative != overflow
                    elif op == d.OP_BGT:
                        taken = negative == overflow and not zero
                    else:
                        taken = zero or negative != overflow
                    cycle += 1
                    if taken:
                        pc += imm - 2
                        cycle += 1
                elif op == d.OP_B:
                    pc += imm - 2
                    cycle += 2
                elif op == d.OP_BL:
                    if pc & 7 == 0 and pc >> 28 == FLASH_BASE >> 28:  # its second half is in the next line of the cache
                        wait = xip_wait(S, pc, cycle)
                        if wait < 0:
                            fault, fault_address = -wait, pc
                            pc -= 2
                            break
                        cycle += wait
                    R[14] = (pc + 2) | 1
                    pc += imm - 2
                    cycle += 3
                elif op == d.OP_BX or op == d.OP_BLX:
                    target = R[b]
                    cycle += 2
                    if target >= 0xF0000000 and R[IPSR] and op == d.OP_BX:
                        R[PC], R[CYCLES], R[NZ], R[CARRY], R[OVERFLOW] = pc - 2, cycle, nz, cr, ov
                        more = call_far(S, FAR_RETURN, core, target, 0, 0)
                        pc, cycle, nz, cr, ov = R[PC], R[CYCLES], R[NZ], R[CARRY], R[OVERFLOW]
                        if more:
                            break
                        continue
                    if op == d.OP_BLX:
                        R[14] = pc | 1
                    pc = target & (WORD - 1)
                    if not target & 1:
                        fault, fault_address = FAULT_NOT_THUMB, target
                        break
                elif op == d.OP_PUSH:
                    bottom = R[13] - 4 * c
                    offset = bottom + SRAM_TO_OFFSET
                    if SRAM_OFFSET <= offset <= SRAM_OFFSET + SRAM_SIZE - 4 * c and offset & 3 == 0:
                        at = offset >> 2
                        for i in range(8):
                            if imm >> i & 1:
                                words[at] = R[i]
                                at += 1
                        if imm & 0x4000:
                            words[at] = R[14]
                        if pages[offset >> CODE_PAGE_SHIFT] | pages[(offset + 4 * c - 4) >> CODE_PAGE_SHIFT]:
                            for i in range(c):
                                forget_code(mem, offset + 4 * i)
                        cycle += 1 + c
                    else:
                        value = call_far(S, FAR_STORE_MULTIPLE, core, bottom & WORD, imm, cycle)
                        if value < 0:
                            fault, fault_address = -value & 0xFF, -value >> 8
                            pc -= 2
                            break
                        cycle += value
                        limit = min(limit, S[NEXT_EVENT])
                    R[13] = bottom & WORD
                elif op == d.OP_STM:
                    bottom = R[a]
                    offset = bottom + SRAM_TO_OFFSET
                    if SRAM_OFFSET <= offset <= SRAM_OFFSET + SRAM_SIZE - 4 * c and offset & 3 == 0:
                        at = offset >> 2
                        for i in range(8):
                            if imm >> i & 1:
                                words[at] = R[i]
                                at += 1
                        if pages[offset >> CODE_PAGE_SHIFT] | pages[(offset + 4 * c - 4) >> CODE_PAGE_SHIFT]:
                            for i in range(c):
                                forget_code(mem, offset + 4 * i)
                        cycle += 1 + c
                    else:
                        value = call_far(S, FAR_STORE_MULTIPLE, core, bottom, imm, cycle)
                        if value < 0:
                            fault, fault_address = -value & 0xFF, -value >> 8
                            pc -= 2
                            break
                        cycle += value
                        limit = min(limit, S[NEXT_EVENT])
                    R[a] = (bottom + 4 * c) & WORD
                elif op == d.OP_LDM or op == d.OP_POP:
                    bottom = R[a]
                    offset = bottom + SRAM_TO_OFFSET
                    target = 0
                    if SRAM_OFFSET <= offset <= SRAM_OFFSET + SRAM_SIZE - 4 * c and offset & 3 == 0:
                        at = offset >> 2
                        for i in range(8):
                            if imm >> i & 1:
                                R[i] = words[at]
                                at += 1
                        if imm & 0x8000:
                            target = words[at] & WORD
                        cycle += 1 + c
                    else:
                        value = call_far(S, FAR_LOAD_MULTIPLE, core, bottom, imm, cycle)
                        if value < 0:
                            fault, fault_address = -value & 0xFF, -value >> 8
                            pc -= 2
                            break
                        target = R[PC]
                        cycle += value
                        limit = min(limit, S[NEXT_EVENT])
                    if op == d.OP_POP or not imm >> a & 1:  # a base in the list keeps what was loaded
                        R[a] = (bottom + 4 * c) & WORD
                    if imm & 0x8000:
                        cycle += 2
                        if target >= 0xF0000000 and R[IPSR]:
                            R[PC], R[CYCLES], R[NZ], R[CARRY], R[OVERFLOW] = pc - 2, cycle, nz, cr, ov
                            more = call_far(S, FAR_RETURN, core, target, 0, 0)
                            pc, cycle, nz, cr, ov = R[PC], R[CYCLES], R[NZ], R[CARRY], R[OVERFLOW]
                            if more:
                                break
                            continue
                        pc = target & (WORD - 1)
                        if not target & 1:
                            fault, fault_address = FAULT_NOT_THUMB, target
                            break
                elif op == d.OP_ANDS:
                    R[a] = nz = R[b] & R[c]
                    cycle += 1
                elif op == d.OP_ORRS:
                    R[a] = nz = R[b] | R[c]
                    cycle += 1
                elif op == d.OP_EORS:
                    R[a] = nz = R[b] ^ R[c]
                    cycle += 1
                elif op == d.OP_BICS:
                    R[a] = nz = R[b] & ~R[c]
                    cycle += 1
                elif op == d.OP_MVNS:
                    R[a] = nz = ~R[c] & WORD
                    cycle += 1
                elif op == d.OP_TST:
                    nz = R[b] & R[c]
                    cycle += 1
                elif op == d.OP_ADCS:
                    x, y = R[b], R[c]
                    cr = x + y + (cr >> 32 & 1)
                    R[a] = nz = cr & WORD
                    ov = (x ^ nz) & (y ^ nz)
                    cycle += 1
                elif op == d.OP_SBCS:
                    x, y = R[b], R[c]
                    cr = x + (y ^ WORD) + (cr >> 32 & 1)
                    R[a] = nz = cr & WORD
                    ov = (x ^ y) & (x ^ nz)
                    cycle += 1
                elif op == d.OP_RSBS:
                    y = R[c]
                    cr = (1 << 32) - y
                    R[a] = nz = cr & WORD
                    ov = y & nz
                    cycle += 1
                elif op == d.OP_CMN:
                    x, y = R[b], R[c]
                    cr = x + y
                    nz = cr & WORD
                    ov = (x ^ nz) & (y ^ nz)
                    cycle += 1
                elif op == d.OP_LSL:
                    shift = R[c] & 0xFF
                    if shift:
                        cr = R[b] << min(shift, 33)
                    R[a] = nz = (R[b] << min(shift, 32)) & WORD
                    cycle += 1
                elif op == d.OP_LSR:
                    shift = min(R[c] & 0xFF, 33)
                    if shift:
                        cr = R[b] << (33 - shift)
                        if shift == 33:
                            cr = 0
                    R[a] = nz = R[b] >> shift
                    cycle += 1
                elif op == d.OP_ASR:
                    shift = min(R[c] & 0xFF, 32)
                    x = R[b] - ((R[b] & 0x80000000) << 1)
                    if shift:
                        cr = x << (33 - shift)
                    R[a] = nz = (x >> shift) & WORD
                    cycle += 1
                elif op == d.OP_ROR:
                    shift, x = R[c] & 0xFF, R[b]
                    if shift:
                        x = ((x << 32 | x) >> (shift & 31)) & WORD
                        cr = x << 1
                    R[a] = nz = x
                    cycle += 1
                elif op == d.OP_SXTB:
                    R[a] = ((R[b] & 0xFF) - ((R[b] & 0x80) << 1)) & WORD
                    cycle += 1
                elif op == d.OP_SXTH:
                    R[a] = ((R[b] & 0xFFFF) - ((R[b] & 0x8000) << 1)) & WORD
                    cycle += 1
                elif op == d.OP_UXTB:
                    R[a] = R[b] & 0xFF
                    cycle += 1
                elif op == d.OP_UXTH:
                    R[a] = R[b] & 0xFFFF
                    cycle += 1
                elif op == d.OP_REV:
                    x = R[b]
                    R[a] = x >> 24 | (x >> 8 & 0xFF00) | (x & 0xFF00) << 8 | (x & 0xFF) << 24
                    cycle += 1
                elif op == d.OP_REV16:
                    x = R[b]
                    R[a] = (x >> 8 & 0xFF00FF) | (x & 0xFF00FF) << 8
                    cycle += 1
                elif op == d.OP_REVSH:
                    x = (R[b] >> 8 & 0xFF) | (R[b] & 0xFF) << 8
                    R[a] = (x - ((x & 0x8000) << 1)) & WORD
                    cycle += 1
                elif op == d.OP_ADD_SP:
                    R[13] = (R[b] + R[c] + imm) & 0xFFFFFFFC
                    cycle += 1
                elif op == d.OP_ADD_PC:
                    R[a] = (pc - 2 + imm + R[b]) & WORD
                    cycle += 1
                elif op == d.OP_ADR:
                    R[a] = (((pc - 2) & ~3) + imm) & WORD
                    cycle += 1
                elif op == d.OP_WRITE_PC:
                    target = R[b] + imm
                    if a == 15:
                        target += pc - 2
                    pc = target & (WORD - 1)
                    cycle += 2
                elif op == d.OP_NOP:
                    cycle += 1
                elif op == d.OP_B_SELF:
                    # Nothing changes until the next event: take all the rounds to it at once.
                    pc -= 2
                    target = min(S[NEXT_EVENT], S[END])
                    if 2 <= R[IPSR] <= 3:
                        S[EXIT], S[EXIT_CORE] = EXIT_STUCK, core
                    elif target == NEVER and not dual:
                        S[EXIT], S[EXIT_CORE] = EXIT_IDLE, core
                    if dual:
                        cycle += 2
                        if S[EXIT] == EXIT_END:
                            continue
                    else:
                        rounds = 1 if target == NEVER else max(1, (target - cycle + 1) >> 1)
                        cycle += 2 * rounds
                        count += rounds - 1
                    break
                elif op == d.OP_MRS:
                    pc += 2
                    cycle += 3
                    R[NZ], R[CARRY], R[OVERFLOW] = nz, cr, ov
                    R[a] = call_far(S, FAR_MRS, core, imm, 0, 0)
                elif op == d.OP_MSR:
                    pc += 2
                    cycle += 3
                    R[NZ], R[CARRY], R[OVERFLOW] = nz, cr, ov
                    call_far(S, FAR_MSR, core, imm, R[b], 0)
                    nz, cr, ov = R[NZ], R[CARRY], R[OVERFLOW]
                    break
                elif op == d.OP_CPS:
                    R[PRIMASK] = imm
                    cycle += 1
                    break
                elif op == d.OP_BARRIER:
                    pc += 2
                    cycle += 3
                elif op == d.OP_SEV:
                    R[EVENT_REGISTER] = R2[EVENT_REGISTER] = 1
                    cycle += 1
                    if not dual:  # the other core may wait for it
                        break
                elif op == d.OP_WFI:
                    cycle += 2
                    R[SLEEPING] = SLEEP_WFI
                    break
                elif op == d.OP_WFE:
                    cycle += 2
                    if R[EVENT_REGISTER]:
                        R[EVENT_REGISTER] = 0
                    else:
                        R[SLEEPING] = SLEEP_WFE
                        break
                elif op == d.OP_SVC:
                    R[PC], R[CYCLES], R[NZ], R[CARRY], R[OVERFLOW] = pc, cycle, nz, cr, ov
                    call_far(S, FAR_SVC, core, 0, 0, 0)
                    pc, cycle = R[PC], R[CYCLES]
                    break
                elif op == d.OP_BKPT:
                    pc -= 2  # Python decides how to go on
                    count -= 1
                    S[EXIT], S[EXIT_VALUE], S[EXIT_CORE] = EXIT_BKPT, imm, core
                    break
                elif op == d.OP_ROM_CALL:
                    pc -= 2
                    count -= 1
                    write_back(R, pc, cycle, count, nz, cr, ov, line, mask, bias)
                    S[EXIT_CORE] = core
                    served = call_far(S, FAR_ROM_FLOAT, core, imm, 0, 0)
                    if served == 0 and call_host(S[HOST_ADDRESS], HOST_ROM, core, imm, cycle) < 0:
                        fault, fault_address = FAULT_UNDEFINED, pc
                    pc, cycle, count = R[PC], R[CYCLES], R[INSTRUCTIONS]
                    nz, cr, ov = R[NZ], R[CARRY], R[OVERFLOW]
                    if served == 0:
                        S[NEXT_EVENT] = cycle
                    break
                elif op == d.OP_NATIVE:
                    pc -= 2
                    count -= 1
                    R[PC], R[CYCLES], R[INSTRUCTIONS] = pc, cycle, count
                    R[NZ], R[CARRY], R[OVERFLOW] = nz, cr, ov
                    if enter_native(S, R, mem, imm, limit):
                        pc, cycle, count = R[PC], R[CYCLES], R[INSTRUCTIONS]
                        nz, cr, ov = R[NZ], R[CARRY], R[OVERFLOW]
                    else:  # one instruction here, from the scratch entry
                        call_far(S, FAR_DECODE, pc, SCRATCH, 0, 0)
                        line, mask, bias = pc, SINGLE_ENTRY, 2 * SCRATCH - pc
                elif op == d.OP_REFETCH:
                    pc -= 2
                    count -= 1
                    line, mask = -1, EVERY
                else:
                    pc -= 2
                    fault, fault_address = FAULT_UNDEFINED, pc
                    break
            else:
                turn_is_over = True
            stepped = stepping and count + count2 != before
            if not (dual and turn_is_over) or stepped:
                break
            # --- the other core's turn ---
            hold = min(window, S[NEXT_EVENT])
            limit = (cycle - 1 if cycle < hold else hold) if leading else min(max(cycle + 2, need, ahead), hold)
            if cycle >= end:
                limit = min(limit, end)
            if stepping:
                limit = min(limit, cycle2 + 1)
            if cycle2 >= limit:
                break
            leading = not leading
            core, core2, R, R2 = core2, core, R2, R
            pc, pc2, cycle, cycle2, count, count2 = pc2, pc, cycle2, cycle, count2, count
            nz, nz2, cr, cr2, ov, ov2 = nz2, nz, cr2, cr, ov2, ov
            line, line2, mask, mask2, bias, bias2 = line2, line, mask2, mask, bias2, bias
        write_back(R, pc, cycle, count, nz, cr, ov, line, mask, bias)
        if dual:
            write_back(R2, pc2, cycle2, count2, nz2, cr2, ov2, line2, mask2, bias2)
