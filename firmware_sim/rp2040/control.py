"""Between stretches of instructions: faults, events, sleep, exceptions, and the reasons to return to Python.

Everything is in the state here: `core.run` writes its locals back before it calls `attend`.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.ppb import pending_exceptions
from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.events import serve_events
from firmware_sim.rp2040.exceptions import exception_to_take, take_exception, take_fault
from firmware_sim.rp2040.far import longs_at, memory_of
from firmware_sim.rp2040.layout import (
    CORE_STRIDE,
    CYCLES,
    DEAD,
    ENABLED,
    END,
    EVENT_REGISTER,
    EXIT,
    EXIT_CORE,
    EXIT_END,
    EXIT_IDLE,
    EXIT_LOCKUP,
    NEVER,
    NEXT_EVENT,
    SCR,
    SEEN_PENDING,
    SLEEP_WFE,
    SLEEP_WFI,
    SLEEPING,
    SLEPT,
    SLEPT_DEEP,
    SLICE,
    STATE_WORDS,
    Memory,
    State,
)

SLEEPDEEP, SEVONPEND = 1 << 2, 1 << 4


@inner
def wake(S: State, core: int, now: int) -> None:
    """Let a sleeping core go on where it may: WFI ignores PRIMASK, WFE waits for the event register as well."""
    sleep = S[core + SLEEPING]
    S[core + CYCLES] = max(S[core + CYCLES], now)
    if sleep == SLEEP_WFE and S[core + EVENT_REGISTER]:
        S[core + EVENT_REGISTER] = 0
        S[core + SLEEPING] = 0
    elif sleep < DEAD and exception_to_take(S, core, sleep == SLEEP_WFI):
        S[core + SLEEPING] = 0


@inner
def look_at_core(S: State, mem: Memory, core: int, now: int) -> None:
    """Wake the core and take the exception that waits for it."""
    pending = pending_exceptions(S, core)
    if S[core + SCR] & SEVONPEND and pending & ~S[core + SEEN_PENDING]:
        S[core + EVENT_REGISTER] = 1
    S[core + SEEN_PENDING] = pending
    if S[core + SLEEPING]:
        wake(S, core, now)
    if S[core + SLEEPING] == 0 and pending & S[core + ENABLED]:
        number = exception_to_take(S, core, False)
        if number:
            take_exception(S, mem, core, number)


@inner
def present(S: State) -> int:
    """The cycle up to which everything has happened: that of the core that is behind, if awake."""
    first, second = S[CYCLES], S[CORE_STRIDE + CYCLES]
    if S[SLEEPING] == 0 and S[CORE_STRIDE + SLEEPING] == 0:
        return min(first, second)
    if S[CORE_STRIDE + SLEEPING] == 0:
        return second
    return first if S[SLEEPING] == 0 else max(first, second)


@far
def attend(state: int, core: int, fault: int, address: int, _d: int) -> int:
    """Do everything but run instructions. 1: a core may run; 0: S[EXIT] or S[END] says why not."""
    S = longs_at(state, STATE_WORDS)
    mem = memory_of(S)
    if fault:
        take_fault(S, mem, core, fault, address)
    while True:
        now = present(S)
        serve_events(S, now)
        look_at_core(S, mem, 0, now)
        look_at_core(S, mem, CORE_STRIDE, now)
        if S[EXIT] != EXIT_END:
            return 0
        if S[SLEEPING] == DEAD or S[CORE_STRIDE + SLEEPING] == DEAD:
            S[EXIT], S[EXIT_CORE] = EXIT_LOCKUP, 0 if S[SLEEPING] == DEAD else CORE_STRIDE
            return 0
        if S[SLEEPING] == 0 or S[CORE_STRIDE + SLEEPING] == 0:
            now = present(S)
            if S[NEXT_EVENT] <= now:
                continue
            return 1 if now < S[END] and now < S[SLICE] else 0
        if now >= S[END] or now >= S[SLICE]:
            return 0
        target = min(S[NEXT_EVENT], S[END])
        if target == NEVER:
            S[EXIT], S[EXIT_CORE] = EXIT_IDLE, 0
            return 0
        if target > now:
            S[SLEPT] += target - now
            if S[SCR] & SLEEPDEEP:
                S[SLEPT_DEEP] += target - now
            S[CYCLES] = target
