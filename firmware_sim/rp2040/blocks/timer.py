"""TIMER: 64-bit microsecond counter with four alarms, computed from the cycle count. RP2040 datasheet 4.6.

us(t) = TIMER_BASE_US + ((t - TIMER_BASE_CYCLE) * TICK_HZ + TIMER_PHASE) // CLK_SYS_HZ

Whole seconds are taken out before anything is multiplied: the products would leave 64 bits after 20 hours.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.lines import set_lines
from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.far import longs_at
from firmware_sim.rp2040.layout import (
    CLK_SYS_HZ,
    EVENT_AT,
    EVENT_TIMER,
    LINES,
    NEVER,
    STATE_WORDS,
    TICK_HZ,
    TIMER_ALARM,
    TIMER_ARMED,
    TIMER_BASE_CYCLE,
    TIMER_BASE_US,
    TIMER_DBGPAUSE,
    TIMER_EVENT,
    TIMER_INTE,
    TIMER_INTF,
    TIMER_INTR,
    TIMER_LATCHED_HIGH,
    TIMER_PAUSE,
    TIMER_PHASE,
    TIMER_WRITE_LOW,
    WORD,
    WRITTEN,
    State,
)

TIMEHW, TIMELW, TIMEHR, TIMELR = 0x00, 0x04, 0x08, 0x0C
ALARM0, ALARM3, ARMED, TIMERAWH, TIMERAWL = 0x10, 0x1C, 0x20, 0x24, 0x28
DBGPAUSE, PAUSE, INTR, INTE, INTF, INTS = 0x2C, 0x30, 0x34, 0x38, 0x3C, 0x40


@inner
def timer_scaled(S: State, now: int) -> tuple[int, int]:
    """Counts since the base, and what remains in units of TIMER_PHASE."""
    hz, elapsed = S[CLK_SYS_HZ], now - S[TIMER_BASE_CYCLE]
    scaled = elapsed % hz * S[TICK_HZ] + S[TIMER_PHASE]
    return elapsed // hz * S[TICK_HZ] + scaled // hz, scaled % hz


@inner
def timer_us(S: State, now: int) -> int:
    """The 64-bit count at the cycle `now`."""
    if S[TIMER_PAUSE]:
        return S[TIMER_BASE_US]
    return S[TIMER_BASE_US] + timer_scaled(S, now)[0]


@inner
def timer_rebase(S: State, now: int) -> None:
    """Make `now` the base, losing no fraction: before a clock changes, or the count."""
    if not S[TIMER_PAUSE]:
        counts, phase = timer_scaled(S, now)
        S[TIMER_BASE_US] += counts
        S[TIMER_PHASE] = phase
    S[TIMER_BASE_CYCLE] = now


@inner
def timer_schedule(S: State, now: int) -> None:
    """Compute the cycle of every armed alarm: when the low word of the counter equals it."""
    for alarm in range(4):
        S[TIMER_EVENT + alarm] = NEVER
        if S[TIMER_ARMED] >> alarm & 1 and S[TICK_HZ] > 0 and not S[TIMER_PAUSE]:
            us = timer_us(S, now)
            target = us + ((S[TIMER_ALARM + alarm] - us) & WORD)
            tick, counts = S[TICK_HZ], target - S[TIMER_BASE_US]
            needed = counts % tick * S[CLK_SYS_HZ] - S[TIMER_PHASE]
            cycles = counts // tick * S[CLK_SYS_HZ] + (needed + tick - 1) // tick
            S[TIMER_EVENT + alarm] = max(now, S[TIMER_BASE_CYCLE] + cycles)


@inner
def timer_lines(S: State) -> None:
    """Drive TIMER_IRQ_0 to TIMER_IRQ_3."""
    set_lines(S, 15, (S[TIMER_INTR] & S[TIMER_INTE]) | S[TIMER_INTF])


@inner
def timer_fire(S: State, now: int) -> None:
    """Alarms that are due disarm themselves and raise INTR."""
    for alarm in range(4):
        if S[TIMER_EVENT + alarm] <= now:
            S[TIMER_EVENT + alarm] = NEVER
            S[TIMER_ARMED] &= ~(1 << alarm)
            S[TIMER_INTR] |= 1 << alarm
    timer_lines(S)


@inner
def timer_read(S: State, offset: int, now: int, look: bool) -> int:
    """Register at `offset`; `look` leaves the TIMEHR latch alone."""
    if offset == TIMEHR:
        return S[TIMER_LATCHED_HIGH]
    if offset in (TIMELR, TIMERAWL):
        us = timer_us(S, now)
        if offset == TIMELR and not look:
            S[TIMER_LATCHED_HIGH] = (us >> 32) & WORD
        return us & WORD
    if offset == TIMERAWH:
        return (timer_us(S, now) >> 32) & WORD
    if ALARM0 <= offset <= ALARM3:
        return S[TIMER_ALARM + ((offset - ALARM0) >> 2)]
    if offset == ARMED:
        return S[TIMER_ARMED]
    if offset == DBGPAUSE:
        return S[TIMER_DBGPAUSE]
    if offset == PAUSE:
        return S[TIMER_PAUSE]
    if offset == INTR:
        return S[TIMER_INTR]
    if offset == INTE:
        return S[TIMER_INTE]
    if offset == INTF:
        return S[TIMER_INTF]
    if offset == INTS:
        return (S[TIMER_INTR] & S[TIMER_INTE]) | S[TIMER_INTF]
    return 0


@inner
def timer_write(S: State, offset: int, value: int, now: int) -> None:
    """Write the register at `offset`."""
    if offset == TIMELW:
        S[TIMER_WRITE_LOW] = value
    elif offset == TIMEHW:
        timer_rebase(S, now)
        S[TIMER_BASE_US] = (value << 32) | S[TIMER_WRITE_LOW]
        S[TIMER_PHASE] = 0
    elif ALARM0 <= offset <= ALARM3:
        alarm = (offset - ALARM0) >> 2
        S[TIMER_ALARM + alarm] = value
        S[TIMER_ARMED] |= 1 << alarm
    elif offset == ARMED:
        S[TIMER_ARMED] &= ~value & 15
    elif offset == DBGPAUSE:
        S[TIMER_DBGPAUSE] = value & 6
    elif offset == PAUSE:
        timer_rebase(S, now)
        S[TIMER_PAUSE] = value & 1
    elif offset == INTR:
        S[TIMER_INTR] &= ~S[WRITTEN] & 15
    elif offset == INTE:
        S[TIMER_INTE] = value & 15
    elif offset == INTF:
        S[TIMER_INTF] = value & 15
    timer_lines(S)
    timer_schedule(S, now)


@inner
def timer_next(S: State) -> int:
    """Cycle of the next alarm."""
    return min(S[TIMER_EVENT], S[TIMER_EVENT + 1], S[TIMER_EVENT + 2], S[TIMER_EVENT + 3])


@far
def read_timer(state: int, address: int, look: int, now: int, _d: int) -> int:
    """As timer_read, by address."""
    return timer_read(longs_at(state, STATE_WORDS), address & 0xFFF, now, look != 0)


@far
def write_timer(state: int, address: int, value: int, now: int, _d: int) -> int:
    """As timer_write, by address."""
    S = longs_at(state, STATE_WORDS)
    timer_write(S, address & 0xFFF, value, now)
    S[EVENT_AT + EVENT_TIMER] = timer_next(S)
    return 0


@far
def fire_timer(state: int, now: int, _b: int, _c: int, _d: int) -> int:
    """As timer_fire."""
    S = longs_at(state, STATE_WORDS)
    timer_fire(S, now)
    S[EVENT_AT + EVENT_TIMER] = timer_next(S)
    return 0


def timer_reset(S: State, now: int) -> None:
    """The counter begins at 0, without alarms."""
    for word in range(TIMER_BASE_CYCLE, TIMER_EVENT + 4):
        S[word] = 0
    S[TIMER_BASE_CYCLE] = now
    S[TIMER_EVENT : TIMER_EVENT + 4] = NEVER
    S[EVENT_AT + EVENT_TIMER] = NEVER
    S[LINES] &= ~15
