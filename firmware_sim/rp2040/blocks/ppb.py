"""The private peripheral bus of a core: SysTick, NVIC and System Control Space. ARMv6-M manual B3.2 to B3.5."""

from __future__ import annotations

from firmware_sim.rp2040.bits import lowest_bit
from firmware_sim.rp2040.blocks.lines import NMI
from firmware_sim.rp2040.blocks.systick import systick_read, systick_write
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import (
    ACTIVE,
    ENABLED,
    EXIT,
    EXIT_RESET,
    IPSR,
    LATCHED,
    LINES,
    MPU_CTRL,
    NMI_MASK,
    OWN_LINES,
    PRIORITY,
    SCR,
    VTOR,
    State,
)

SYST_CSR_OFFSET = 0x10
NVIC_ISER, NVIC_ICER, NVIC_ISPR, NVIC_ICPR, NVIC_IPR0, NVIC_IPR7 = 0x100, 0x180, 0x200, 0x280, 0x400, 0x41C
CPUID, ICSR, VTOR_OFFSET, AIRCR, SCR_OFFSET, CCR, SHPR2, SHPR3, SHCSR = (
    0xD00,
    0xD04,
    0xD08,
    0xD0C,
    0xD10,
    0xD14,
    0xD1C,
    0xD20,
    0xD24,
)
MPU_TYPE, MPU_RASR = 0xD90, 0xDA0
IRQ_MASK = 0xFFFFFFFF  # lines reach 26 of them; 26 to 31 are raised by NVIC_ISPR alone (datasheet 2.3.2)
SVCALL, PENDSV, SYSTICK = 11, 14, 15


@inner
def pending_exceptions(S: State, core: int) -> int:
    """Bit set of exceptions that wait: latched (lines.py), or held by a line whose handler does not run."""
    lines = S[LINES] | S[core + OWN_LINES]
    nmi = 1 << NMI if lines & S[core + NMI_MASK] else 0
    return S[core + LATCHED] | ((lines << 16 | nmi) & ~S[core + ACTIVE])


@inner
def highest_pending(S: State, core: int) -> int:
    """Number of the pending, enabled exception of the highest priority (lowest number on a tie); 0 when none."""
    waiting = pending_exceptions(S, core) & S[core + ENABLED]
    if waiting == 0:
        return 0
    best, best_priority = 0, 8
    while waiting:
        number = lowest_bit(waiting)
        waiting &= waiting - 1
        if S[core + PRIORITY + number] < best_priority:
            best, best_priority = number, S[core + PRIORITY + number]
    return best


@inner
def priority_word(S: State, core: int, first: int) -> int:
    """Four priorities, two bits each at the top of their byte, of the exceptions from `first`."""
    value = 0
    for i in range(4):
        value |= S[core + PRIORITY + first + i] << (8 * i + 6)
    return value


@inner
def set_priority_word(S: State, core: int, first: int, value: int) -> None:
    """Inverse of priority_word."""
    for i in range(4):
        S[core + PRIORITY + first + i] = (value >> (8 * i + 6)) & 3


@inner
def icsr(S: State, core: int) -> int:
    """Interrupt Control and State Register."""
    pending = pending_exceptions(S, core)
    value = S[core + IPSR] | (highest_pending(S, core) << 12)
    value |= (1 << 22) if (pending & S[core + ENABLED]) >> 16 else 0
    value |= (pending >> SYSTICK & 1) << 26
    return value | (pending >> PENDSV & 1) << 28 | (pending >> NMI & 1) << 31


@inner
def ppb_read(S: State, core: int, offset: int, now: int) -> int:
    """Register at `offset` from 0xE000E000, -1 when there is none."""
    if SYST_CSR_OFFSET <= offset <= 0x1C:
        return systick_read(S, core, offset - SYST_CSR_OFFSET, now)
    if offset in (NVIC_ISER, NVIC_ICER):
        return (S[core + ENABLED] >> 16) & IRQ_MASK
    if offset in (NVIC_ISPR, NVIC_ICPR):
        return (pending_exceptions(S, core) >> 16) & IRQ_MASK
    if NVIC_IPR0 <= offset <= NVIC_IPR7:
        return priority_word(S, core, 16 + offset - NVIC_IPR0)
    if offset == CPUID:
        return 0x410CC601  # Cortex-M0+ r0p1
    if offset == ICSR:
        return icsr(S, core)
    if offset == VTOR_OFFSET:
        return S[core + VTOR]
    if offset == AIRCR:
        return 0xFA050000
    if offset == SCR_OFFSET:
        return S[core + SCR]
    if offset == CCR:
        return 0x00000208  # STKALIGN, UNALIGN_TRP
    if offset == SHPR2:
        return S[core + PRIORITY + SVCALL] << 30
    if offset == SHPR3:
        return (S[core + PRIORITY + PENDSV] << 22) | (S[core + PRIORITY + SYSTICK] << 30)
    if offset == SHCSR:
        return (pending_exceptions(S, core) >> SVCALL & 1) << 15
    if MPU_TYPE <= offset <= MPU_RASR:  # regions are not modelled: the MPU says that it has none
        return 0
    return -1


@inner
def ppb_write(S: State, core: int, offset: int, value: int, now: int) -> int:
    """Write the register at `offset` from 0xE000E000; -1 when there is none."""
    if SYST_CSR_OFFSET <= offset <= 0x1C:
        systick_write(S, core, offset - SYST_CSR_OFFSET, value, now)
    elif offset == NVIC_ISER:
        S[core + ENABLED] |= (value & IRQ_MASK) << 16
    elif offset == NVIC_ICER:
        S[core + ENABLED] &= ~((value & IRQ_MASK) << 16)
    elif offset == NVIC_ISPR:
        S[core + LATCHED] |= (value & IRQ_MASK) << 16
    elif offset == NVIC_ICPR:
        S[core + LATCHED] &= ~((value & IRQ_MASK) << 16)
        S[core + LATCHED] = pending_exceptions(S, core)  # a line that is high makes it pending again
    elif NVIC_IPR0 <= offset <= NVIC_IPR7:
        set_priority_word(S, core, 16 + offset - NVIC_IPR0, value)
    elif offset == ICSR:
        if value >> 31 & 1:
            S[core + LATCHED] |= 1 << NMI
        if value >> 28 & 1:
            S[core + LATCHED] |= 1 << PENDSV
        if value >> 27 & 1:
            S[core + LATCHED] &= ~(1 << PENDSV)
        if value >> 26 & 1:
            S[core + LATCHED] |= 1 << SYSTICK
        if value >> 25 & 1:
            S[core + LATCHED] &= ~(1 << SYSTICK)
    elif offset == VTOR_OFFSET:
        S[core + VTOR] = value & 0xFFFFFF00
    elif offset == AIRCR:
        if value >> 16 == 0x05FA and value & 4:
            S[EXIT] = EXIT_RESET
    elif offset == SCR_OFFSET:
        S[core + SCR] = value & 0x16
    elif offset == SHPR2:
        S[core + PRIORITY + SVCALL] = value >> 30
    elif offset == SHPR3:
        S[core + PRIORITY + PENDSV] = (value >> 22) & 3
        S[core + PRIORITY + SYSTICK] = value >> 30
    elif offset == SHCSR:
        S[core + LATCHED] = (S[core + LATCHED] & ~(1 << SVCALL)) | ((value >> 15 & 1) << SVCALL)
    elif MPU_TYPE <= offset <= MPU_RASR:
        S[core + MPU_CTRL] = value
    elif offset not in (CPUID, CCR):
        return -1
    return 0
