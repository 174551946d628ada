"""MRS and MSR: xPSR parts, stack pointers, PRIMASK and CONTROL. ARMv6-M manual B5.1."""

from __future__ import annotations

from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.far import longs_at
from firmware_sim.rp2040.flags import set_flags, xpsr
from firmware_sim.rp2040.layout import CONTROL, IPSR, OTHER_SP, PRIMASK, SP, STATE_WORDS, State

MSP, PSP, PRIMASK_NUMBER, CONTROL_NUMBER = 8, 9, 16, 20


@inner
def swap_stacks(S: State, core: int) -> None:
    """Exchange R13 with the banked stack pointer."""
    S[core + SP], S[core + OTHER_SP] = S[core + OTHER_SP], S[core + SP]


@inner
def read_special(S: State, core: int, number: int) -> int:
    """Value of SYSm `number`; unknown ones read as 0."""
    if number < 8:
        mask = 0x3F if number & 1 else 0
        if number < 4:
            mask |= 0xF0000000
        return xpsr(S, core) & mask
    on_process_stack = S[core + CONTROL] & 2
    if number == MSP:
        return S[core + OTHER_SP] if on_process_stack else S[core + SP]
    if number == PSP:
        return S[core + SP] if on_process_stack else S[core + OTHER_SP]
    if number == PRIMASK_NUMBER:
        return S[core + PRIMASK]
    return S[core + CONTROL] if number == CONTROL_NUMBER else 0


@inner
def write_special(S: State, core: int, number: int, value: int) -> None:
    """Write SYSm `number`; the read-only ones ignore it."""
    on_process_stack = S[core + CONTROL] & 2
    if number < 4:
        set_flags(S, core, value)
    elif number in (MSP, PSP):
        current = (number == PSP) == (on_process_stack != 0)
        S[core + (SP if current else OTHER_SP)] = value & 0xFFFFFFFC
    elif number == PRIMASK_NUMBER:
        S[core + PRIMASK] = value & 1
    elif number == CONTROL_NUMBER:
        if S[core + IPSR] == 0 and (value ^ S[core + CONTROL]) & 2:
            swap_stacks(S, core)
            S[core + CONTROL] ^= 2
        S[core + CONTROL] = (S[core + CONTROL] & 2) | (value & 1)


@far
def far_mrs(state: int, core: int, number: int, _c: int, _d: int) -> int:
    """As read_special."""
    return read_special(longs_at(state, STATE_WORDS), core, number)


@far
def far_msr(state: int, core: int, number: int, value: int, _d: int) -> int:
    """As write_special."""
    write_special(longs_at(state, STATE_WORDS), core, number, value)
    return 0
