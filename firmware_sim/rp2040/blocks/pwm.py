"""PWM: eight slices whose counters are not stepped but computed from the cycle count. RP2040 datasheet 4.5.

A counter is a position in its period: 0 to TOP, or with PH_CORRECT up and down again, 2 * (TOP + 1) ticks. `pwm_sync`
brings one up to date; events exist only for wraps that somebody waits for and for edges on pins that somebody watches.
CC and TOP take effect at the wrap, or at once while the slice stands still.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.lines import set_lines
from firmware_sim.rp2040.blocks.pins import pins_update
from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.far import longs_at
from firmware_sim.rp2040.layout import (
    DREQ_PULSE,
    DREQ_WANTED,
    EVENT_AT,
    EVENT_PWM,
    LINES,
    NEVER,
    NEXT_EVENT,
    PIN_FUNCTION,
    PIN_IN,
    PIN_INTE,
    PIN_OE,
    PIN_OUT,
    PIN_WATCH,
    PIN_WATCH_CAMERA,
    PIN_WATCH_PIO,
    PWM,
    PWM_INPUTS,
    PWM_INTE,
    PWM_INTF,
    PWM_INTR,
    STATE_WORDS,
    WORD,
    WRITTEN,
    State,
)

SLICES, STRIDE, REGISTERS_STRIDE = 8, 16, 0x14
# State of a slice, from PWM + STRIDE * slice. PHASE counts sixteenths of cycles that do not make a tick yet.
CSR, DIV, CC, TOP, CC_ACTIVE, TOP_ACTIVE, POSITION, PHASE, SINCE, GATE = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
EN, PH_CORRECT, A_INV, B_INV, PH_RET, PH_ADV = 1, 2, 4, 8, 1 << 6, 1 << 7
CSR_STORED = 0x3F
FREE, GATED, RISING, FALLING = 0, 1, 2, 3  # CSR.DIVMODE
EN_OFFSET, INTR, INTE, INTF, INTS = 0xA0, 0xA4, 0xA8, 0xAC, 0xB0
FUNCTION_PWM = 4
IRQ_WRAP, DREQ_WRAP0 = 4, 24
BANK0 = (1 << 30) - 1


@inner
def pwm_divider(S: State, p: int) -> int:
    """Sixteenths of a cycle a tick; INT 0 counts as 256."""
    return S[p + DIV] if S[p + DIV] >= 16 else S[p + DIV] + 4096


@inner
def pwm_period(S: State, p: int) -> int:
    """Ticks of the period; a counter above TOP runs up to its end."""
    if S[p + CSR] & PH_CORRECT:
        return 2 * (S[p + TOP_ACTIVE] + 1)
    return S[p + TOP_ACTIVE] + 1 if S[p + POSITION] <= S[p + TOP_ACTIVE] else 0x10000


@inner
def pwm_counter(S: State, p: int) -> int:
    """CTR."""
    position, top = S[p + POSITION], S[p + TOP_ACTIVE]
    return 2 * top + 1 - position if S[p + CSR] & PH_CORRECT and position > top else position


@inner
def pwm_advance(S: State, index: int, ticks: int) -> None:
    """Count; the wrap takes the new CC and TOP over and raises interrupt and DMA request."""
    p = PWM + STRIDE * index
    position, period = S[p + POSITION] + ticks, pwm_period(S, p)
    if position >= period:
        S[PWM_INTR] |= 1 << index
        S[DREQ_PULSE] |= (1 << (DREQ_WRAP0 + index)) & S[DREQ_WANTED]
        S[p + CC_ACTIVE], S[p + TOP_ACTIVE] = S[p + CC], S[p + TOP]
        S[p + POSITION] = 0
        position = (position - period) % pwm_period(S, p)
    S[p + POSITION] = position


@inner
def pwm_sync(S: State, index: int, now: int) -> None:
    """Bring a slice up to the cycle `now`."""
    p = PWM + STRIDE * index
    mode = S[p + CSR] >> 4 & 3
    if S[p + CSR] & EN and (mode == FREE or (mode == GATED and S[p + GATE])) and now > S[p + SINCE]:
        S[p + PHASE] += 16 * (now - S[p + SINCE])
    S[p + SINCE] = now
    divider = pwm_divider(S, p)
    if S[p + PHASE] >= divider:
        ticks = S[p + PHASE] // divider
        S[p + PHASE] -= ticks * divider
        pwm_advance(S, index, ticks)


@inner
def pwm_outputs(S: State, p: int) -> int:
    """Levels of the channels A (bit 0) and B (bit 1)."""
    counter, compare = pwm_counter(S, p), S[p + CC_ACTIVE]
    a, b = counter < (compare & 0xFFFF), counter < (compare >> 16)
    return (1 if a else 0) ^ (S[p + CSR] >> 2 & 1) | ((1 if b else 0) ^ (S[p + CSR] >> 3 & 1)) << 1


@inner
def pwm_pins_of(index: int, levels: int) -> int:
    """The two bits of a slice at all pins that can carry them."""
    return (levels << (2 * index) | levels << (2 * index + 16)) & BANK0


@inner
def pwm_watched(S: State) -> int:
    """Pins whose edges matter to somebody: interrupts, PIO, camera, the host."""
    pins = S[PIN_WATCH] | S[PIN_WATCH_PIO] | S[PIN_WATCH_CAMERA]
    for word in range(12):
        pins |= S[PIN_INTE + word]
    return pins & S[PIN_FUNCTION + FUNCTION_PWM]


@inner
def pwm_ticks_to_edge(S: State, p: int) -> int:
    """Ticks until an output may change: at a compare value on the way up or down, or at the wrap."""
    position, top, period = S[p + POSITION], S[p + TOP_ACTIVE], pwm_period(S, p)
    best = period
    for channel in range(2):
        compare = S[p + CC_ACTIVE] >> (16 * channel) & 0xFFFF
        if position < compare < best and compare <= top:
            best = compare
        down = 2 * top + 2 - compare
        if S[p + CSR] & PH_CORRECT and position < down < best:
            best = down
    return best - position


@inner
def pwm_schedule(S: State) -> None:
    """Set the cycle of the next event; all slices are up to date."""
    watched = pwm_watched(S)
    earliest = NEVER
    for index in range(SLICES):
        p = PWM + STRIDE * index
        mode = S[p + CSR] >> 4 & 3
        if S[p + CSR] & EN and (mode == FREE or (mode == GATED and S[p + GATE])):
            ticks = 0
            if watched & pwm_pins_of(index, 3):
                ticks = pwm_ticks_to_edge(S, p)
            elif (S[PWM_INTE] >> index | S[DREQ_WANTED] >> (DREQ_WRAP0 + index)) & 1:
                ticks = pwm_period(S, p) - S[p + POSITION]
            if ticks:
                needed = ticks * pwm_divider(S, p) - S[p + PHASE]
                earliest = min(earliest, S[p + SINCE] + ((needed + 15) >> 4))
    S[EVENT_AT + EVENT_PWM] = earliest
    S[NEXT_EVENT] = min(S[NEXT_EVENT], earliest)


@inner
def pwm_settle(S: State, now: int) -> None:
    """All slices are up to date: drive pins and the interrupt, and plan what comes next."""
    levels = enables = inputs = 0
    for index in range(SLICES):
        p = PWM + STRIDE * index
        levels |= pwm_pins_of(index, pwm_outputs(S, p))
        counts_b = S[p + CSR] >> 4 & 3
        enables |= pwm_pins_of(index, 1 if counts_b else 3)
        inputs |= pwm_pins_of(index, 2 if counts_b else 0)
    line = 1 << IRQ_WRAP if (S[PWM_INTR] & S[PWM_INTE]) | S[PWM_INTF] else 0
    if (S[LINES] & 1 << IRQ_WRAP) != line:
        set_lines(S, 1 << IRQ_WRAP, line)
        S[NEXT_EVENT] = now
    S[PWM_INPUTS] = inputs
    changed = (levels ^ S[PIN_OUT + FUNCTION_PWM]) | (enables ^ S[PIN_OE + FUNCTION_PWM])
    S[PIN_OUT + FUNCTION_PWM], S[PIN_OE + FUNCTION_PWM] = levels, enables
    pwm_schedule(S)
    if changed & S[PIN_FUNCTION + FUNCTION_PWM]:
        pins_update(S, now)


@inner
def pwm_sync_all(S: State, now: int) -> None:
    """Bring all slices up to the cycle `now`."""
    for index in range(SLICES):
        pwm_sync(S, index, now)


@inner
def pwm_take_inputs(S: State, now: int) -> None:
    """Pins have changed: slices that count or are gated by their B pin look at it."""
    pins = S[PIN_IN] & S[PIN_FUNCTION + FUNCTION_PWM]
    moved = 0
    for index in range(SLICES):
        p = PWM + STRIDE * index
        level = 1 if pins & pwm_pins_of(index, 2) else 0
        if level != S[p + GATE]:
            mode = S[p + CSR] >> 4 & 3
            pwm_sync(S, index, now)
            S[p + GATE] = level
            if mode:
                moved = 1
            if S[p + CSR] & EN and mode == (RISING if level else FALLING):
                S[p + PHASE] += 16
                pwm_sync(S, index, now)
    if moved:
        pwm_sync_all(S, now)
        pwm_settle(S, now)


@inner
def pwm_slice_read(S: State, index: int, offset: int) -> int:
    """CSR, DIV, CTR, CC or TOP of a slice that is up to date."""
    p = PWM + STRIDE * index
    if offset == 8:
        return pwm_counter(S, p)
    return S[p + (offset >> 2 if offset < 8 else (CC if offset == 0xC else TOP))]


@far
def read_pwm(state: int, address: int, look: int, now: int, _d: int) -> int:
    """Word of a register; -1 when there is none."""
    S = longs_at(state, STATE_WORDS)
    offset = address & 0xFFF
    pwm_sync_all(S, now)
    if offset < EN_OFFSET:
        return pwm_slice_read(S, offset // REGISTERS_STRIDE, offset % REGISTERS_STRIDE)
    if offset == EN_OFFSET:
        enabled = 0
        for index in range(SLICES):
            enabled |= (S[PWM + STRIDE * index + CSR] & EN) << index
        return enabled
    if offset == INTR:
        return S[PWM_INTR]
    if offset == INTE:
        return S[PWM_INTE]
    if offset == INTF:
        return S[PWM_INTF]
    if offset == INTS:
        return (S[PWM_INTR] & S[PWM_INTE]) | S[PWM_INTF]
    return -1


@inner
def pwm_slice_write(S: State, index: int, offset: int, value: int) -> None:
    """Write CSR, DIV, CTR, CC or TOP of a slice that is up to date."""
    p = PWM + STRIDE * index
    if offset == 0:
        position = pwm_counter(S, p)
        if (S[p + CSR] ^ value) & PH_CORRECT:
            S[p + POSITION] = position
        S[p + CSR] = value & CSR_STORED
        if value & EN and value & PH_ADV:
            pwm_advance(S, index, 1)
        if value & EN and value & PH_RET:
            S[p + POSITION] = (S[p + POSITION] - 1) % pwm_period(S, p)
    elif offset == 4:
        S[p + DIV], S[p + PHASE] = value & 0xFFF, 0
    elif offset == 8:
        S[p + POSITION] = value & 0xFFFF
    elif offset == 0xC:
        S[p + CC] = value & WORD
    else:
        S[p + TOP] = value & 0xFFFF
    if not S[p + CSR] & EN:
        S[p + CC_ACTIVE], S[p + TOP_ACTIVE] = S[p + CC], S[p + TOP]


@far
def write_pwm(state: int, address: int, value: int, now: int, _d: int) -> int:
    """Write a register; -1 when there is none."""
    S = longs_at(state, STATE_WORDS)
    offset = address & 0xFFF
    pwm_sync_all(S, now)
    if offset < EN_OFFSET:
        pwm_slice_write(S, offset // REGISTERS_STRIDE, offset % REGISTERS_STRIDE, value)
    elif offset == EN_OFFSET:
        for index in range(SLICES):
            p = PWM + STRIDE * index
            S[p + CSR] = (S[p + CSR] & ~EN) | (value >> index & 1)
    elif offset == INTR:
        S[PWM_INTR] &= ~S[WRITTEN]
    elif offset == INTE:
        S[PWM_INTE] = value & 0xFF
    elif offset == INTF:
        S[PWM_INTF] = value & 0xFF
    elif offset != INTS:
        return -1
    pwm_settle(S, now)
    return 0


@far
def fire_pwm(state: int, now: int, _b: int, _c: int, _d: int) -> int:
    """Bring everything up to `now`: a wrap or an edge is due, or somebody wants to see the levels."""
    S = longs_at(state, STATE_WORDS)
    while S[EVENT_AT + EVENT_PWM] < now:  # edges have their own cycle, not that of the instruction they came in
        due = S[EVENT_AT + EVENT_PWM]
        pwm_sync_all(S, due)
        pwm_settle(S, due)
    pwm_sync_all(S, now)
    pwm_settle(S, now)
    return 0


@far
def look_pwm(state: int, now: int, _b: int, _c: int, _d: int) -> int:
    """A pin that slices take as input may have changed."""
    pwm_take_inputs(longs_at(state, STATE_WORDS), now)
    return 0


def pwm_reset(S: State, now: int) -> None:
    """Registers after reset: slices off, TOP 0xffff, DIV 1."""
    for index in range(SLICES):
        p = PWM + STRIDE * index
        S[p : p + STRIDE] = 0
        S[p + DIV], S[p + TOP], S[p + TOP_ACTIVE], S[p + SINCE] = 16, 0xFFFF, 0xFFFF, now
    S[PWM_INTR] = S[PWM_INTE] = S[PWM_INTF] = S[PWM_INPUTS] = 0
    S[PIN_OUT + FUNCTION_PWM], S[PIN_OE + FUNCTION_PWM] = 0, BANK0
    S[EVENT_AT + EVENT_PWM] = NEVER
    S[LINES] &= ~(1 << IRQ_WRAP)
