"""ADC: five channels, conversions of 96 cycles of clk_adc, FIFO, round robin. RP2040 datasheet 4.9.

What the channels measure are 12-bit codes in the state, put there by analog.py. There is no noise.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.lines import set_lines
from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.far import longs_at
from firmware_sim.rp2040.layout import (
    ADC,
    ADC_CODES,
    CLK_ADC_HZ,
    CLK_SYS_HZ,
    DREQ_LEVEL,
    EVENT_ADC,
    EVENT_AT,
    LINES,
    NEVER,
    NEXT_EVENT,
    STATE_WORDS,
    WRITTEN,
    State,
)

CS_OFFSET, RESULT_OFFSET, FCS_OFFSET, FIFO_OFFSET, DIV_OFFSET = 0x00, 0x04, 0x08, 0x0C, 0x10
INTR_OFFSET, INTE_OFFSET, INTF_OFFSET, INTS_OFFSET = 0x14, 0x18, 0x1C, 0x20
# State, from ADC.
CS, RESULT, FCS, DIV, INTE, INTF = ADC, ADC + 1, ADC + 2, ADC + 3, ADC + 4, ADC + 5
HEAD, COUNT, FIFO = ADC + 6, ADC + 7, ADC + 8  # FIFO [4]
BUSY = ADC + 12  # a conversion runs; its end is DONE_AT
DONE_AT, NEXT_AT = ADC + 13, ADC + 14  # cycles, in 1/256 of a cycle of clk_sys
EN, TS_EN, START_ONCE, START_MANY, READY = 1, 2, 4, 8, 1 << 8
CS_STORED = 0x1F700B
FCS_EN, SHIFT, DREQ_EN, UNDER, OVER = 1, 2, 8, 1 << 10, 1 << 11
FCS_STORED = 0x0F00000F
DEPTH = 4
CONVERSION = 96  # cycles of clk_adc
CHANNELS, SENSOR = 5, 4
IRQ, DREQ = 22, 36


@inner
def adc_lines(S: State, now: int) -> None:
    """FIFO threshold: interrupt and DMA request."""
    reached = S[COUNT] >= max(1, S[FCS] >> 24 & 15)
    line = 1 << IRQ if (S[INTE] if reached else 0) | S[INTF] else 0
    if (S[LINES] & 1 << IRQ) != line:
        set_lines(S, 1 << IRQ, line)
        S[NEXT_EVENT] = now
    dreq = 1 << DREQ if reached and S[FCS] & DREQ_EN else 0
    if (S[DREQ_LEVEL] & 1 << DREQ) != dreq:
        S[DREQ_LEVEL] ^= 1 << DREQ
        S[NEXT_EVENT] = now


@inner
def adc_cycles(S: State, clocks: int) -> int:
    """1/256 cycles of clk_sys in 1/256 cycles of clk_adc; NEVER while that stands still."""
    return clocks * S[CLK_SYS_HZ] // S[CLK_ADC_HZ] if S[CLK_ADC_HZ] > 0 else NEVER


@inner
def adc_start(S: State, at: int) -> None:
    """Begin a conversion at a time in 1/256 cycles."""
    S[BUSY] = 1
    S[DONE_AT] = min(NEVER, at + adc_cycles(S, CONVERSION << 8))
    interval = (1 << 8) + S[DIV] if S[DIV] else 0
    S[NEXT_AT] = min(NEVER, at + adc_cycles(S, max(interval, CONVERSION << 8)))


@inner
def adc_schedule(S: State) -> None:
    """Set the cycle of the next event: the end of the conversion, or the start of the next."""
    event = NEVER
    if S[BUSY]:
        event = S[DONE_AT]
    elif S[CS] & EN and S[CS] & START_MANY:
        event = S[NEXT_AT]
    S[EVENT_AT + EVENT_ADC] = (event + 255) >> 8 if event < NEVER else NEVER
    S[NEXT_EVENT] = min(S[NEXT_EVENT], S[EVENT_AT + EVENT_ADC])


@inner
def adc_finish(S: State) -> None:
    """The conversion is over: result, FIFO, next channel of the round robin."""
    S[BUSY] = 0
    channel = S[CS] >> 12 & 7
    code = S[ADC_CODES + channel] if channel < SENSOR or (channel == SENSOR and S[CS] & TS_EN) else 0
    S[RESULT] = code
    if S[FCS] & FCS_EN:
        if S[COUNT] == DEPTH:
            S[FCS] |= OVER
        else:
            S[FIFO + ((S[HEAD] + S[COUNT]) & (DEPTH - 1))] = code >> 4 if S[FCS] & SHIFT else code
            S[COUNT] += 1
    robin = S[CS] >> 16 & 31
    if robin:
        channel = (channel + 1) % CHANNELS
        while not robin >> channel & 1:
            channel = (channel + 1) % CHANNELS
        S[CS] = (S[CS] & ~(7 << 12)) | channel << 12


@inner
def adc_run(S: State, now: int) -> None:
    """Do all that is due at the cycle `now`."""
    busy = True
    while busy:
        busy = False
        if S[BUSY] and S[DONE_AT] <= now << 8:
            adc_finish(S)
            busy = True
        if not S[BUSY] and S[CS] & EN and S[CS] & START_MANY and S[NEXT_AT] <= now << 8:
            adc_start(S, S[NEXT_AT])
            busy = True
    adc_lines(S, now)
    adc_schedule(S)


@inner
def adc_pop(S: State, look: int, now: int) -> int:
    """FIFO."""
    value = S[FIFO + S[HEAD]]
    if look:
        return value
    if S[COUNT] == 0:
        S[FCS] |= UNDER
    else:
        S[HEAD] = (S[HEAD] + 1) & (DEPTH - 1)
        S[COUNT] -= 1
    adc_lines(S, now)
    return value


@far
def read_adc(state: int, address: int, look: int, now: int, _d: int) -> int:
    """Word of a register; -1 when there is none."""
    S = longs_at(state, STATE_WORDS)
    offset = address & 0xFFF
    if offset == CS_OFFSET:
        return S[CS] | (READY if S[CS] & EN and not S[BUSY] else 0)
    if offset == RESULT_OFFSET:
        return S[RESULT]
    if offset == FCS_OFFSET:
        status = 1 << 8 if S[COUNT] == 0 else (1 << 9 if S[COUNT] == DEPTH else 0)
        return S[FCS] | status | S[COUNT] << 16
    if offset == FIFO_OFFSET:
        return adc_pop(S, look, now)
    if offset == DIV_OFFSET:
        return S[DIV]
    reached = 1 if S[COUNT] >= max(1, S[FCS] >> 24 & 15) else 0
    if offset == INTR_OFFSET:
        return reached
    if offset == INTE_OFFSET:
        return S[INTE]
    if offset == INTF_OFFSET:
        return S[INTF]
    if offset == INTS_OFFSET:
        return (reached & S[INTE]) | S[INTF]
    return -1


@far
def write_adc(state: int, address: int, value: int, now: int, _d: int) -> int:
    """Write a register; -1 when there is none."""
    S = longs_at(state, STATE_WORDS)
    offset = address & 0xFFF
    if offset == CS_OFFSET:
        before = S[CS]
        S[CS] = value & CS_STORED
        if not value & EN:
            S[BUSY] = 0
        elif not S[BUSY] and (value & START_ONCE or (value & START_MANY and not before & START_MANY)):
            adc_start(S, now << 8)
    elif offset == FCS_OFFSET:
        sticky = S[FCS] & (UNDER | OVER) & ~S[WRITTEN]
        S[FCS] = (value & FCS_STORED) | sticky
    elif offset == DIV_OFFSET:
        S[DIV] = value & 0xFFFFFF
        S[NEXT_AT] = now << 8
    elif offset == INTE_OFFSET:
        S[INTE] = value & 1
    elif offset == INTF_OFFSET:
        S[INTF] = value & 1
    elif offset not in (RESULT_OFFSET, FIFO_OFFSET, INTR_OFFSET, INTS_OFFSET):
        return -1
    adc_run(S, now)
    return 0


@far
def fire_adc(state: int, now: int, _b: int, _c: int, _d: int) -> int:
    """A conversion begins or ends."""
    adc_run(longs_at(state, STATE_WORDS), now)
    return 0


def adc_reset(S: State) -> None:
    """Registers after reset; what the pins measure stays."""
    S[ADC:ADC_CODES] = 0
    S[EVENT_AT + EVENT_ADC] = NEVER
    S[LINES] &= ~(1 << IRQ)
    S[DREQ_LEVEL] &= ~(1 << DREQ)
