"""ARMv6-M instructions to table entries: `op | a << 8 | b << 16 | c << 24 | imm << 32` in one int64.

Registers are 0-15 and ZERO (16). An entry never holds an absolute address, only distances from its own PC, so the
aliases of the flash share entries. Source: ARMv6-M Architecture Reference Manual (DDI 0419), chapters A5 and A6.
"""

from __future__ import annotations

from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import ROM_SIZE, ZERO

(
    OP_UNKNOWN,  # not decoded yet
    OP_LSL_IMM,
    OP_LSR_IMM,
    OP_ASR_IMM,
    OP_MOVS,
    OP_MOVS_IMM,
    OP_ADDS,
    OP_SUBS,
    OP_ADDS_IMM,
    OP_SUBS_IMM,
    OP_CMP,
    OP_CMP_IMM,
    OP_CMN,
    OP_ADCS,
    OP_SBCS,
    OP_RSBS,
    OP_MULS,
    OP_ANDS,
    OP_EORS,
    OP_ORRS,
    OP_BICS,
    OP_MVNS,
    OP_TST,
    OP_LSL,
    OP_LSR,
    OP_ASR,
    OP_ROR,
    OP_ADD,  # no flags; also MOV and ADD Rd, SP, #imm
    OP_ADD_SP,  # destination SP: the two low bits stay 0
    OP_ADD_PC,  # the PC is a source
    OP_ADR,
    OP_WRITE_PC,  # MOV PC, ADD PC
    OP_LDR,
    OP_LDR_LITERAL,
    OP_LDRH,
    OP_LDRB,
    OP_LDRSB,
    OP_LDRSH,
    OP_STR,
    OP_STRH,
    OP_STRB,
    OP_LDM,
    OP_POP,
    OP_STM,
    OP_PUSH,
    OP_SXTH,
    OP_SXTB,
    OP_UXTH,
    OP_UXTB,
    OP_REV,
    OP_REV16,
    OP_REVSH,
    OP_BEQ,
    OP_BNE,
    OP_BCS,
    OP_BCC,
    OP_BMI,
    OP_BPL,
    OP_BVS,
    OP_BVC,
    OP_BHI,
    OP_BLS,
    OP_BGE,
    OP_BLT,
    OP_BGT,
    OP_BLE,
    OP_B,
    OP_B_SELF,
    OP_BL,
    OP_BX,
    OP_BLX,
    OP_NOP,
    OP_CPS,
    OP_MRS,
    OP_MSR,
    OP_BARRIER,
    OP_SEV,
    OP_WFE,
    OP_WFI,
    OP_SVC,
    OP_BKPT,
    OP_UNDEFINED,
    OP_ROM_CALL,
    OP_REFETCH,  # behind the last halfword of a region
    OP_NATIVE,  # translated code begins here; imm is its row in `Memory.natives`
) = range(85)


@inner
def entry(op: int, a: int, b: int, c: int, imm: int) -> int:
    """Pack one table entry; imm is a signed 32-bit number."""
    return op | (a << 8) | (b << 16) | (c << 24) | (imm << 32)


@inner
def decode_arithmetic(hw: int) -> int:
    """Entry of 0b000xxx and 0b001xxx: shifts by immediate, ADD, SUB, MOV and CMP."""
    top = hw >> 11
    if top < 3:
        shift = (hw >> 6) & 31
        if top == 0:
            return entry(OP_LSL_IMM if shift else OP_MOVS, hw & 7, (hw >> 3) & 7, ZERO, shift)
        return entry(OP_LSR_IMM if top == 1 else OP_ASR_IMM, hw & 7, (hw >> 3) & 7, ZERO, shift if shift else 32)
    if top == 3:
        subtract = (hw >> 9) & 1
        third = (hw >> 6) & 7
        if (hw >> 10) & 1:
            return entry(OP_SUBS_IMM if subtract else OP_ADDS_IMM, hw & 7, (hw >> 3) & 7, ZERO, third)
        return entry(OP_SUBS if subtract else OP_ADDS, hw & 7, (hw >> 3) & 7, third, 0)
    register = (hw >> 8) & 7
    op = OP_MOVS_IMM
    if top == 5:
        op = OP_CMP_IMM
    elif top == 6:
        op = OP_ADDS_IMM
    elif top == 7:
        op = OP_SUBS_IMM
    return entry(op, register, register, ZERO, hw & 255)


@inner
def decode_data_processing(hw: int) -> int:
    """Entry of 0b010000: sixteen register operations."""
    which = (hw >> 6) & 15
    op = OP_ANDS
    if which == 1:
        op = OP_EORS
    elif which == 2:
        op = OP_LSL
    elif which == 3:
        op = OP_LSR
    elif which == 4:
        op = OP_ASR
    elif which == 5:
        op = OP_ADCS
    elif which == 6:
        op = OP_SBCS
    elif which == 7:
        op = OP_ROR
    elif which == 8:
        op = OP_TST
    elif which == 9:
        op = OP_RSBS
    elif which == 10:
        op = OP_CMP
    elif which == 11:
        op = OP_CMN
    elif which == 12:
        op = OP_ORRS
    elif which == 13:
        op = OP_MULS
    elif which == 14:
        op = OP_BICS
    elif which == 15:
        op = OP_MVNS
    return entry(op, hw & 7, hw & 7, (hw >> 3) & 7, 0)


@inner
def decode_special(hw: int) -> int:
    """Entry of 0b010001: ADD, CMP and MOV on high registers, BX and BLX."""
    which = (hw >> 8) & 3
    source = (hw >> 3) & 15
    target = (hw & 7) | ((hw >> 4) & 8)
    if which == 3:
        if hw & 7 or source == 15:
            return entry(OP_UNDEFINED, 0, 0, 0, 0)
        return entry(OP_BLX if hw & 0x80 else OP_BX, 0, source, 0, 0)
    if which == 1:
        return entry(OP_UNDEFINED if 15 in (target, source) else OP_CMP, 0, target, source, 0)
    first = target if which == 0 else ZERO
    if target == 15:  # the PC reads as its own address + 4
        if which == 0 and source == 15:
            return entry(OP_UNDEFINED, 0, 0, 0, 0)
        if which == 0:
            return entry(OP_WRITE_PC, 15, source, ZERO, 4)
        if source == 15:
            return entry(OP_WRITE_PC, 15, ZERO, ZERO, 4)
        return entry(OP_WRITE_PC, 0, source, ZERO, 0)
    if source == 15:
        return entry(OP_ADD_PC, target, first, ZERO, 4)
    return entry(OP_ADD_SP if target == 13 else OP_ADD, target, first, source, 0)


@inner
def decode_load_store(hw: int) -> int:
    """Entry of the single loads and stores, 0b01001 (literal) to 0b1001x (SP relative)."""
    top = hw >> 11
    t, n, m = hw & 7, (hw >> 3) & 7, (hw >> 6) & 7
    imm5 = (hw >> 6) & 31
    high = (hw >> 8) & 7
    if top == 9:
        return entry(OP_LDR_LITERAL, high, ZERO, ZERO, (hw & 255) * 4 + 4)
    if top in (10, 11):
        which = (hw >> 9) & 7
        op = OP_STR
        if which == 1:
            op = OP_STRH
        elif which == 2:
            op = OP_STRB
        elif which == 3:
            op = OP_LDRSB
        elif which == 4:
            op = OP_LDR
        elif which == 5:
            op = OP_LDRH
        elif which == 6:
            op = OP_LDRB
        elif which == 7:
            op = OP_LDRSH
        return entry(op, t, n, m, 0)
    if top in (12, 13):
        return entry(OP_STR if top == 12 else OP_LDR, t, n, ZERO, imm5 * 4)
    if top in (14, 15):
        return entry(OP_STRB if top == 14 else OP_LDRB, t, n, ZERO, imm5)
    if top in (16, 17):
        return entry(OP_STRH if top == 16 else OP_LDRH, t, n, ZERO, imm5 * 2)
    return entry(OP_STR if top == 18 else OP_LDR, high, 13, ZERO, (hw & 255) * 4)


@inner
def bit_count(registers: int) -> int:
    """Registers in a list."""
    count = 0
    for i in range(16):
        count += registers >> i & 1
    return count


@inner
def decode_miscellaneous(hw: int) -> int:
    """Entry of 0b1011: SP adjustment, extensions, PUSH, POP, CPS, REV, BKPT and hints."""
    which = (hw >> 8) & 15
    a, b = hw & 7, (hw >> 3) & 7
    if which == 0:
        imm = (hw & 127) * 4
        return entry(OP_ADD_SP, 13, 13, ZERO, -imm if hw & 128 else imm)
    if which == 2:
        form = (hw >> 6) & 3
        op = OP_SXTH
        if form == 1:
            op = OP_SXTB
        elif form == 2:
            op = OP_UXTH
        elif form == 3:
            op = OP_UXTB
        return entry(op, a, b, 0, 0)
    if which in (4, 5):
        registers = (hw & 255) | ((hw & 256) << 6)  # bit 14: LR
        return entry(OP_PUSH if registers else OP_UNDEFINED, 13, 0, bit_count(registers), registers)
    if which in (12, 13):
        registers = (hw & 255) | ((hw & 256) << 7)  # bit 15: PC
        return entry(OP_POP if registers else OP_UNDEFINED, 13, 0, bit_count(registers), registers)
    if which == 6 and (hw & 0xFFEF) == 0xB662:
        return entry(OP_CPS, 0, 0, 0, (hw >> 4) & 1)
    if which == 10:
        form = (hw >> 6) & 3
        if form == 0:
            return entry(OP_REV, a, b, 0, 0)
        if form == 1:
            return entry(OP_REV16, a, b, 0, 0)
        if form == 3:
            return entry(OP_REVSH, a, b, 0, 0)
    if which == 14:
        return entry(OP_BKPT, 0, 0, 0, hw & 255)
    if which == 15 and not hw & 15:  # hints; the unallocated ones are NOPs
        hint = (hw >> 4) & 15
        op = OP_NOP
        if hint == 2:
            op = OP_WFE
        elif hint == 3:
            op = OP_WFI
        elif hint == 4:
            op = OP_SEV
        return entry(op, 0, 0, 0, 0)
    return entry(OP_UNDEFINED, 0, 0, 0, 0)


@inner
def decode_wide(hw: int, second: int) -> int:
    """Entry of the 32-bit instructions: BL, MRS, MSR and the barriers."""
    if (hw >> 11) == 30 and (second & 0xD000) == 0xD000:
        sign = (hw >> 10) & 1
        i1 = 1 - (((second >> 13) & 1) ^ sign)
        i2 = 1 - (((second >> 11) & 1) ^ sign)
        distance = (i1 << 23) | (i2 << 22) | ((hw & 0x3FF) << 12) | ((second & 0x7FF) << 1)
        return entry(OP_BL, 0, 0, 0, distance - (sign << 24) + 4)
    if (hw & 0xFFF0) == 0xF380 and (second & 0xFF00) == 0x8800:
        return entry(OP_MSR, 0, hw & 15, 0, second & 255)
    if hw == 0xF3EF and (second & 0xF000) == 0x8000:
        return entry(OP_MRS, (second >> 8) & 15, 0, 0, second & 255)
    if hw == 0xF3BF and (second & 0xFF00) == 0x8F00 and 4 <= ((second >> 4) & 15) <= 6:
        return entry(OP_BARRIER, 0, 0, 0, 0)
    return entry(OP_UNDEFINED, 0, 0, 0, 0)


@inner
def decode(hw: int, second: int, pc: int) -> int:
    """Entry of the instruction `hw` (and `second`, the halfword behind it) at address `pc`. Never OP_UNKNOWN."""
    top = hw >> 11
    if top < 8:
        return decode_arithmetic(hw)
    if top == 8:
        return decode_special(hw) if hw & 0x400 else decode_data_processing(hw)
    if top < 20:
        return decode_load_store(hw)
    if top == 20:
        return entry(OP_ADR, (hw >> 8) & 7, ZERO, ZERO, (hw & 255) * 4 + 4)
    if top == 21:
        return entry(OP_ADD, (hw >> 8) & 7, 13, ZERO, (hw & 255) * 4)
    if top < 24:
        return decode_miscellaneous(hw)
    if top < 26:
        op = (OP_STM if top == 24 else OP_LDM) if hw & 255 else OP_UNDEFINED
        return entry(op, (hw >> 8) & 7, 0, bit_count(hw & 255), hw & 255)
    if top < 28:
        condition = (hw >> 8) & 15
        if condition == 14:
            if pc < ROM_SIZE:  # our boot ROM marks its functions with permanently undefined instructions
                return entry(OP_ROM_CALL, 0, 0, 0, hw & 255)
            return entry(OP_UNDEFINED, 0, 0, 0, 0)
        if condition == 15:
            return entry(OP_SVC, 0, 0, 0, hw & 255)
        distance = (hw & 255) * 2
        return entry(OP_BEQ + condition, 0, 0, 0, distance - ((hw & 128) << 2) + 4)
    if top == 28:
        distance = (hw & 0x7FF) * 2
        distance = distance - ((hw & 0x400) << 2) + 4
        return entry(OP_B_SELF if distance == 0 else OP_B, 0, 0, 0, distance)
    if top == 29:
        return entry(OP_UNDEFINED, 0, 0, 0, 0)
    return decode_wide(hw, second)
