"""The interpreter: one core, from one event to the next, in one compiled function.

`run` keeps PC, cycles and flags in locals and writes them to the state array wherever something outside the loop may
look. Inside the loop `pc` points behind the instruction's first halfword. An instruction checks its addresses before
it changes anything, so a fault leaves the registers as they were.
"""

from __future__ import annotations

from firmware_sim.rp2040 import decode as d
from firmware_sim.rp2040.bus import COST_SHIFT, bus_read, bus_write, forget_code
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.events import serve_events
from firmware_sim.rp2040.exceptions import (
    call_supervisor,
    exception_to_take,
    return_from_exception,
    take_exception,
    take_fault,
)
from firmware_sim.rp2040.fetch import code_window, decode_at, fetch_fault
from firmware_sim.rp2040.layout import (
    CARRY,
    CODE_PAGE_SHIFT,
    CYCLES,
    DEAD,
    ENABLED,
    END,
    EVENT_REGISTER,
    EXIT,
    EXIT_BKPT,
    EXIT_END,
    EXIT_IDLE,
    EXIT_LOCKUP,
    EXIT_ROM_CALL,
    EXIT_STUCK,
    EXIT_VALUE,
    FAULT_NOT_THUMB,
    FAULT_UNDEFINED,
    FLASH_BASE,
    FLASH_OFFSET,
    FLASH_SIZE,
    INSTRUCTIONS,
    IPSR,
    LATCHED,
    LINES,
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
    WORD,
    Memory,
    State,
)
from firmware_sim.rp2040.multiple import load_multiple, store_multiple
from firmware_sim.rp2040.native.enter import enter_native
from firmware_sim.rp2040.special_registers import read_special, write_special

SRAM_TO_OFFSET = SRAM_OFFSET - SRAM_BASE
FLASH_TO_OFFSET = FLASH_OFFSET - FLASH_BASE


@inner
def wake(S: State, core: int) -> bool:
    """Whether a sleeping core goes on: WFI ignores PRIMASK, WFE waits for the event register as well."""
    if S[core + SLEEPING] == SLEEP_WFE and S[core + EVENT_REGISTER]:
        S[core + EVENT_REGISTER] = 0
        S[core + SLEEPING] = 0
    elif S[core + SLEEPING] != DEAD and exception_to_take(S, core, S[core + SLEEPING] == SLEEP_WFI):
        S[core + SLEEPING] = 0
    return S[core + SLEEPING] == 0


@inner
def run(S: State, mem: Memory, core: int) -> int:
    """Run the core whose state begins at `core` until S[END], S[SLICE] or a reason to stop (EXIT_*)."""
    R = S[core : core + 32]
    words, halves, m8 = mem.words, mem.halves, mem.bytes
    decoded, pages = mem.decoded, mem.pages
    pc, cycle, count = R[PC], R[CYCLES], R[INSTRUCTIONS]
    nz, cr, ov = R[NZ], R[CARRY], R[OVERFLOW]
    low = high = bias = 0
    fault, fault_address, limit = 0, 0, 0
    S[EXIT] = EXIT_END
    while True:
        # Registers are written back, so that events, exceptions and Python see them.
        R[PC], R[CYCLES], R[INSTRUCTIONS] = pc, cycle, count
        R[NZ], R[CARRY], R[OVERFLOW] = nz, cr, ov
        if fault:
            take_fault(S, mem, core, fault, fault_address)
            fault = 0
        serve_events(S, mem, core, R[CYCLES])
        if S[core + SLEEPING] and not wake(S, core):
            if S[EXIT] == EXIT_END:
                target = min(S[NEXT_EVENT], S[END])
                if S[core + SLEEPING] == DEAD:
                    S[EXIT] = EXIT_LOCKUP
                elif target == NEVER:
                    S[EXIT] = EXIT_IDLE
                elif target > R[CYCLES]:
                    R[CYCLES] = cycle = target
                    if target < S[END] and target < S[SLICE]:
                        continue
        elif S[EXIT] == EXIT_END and (S[core + LATCHED] | S[LINES] << 16) & S[core + ENABLED]:
            number = exception_to_take(S, core, False)
            if number:
                take_exception(S, mem, core, number)
                serve_events(S, mem, core, R[CYCLES])
        pc, cycle, count = R[PC], R[CYCLES], R[INSTRUCTIONS]
        nz, cr, ov = R[NZ], R[CARRY], R[OVERFLOW]
        limit = min(S[NEXT_EVENT], S[END], S[SLICE])
        if S[EXIT] != EXIT_END or cycle >= S[END] or cycle >= S[SLICE]:
            return S[EXIT]
        if not low <= pc < high:
            low, high, bias = code_window(pc)
            if low == high:
                fault, fault_address = fetch_fault(pc), pc
                continue
        if bias + pc == 2 * SCRATCH:
            decode_at(mem, pc, SCRATCH)
        while cycle < limit:
            e = decoded[(pc + bias) >> 1]
            op = e & 0xFF
            a, b, c, imm = (e >> 8) & 31, (e >> 16) & 31, (e >> 24) & 31, e >> 32
            pc += 2
            count += 1
            if op == d.OP_UNKNOWN:
                pc -= 2
                count -= 1
                decode_at(mem, pc, (pc + bias) >> 1)
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
                    R[a] = words[(address + FLASH_TO_OFFSET) >> 2]
                    cycle += 2
                else:
                    R[PC] = pc - 2
                    value = bus_read(S, mem, core, address, 4, cycle)
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
                    value = m8[address + FLASH_TO_OFFSET] & 0xFF
                    cycle += 2
                else:
                    R[PC] = pc - 2
                    value = bus_read(S, mem, core, address, 1, cycle)
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
                    value = halves[(address + FLASH_TO_OFFSET) >> 1] & 0xFFFF
                    cycle += 2
                else:
                    R[PC] = pc - 2
                    value = bus_read(S, mem, core, address, 2, cycle)
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
                offset = address + bias
                if low <= address < high and high - low > 2:
                    R[a] = words[offset >> 2]
                    cycle += 2
                else:
                    value = bus_read(S, mem, core, address & WORD, 4, cycle)
                    if value < 0:
                        fault, fault_address = -value, address
                        pc -= 2
                        break
                    R[a] = value & WORD
                    cycle += value >> COST_SHIFT
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
                    value = bus_write(S, mem, core, address, 4, R[a], cycle)
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
                    value = bus_write(S, mem, core, address, 1, R[a], cycle)
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
                    value = bus_write(S, mem, core, address, 2, R[a], cycle)
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
                    if not low <= pc < high:
                        break
            elif op == d.OP_BEQ:
                cycle += 1
                if nz & WORD == 0:
                    pc += imm - 2
                    cycle += 1
                    if not low <= pc < high:
                        break
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
                    if not low <= pc < high:
                        break
            elif op == d.OP_B:
                pc += imm - 2
                cycle += 2
                if not low <= pc < high:
                    break
            elif op == d.OP_BL:
                R[14] = (pc + 2) | 1
                pc += imm - 2
                cycle += 3
                if not low <= pc < high:
                    break
            elif op == d.OP_BX or op == d.OP_BLX:
                target = R[b]
                cycle += 2
                if target >= 0xF0000000 and R[IPSR] and op == d.OP_BX:
                    R[PC], R[CYCLES], R[NZ], R[CARRY], R[OVERFLOW] = pc - 2, cycle, nz, cr, ov
                    return_from_exception(S, mem, core, target)
                    pc, cycle, nz, cr, ov = R[PC], R[CYCLES], R[NZ], R[CARRY], R[OVERFLOW]
                    break
                if op == d.OP_BLX:
                    R[14] = pc | 1
                pc = target & (WORD - 1)
                if not target & 1:
                    fault, fault_address = FAULT_NOT_THUMB, target
                    break
                if not low <= pc < high:
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
                    value = store_multiple(S, mem, core, bottom & WORD, imm, cycle)
                    if value < 0:
                        fault, fault_address = -value & 0xFF, -value >> 8
                        pc -= 2
                        break
                    cycle += value
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
                    value = store_multiple(S, mem, core, bottom, imm, cycle)
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
                    value = load_multiple(S, mem, core, bottom, imm, cycle)
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
                        return_from_exception(S, mem, core, target)
                        pc, cycle, nz, cr, ov = R[PC], R[CYCLES], R[NZ], R[CARRY], R[OVERFLOW]
                        break
                    pc = target & (WORD - 1)
                    if not target & 1:
                        fault, fault_address = FAULT_NOT_THUMB, target
                        break
                    if not low <= pc < high:
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
                if not low <= pc < high:
                    break
            elif op == d.OP_NOP:
                cycle += 1
            elif op == d.OP_B_SELF:
                # Nothing changes until the next event: take all the rounds to it at once.
                pc -= 2
                target = min(S[NEXT_EVENT], S[END])
                if 2 <= R[IPSR] <= 3:
                    S[EXIT] = EXIT_STUCK
                elif target == NEVER:
                    S[EXIT] = EXIT_IDLE
                rounds = 1 if target == NEVER else max(1, (target - cycle + 1) >> 1)
                cycle += 2 * rounds
                count += rounds - 1
                break
            elif op == d.OP_MRS:
                pc += 2
                cycle += 3
                R[NZ], R[CARRY], R[OVERFLOW] = nz, cr, ov
                R[a] = read_special(S, core, imm)
            elif op == d.OP_MSR:
                pc += 2
                cycle += 3
                R[NZ], R[CARRY], R[OVERFLOW] = nz, cr, ov
                write_special(S, core, imm, R[b])
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
                R[EVENT_REGISTER] = 1
                cycle += 1
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
                call_supervisor(S, mem, core)
                pc, cycle = R[PC], R[CYCLES]
                break
            elif op == d.OP_BKPT or op == d.OP_ROM_CALL:
                pc -= 2  # Python decides how to go on
                count -= 1
                S[EXIT] = EXIT_BKPT if op == d.OP_BKPT else EXIT_ROM_CALL
                S[EXIT_VALUE] = imm
                break
            elif op == d.OP_NATIVE:
                pc -= 2
                count -= 1
                R[PC], R[CYCLES], R[INSTRUCTIONS] = pc, cycle, count
                R[NZ], R[CARRY], R[OVERFLOW] = nz, cr, ov
                if not enter_native(R, mem, imm, limit):
                    low, high, bias = pc, pc + 2, 2 * SCRATCH - pc  # one instruction here, from the scratch entry
                    break
                pc, cycle, count = R[PC], R[CYCLES], R[INSTRUCTIONS]
                nz, cr, ov = R[NZ], R[CARRY], R[OVERFLOW]
                if not low <= pc < high:
                    break
            elif op == d.OP_REFETCH:
                pc -= 2
                count -= 1
                low = high = 0
                break
            else:
                pc -= 2
                fault, fault_address = FAULT_UNDEFINED, pc
                break
