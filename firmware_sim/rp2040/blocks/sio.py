"""SIO: CPUID, GPIO, divider, interpolators, spinlocks and the status of the FIFOs. RP2040 datasheet 2.3.1."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.interp import interp_read, interp_write, signed
from firmware_sim.rp2040.blocks.lines import set_own_lines
from firmware_sim.rp2040.blocks.pins import FUNCTION_PWM, pins_update
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.far import call_address
from firmware_sim.rp2040.layout import (
    CORE_ID,
    CORE_STRIDE,
    DIV_DIRTY,
    DIV_DIVIDEND,
    DIV_DIVISOR,
    DIV_QUOTIENT,
    DIV_READY,
    DIV_REMAINDER,
    DIV_SIGNED,
    EVENT_FIRE,
    EVENT_PWM,
    FIFO,
    FIFO_STRIDE,
    GPIO_HI_OE,
    GPIO_HI_OUT,
    GPIO_OE,
    GPIO_OUT,
    INTERP,
    INTERP_STRIDE,
    NEXT_EVENT,
    PIN_FUNCTION,
    PIN_HI_IN,
    PIN_IN,
    SPINLOCKS,
    STATE_AT,
    WORD,
    State,
)

CPUID, GPIO_IN, GPIO_HI_IN, GPIO_OUT_REG, GPIO_HI_OUT_REG = 0x00, 0x04, 0x08, 0x10, 0x30
FIFO_ST, FIFO_WR, FIFO_RD, SPINLOCK_ST = 0x50, 0x54, 0x58, 0x5C
FIFO_DEPTH = 8
COUNT, HEAD, WOF, ROE, WORDS = 0, 1, 2, 3, 8  # state of the FIFO that a core reads; the flags are the core's
VLD, RDY = 1, 2
SIO_IRQ = 15  # of core 0; core 1 has the next
DIV_UDIVIDEND, DIV_UDIVISOR, DIV_SDIVIDEND, DIV_SDIVISOR = 0x60, 0x64, 0x68, 0x6C
DIV_QUOTIENT_REG, DIV_REMAINDER_REG, DIV_CSR = 0x70, 0x74, 0x78
INTERP0, SPINLOCK0, SPINLOCK31 = 0x80, 0x100, 0x17C
DIVIDER_CYCLES = 8
GPIO_MASK, GPIO_HI_MASK = 0x3FFFFFFF, 0x3F


@inner
def divide(S: State, core: int, now: int) -> None:
    """Start a division; its results are those of the hardware, division by zero and overflow included."""
    dividend, divisor = S[core + DIV_DIVIDEND], S[core + DIV_DIVISOR]
    if S[core + DIV_SIGNED]:
        x, y = signed(dividend), signed(divisor)
        if y == 0:
            quotient, remainder = 1 if x < 0 else -1, x
        else:
            quotient = abs(x) // abs(y)
            if (x < 0) != (y < 0):
                quotient = -quotient
            remainder = x - quotient * y  # has the sign of the dividend
    elif divisor == 0:
        quotient, remainder = WORD, dividend
    else:
        quotient, remainder = dividend // divisor, dividend % divisor
    S[core + DIV_QUOTIENT], S[core + DIV_REMAINDER] = quotient & WORD, remainder & WORD
    S[core + DIV_READY] = now + DIVIDER_CYCLES
    S[core + DIV_DIRTY] = 1


@inner
def interp_base(S: State, core: int, index: int) -> int:
    """Index of the state of INTERP0 or INTERP1 of the core."""
    return INTERP + (S[core + CORE_ID] * 2 + index) * INTERP_STRIDE


@inner
def fifo_of(S: State, core: int) -> int:
    """Index of the state of the FIFO that the core reads."""
    return FIFO + S[core + CORE_ID] * FIFO_STRIDE


@inner
def fifo_status(S: State, core: int) -> int:
    """FIFO_ST as the core sees it."""
    mine, other = fifo_of(S, core), fifo_of(S, CORE_STRIDE - core)
    room = RDY if S[other + COUNT] < FIFO_DEPTH else 0
    return (VLD if S[mine + COUNT] else 0) | room | S[mine + WOF] << 2 | S[mine + ROE] << 3


@inner
def fifo_line(S: State, core: int, now: int) -> None:
    """SIO_IRQ_PROCn, a line of this core alone: VLD or WOF or ROE."""
    mine = fifo_of(S, core)
    bit = 1 << (SIO_IRQ + S[core + CORE_ID])
    set_own_lines(S, core, bit, bit if S[mine + COUNT] or S[mine + WOF] or S[mine + ROE] else 0)
    S[NEXT_EVENT] = now


@inner
def fifo_read(S: State, core: int, now: int, look: bool) -> int:
    """Take a word; ROE when there is none."""
    mine = fifo_of(S, core)
    value = S[mine + WORDS + S[mine + HEAD]]
    if look:
        return value
    if S[mine + COUNT] == 0:
        S[mine + ROE] = 1
    else:
        S[mine + HEAD] = (S[mine + HEAD] + 1) & (FIFO_DEPTH - 1)
        S[mine + COUNT] -= 1
    fifo_line(S, core, now)
    return value


@inner
def fifo_write(S: State, core: int, value: int, now: int) -> None:
    """Give the other core a word; WOF when there is no room. Firmware wakes the other core with SEV."""
    other = fifo_of(S, CORE_STRIDE - core)
    if S[other + COUNT] == FIFO_DEPTH:
        S[fifo_of(S, core) + WOF] = 1
        fifo_line(S, core, now)
        return
    S[other + WORDS + ((S[other + HEAD] + S[other + COUNT]) & (FIFO_DEPTH - 1))] = value
    S[other + COUNT] += 1
    fifo_line(S, CORE_STRIDE - core, now)


@inner
def sio_read(S: State, core: int, offset: int, now: int, look: bool) -> int:
    """Register at `offset`, -1 when there is none; `look` leaves POP, DIRTY and spinlocks as they are."""
    if INTERP0 <= offset < SPINLOCK0:
        index = (offset - INTERP0) >> 6
        return interp_read(S, interp_base(S, core, index), index, offset & 0x3F, look)
    if offset == CPUID:
        return S[core + CORE_ID]
    if offset == GPIO_IN:
        if S[PIN_FUNCTION + FUNCTION_PWM] and not look:
            call_address(S[EVENT_FIRE + EVENT_PWM], S[STATE_AT], now, 0, 0, 0)
        return S[PIN_IN]
    if offset == GPIO_HI_IN:
        return S[PIN_HI_IN]
    if GPIO_OUT_REG <= offset <= 0x1C:
        return S[GPIO_OUT]
    if 0x20 <= offset <= 0x2C:
        return S[GPIO_OE]
    if GPIO_HI_OUT_REG <= offset <= 0x3C:
        return S[GPIO_HI_OUT]
    if 0x40 <= offset <= 0x4C:
        return S[GPIO_HI_OE]
    if offset == FIFO_ST:
        return fifo_status(S, core)
    if offset == FIFO_RD:
        return fifo_read(S, core, now, look)
    if offset == FIFO_WR:
        return 0
    if offset == SPINLOCK_ST:
        return S[SPINLOCKS]
    if offset in (DIV_UDIVIDEND, DIV_SDIVIDEND):
        return S[core + DIV_DIVIDEND]
    if offset in (DIV_UDIVISOR, DIV_SDIVISOR):
        return S[core + DIV_DIVISOR]
    if offset == DIV_QUOTIENT_REG:
        if not look:
            S[core + DIV_DIRTY] = 0
        return S[core + DIV_QUOTIENT]
    if offset == DIV_REMAINDER_REG:
        return S[core + DIV_REMAINDER]
    if offset == DIV_CSR:
        return (1 if now >= S[core + DIV_READY] else 0) | (S[core + DIV_DIRTY] << 1)
    if SPINLOCK0 <= offset <= SPINLOCK31:
        bit = 1 << ((offset - SPINLOCK0) >> 2)
        if S[SPINLOCKS] & bit:
            return 0
        if not look:
            S[SPINLOCKS] |= bit
        return bit
    return -1


@inner
def set_clear_xor(old: int, which: int, value: int) -> int:
    """New value of a register written through its plain, SET, CLR or XOR form (0 to 3)."""
    if which == 0:
        return value
    if which == 1:
        return old | value
    if which == 2:
        return old & ~value
    return old ^ value


@inner
def sio_write(S: State, core: int, offset: int, value: int, now: int) -> int:
    """Write the register at `offset`; -1 when there is none."""
    which = (offset >> 2) & 3
    if INTERP0 <= offset < SPINLOCK0:
        index = (offset - INTERP0) >> 6
        interp_write(S, interp_base(S, core, index), index, offset & 0x3F, value)
    elif GPIO_OUT_REG <= offset <= 0x1C:
        S[GPIO_OUT] = set_clear_xor(S[GPIO_OUT], which, value) & GPIO_MASK
        pins_update(S, now)
    elif 0x20 <= offset <= 0x2C:
        S[GPIO_OE] = set_clear_xor(S[GPIO_OE], which, value) & GPIO_MASK
        pins_update(S, now)
    elif GPIO_HI_OUT_REG <= offset <= 0x3C:
        S[GPIO_HI_OUT] = set_clear_xor(S[GPIO_HI_OUT], which, value) & GPIO_HI_MASK
        pins_update(S, now)
    elif 0x40 <= offset <= 0x4C:
        S[GPIO_HI_OE] = set_clear_xor(S[GPIO_HI_OE], which, value) & GPIO_HI_MASK
        pins_update(S, now)
    elif offset in (DIV_UDIVIDEND, DIV_SDIVIDEND):
        S[core + DIV_DIVIDEND], S[core + DIV_SIGNED] = value, offset == DIV_SDIVIDEND
        divide(S, core, now)
    elif offset in (DIV_UDIVISOR, DIV_SDIVISOR):
        S[core + DIV_DIVISOR], S[core + DIV_SIGNED] = value, offset == DIV_SDIVISOR
        divide(S, core, now)
    elif offset == DIV_QUOTIENT_REG:  # interrupt handlers restore what they saved
        S[core + DIV_QUOTIENT], S[core + DIV_READY], S[core + DIV_DIRTY] = value, now, 1
    elif offset == DIV_REMAINDER_REG:
        S[core + DIV_REMAINDER], S[core + DIV_READY], S[core + DIV_DIRTY] = value, now, 1
    elif SPINLOCK0 <= offset <= SPINLOCK31:
        S[SPINLOCKS] &= ~(1 << ((offset - SPINLOCK0) >> 2))
    elif offset == FIFO_WR:
        fifo_write(S, core, value, now)
    elif offset == FIFO_ST:
        mine = fifo_of(S, core)
        S[mine + WOF] = S[mine + ROE] = 0
        fifo_line(S, core, now)
    elif offset not in (FIFO_RD, CPUID, GPIO_IN, GPIO_HI_IN, SPINLOCK_ST):
        return -1
    return 0
