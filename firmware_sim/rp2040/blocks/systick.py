"""SysTick of a core: a 24-bit counter that is not stepped but computed from the cycle at which it was zero.

Source: ARMv6-M Architecture Reference Manual B3.3; RP2040 datasheet 2.4.5.1.1 (the external reference is the
watchdog's 1 us tick). Registers: SYST_CSR, SYST_RVR, SYST_CVR, SYST_CALIB.
"""

from __future__ import annotations

from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import (
    CLK_SYS_HZ,
    LATCHED,
    NEVER,
    SYST_COUNTFLAG,
    SYST_CSR,
    SYST_EVENT,
    SYST_LOADED,
    SYST_RVR,
    SYST_VALUE,
    SYST_ZERO,
    TICK_HZ,
    State,
)

ENABLE, TICKINT, CLKSOURCE = 1, 2, 4
EXCEPTION = 15


@inner
def systick_runs(S: State, core: int) -> bool:
    """Whether it counts: enabled, and the watchdog ticks when CLKSOURCE is 0."""
    return S[core + SYST_CSR] & ENABLE != 0 and (S[core + SYST_CSR] & CLKSOURCE != 0 or S[TICK_HZ] > 0)


@inner
def systick_step(S: State, core: int) -> int:
    """Cycles of one count: 1, or the watchdog's tick when CLKSOURCE is 0."""
    if S[core + SYST_CSR] & CLKSOURCE or S[TICK_HZ] == 0:
        return 1
    return max(1, S[CLK_SYS_HZ] // S[TICK_HZ])


@inner
def systick_value(S: State, core: int, now: int) -> int:
    """SYST_CVR at the cycle `now`."""
    if not systick_runs(S, core):
        return S[core + SYST_VALUE]
    counts = (now - S[core + SYST_ZERO]) // systick_step(S, core)
    if counts <= 0:
        return 0
    return max(0, S[core + SYST_LOADED] - (counts - 1))


@inner
def systick_schedule(S: State, core: int) -> None:
    """Set the cycle at which the counter reaches zero next."""
    if systick_runs(S, core) and S[core + SYST_LOADED] > 0:
        S[core + SYST_EVENT] = S[core + SYST_ZERO] + (S[core + SYST_LOADED] + 1) * systick_step(S, core)
    else:
        S[core + SYST_EVENT] = NEVER


@inner
def systick_fire(S: State, core: int) -> None:
    """The counter is zero: flag it, pend the exception, begin the next period."""
    S[core + SYST_ZERO] = S[core + SYST_EVENT]
    S[core + SYST_LOADED] = S[core + SYST_RVR]
    S[core + SYST_COUNTFLAG] = 1
    if S[core + SYST_CSR] & TICKINT:
        S[core + LATCHED] |= 1 << EXCEPTION
    systick_schedule(S, core)


@inner
def systick_set_value(S: State, core: int, value: int, now: int) -> None:
    """Continue from `value` at the cycle `now`; 0 loads SYST_RVR at the next count."""
    S[core + SYST_VALUE] = value
    S[core + SYST_ZERO] = now if value == 0 else now - systick_step(S, core)
    S[core + SYST_LOADED] = S[core + SYST_RVR] if value == 0 else value
    systick_schedule(S, core)


@inner
def systick_read(S: State, core: int, offset: int, now: int) -> int:
    """Register at `offset` from SYST_CSR."""
    if offset == 0:
        flag = S[core + SYST_COUNTFLAG]
        S[core + SYST_COUNTFLAG] = 0
        return S[core + SYST_CSR] | (flag << 16)
    if offset == 4:
        return S[core + SYST_RVR]
    if offset == 8:
        return systick_value(S, core, now)
    return 0x270F  # SYST_CALIB: 10 ms of the 1 us reference


@inner
def systick_write(S: State, core: int, offset: int, value: int, now: int) -> None:
    """Write the register at `offset` from SYST_CSR."""
    if offset == 0:
        counter = systick_value(S, core, now)
        S[core + SYST_CSR] = value & 7
        systick_set_value(S, core, counter, now)
    elif offset == 4:
        S[core + SYST_RVR] = value & 0xFFFFFF
        if systick_value(S, core, now) == 0:
            S[core + SYST_LOADED] = value & 0xFFFFFF
            S[core + SYST_ZERO] = now
        systick_schedule(S, core)
    elif offset == 8:  # any write clears the counter
        S[core + SYST_COUNTFLAG] = 0
        systick_set_value(S, core, 0, now)
