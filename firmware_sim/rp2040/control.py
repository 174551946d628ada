"""Between stretches of instructions: faults, events, sleep, exceptions, and the reasons to return to Python.

Everything is in the state here: `core.run` writes its locals back before it calls `attend`.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.ppb import SYSTICK, pending_exceptions
from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.events import serve_events
from firmware_sim.rp2040.exceptions import STACKING_CYCLES, begin_entry, exception_to_take, finish_switch, take_fault
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
    SWITCH_AT,
    Memory,
    State,
)
from firmware_sim.rp2040.shortcuts import ENTRY_CYCLES, enter_from_thread, sleep_until_systick

SLEEPDEEP, SEVONPEND = 1 << 2, 1 << 4


@inner
def look_at_core(S: State, mem: Memory, core: int, now: int) -> None:
    """Wake the core where it may go on, and take the exception that waits for it.

    WFI ignores PRIMASK, WFE waits for the event register as well.
    """
    pending = pending_exceptions(S, core)
    if S[core + SCR] & SEVONPEND and pending & ~S[core + SEEN_PENDING]:
        S[core + EVENT_REGISTER] = 1
    S[core + SEEN_PENDING] = pending
    waits = pending & S[core + ENABLED]
    sleep = S[core + SLEEPING]
    if S[core + SWITCH_AT] != NEVER:
        if S[core + SWITCH_AT] <= now:
            finish_switch(S, mem, core)
    elif sleep:
        S[core + CYCLES] = max(S[core + CYCLES], now)
        if sleep == SLEEP_WFE and S[core + EVENT_REGISTER]:
            S[core + EVENT_REGISTER] = 0
            S[core + SLEEPING] = 0
        elif waits and sleep < DEAD and exception_to_take(S, core, sleep == SLEEP_WFI):
            S[core + SLEEPING] = 0
    if waits and S[core + SLEEPING] == 0 and S[core + SWITCH_AT] == NEVER:
        number = exception_to_take(S, core, False)
        if number:
            begin_entry(S, mem, core, number)


@inner
def present(S: State) -> int:
    """The cycle up to which everything has happened: that of the core that is behind, if awake.

    A core that enters or leaves a handler counts by the cycle at which it is decided which one comes next.
    """
    if S[SLEEPING] and S[CORE_STRIDE + SLEEPING]:
        return max(S[CYCLES], S[CORE_STRIDE + CYCLES])
    if S[SLEEPING] == 0 and S[CORE_STRIDE + SLEEPING] == 0:
        return min(min(S[CYCLES], S[SWITCH_AT]), min(S[CORE_STRIDE + CYCLES], S[CORE_STRIDE + SWITCH_AT]))
    core = CORE_STRIDE if S[SLEEPING] else 0
    if S[core + SWITCH_AT] != NEVER:  # events before that may wake the other core
        return max(S[core + SWITCH_AT] - STACKING_CYCLES, S[NEXT_EVENT])
    return S[core + CYCLES]


@far
def attend(state: int, core: int, fault: int, address: int, _d: int) -> int:
    """Do everything but run instructions. 1: a core may run; 0: S[EXIT] or S[END] says why not."""
    S = longs_at(state, STATE_WORDS)
    mem = memory_of(S)
    if fault:
        take_fault(S, mem, core, fault, address)
    while True:
        now = present(S)
        if sleep_until_systick(S, now):
            simple = S[NEXT_EVENT] > S[CYCLES] + ENTRY_CYCLES and enter_from_thread(S, 0, SYSTICK)
            if simple and S[NEXT_EVENT] > S[CYCLES]:
                return 1 if S[CYCLES] < S[END] and S[CYCLES] < S[SLICE] else 0
            continue
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
