"""The DMA's channels: what they wait for, how a sequence starts and ends. RP2040 datasheet 2.5.

Numbers that the datasheet leaves open are in docs/decisions/0047.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma_layout import (
    ABORTED,
    BUSY_CHANNELS,
    CHAIN_TO_SHIFT,
    CHANNEL_STRIDE,
    CHANNELS,
    COUNT,
    CREDIT,
    CTRL,
    ELIGIBLE,
    EN,
    HALTED,
    IN_FLIGHT,
    INTE0,
    INTE1,
    INTF0,
    INTF1,
    INTR,
    IRQ_QUIET,
    MAX_CREDIT,
    NEXT_WRITE,
    READY,
    RELOAD,
    TAKEN,
    TIMER,
    TIMER_BASE,
    TO_ISSUE,
    TREQ_PERMANENT,
    TREQ_SEL_SHIFT,
    TREQ_TIMER0,
    WRITE_ADDR,
)
from firmware_sim.rp2040.blocks.lines import set_lines
from firmware_sim.rp2040.blocks.pio_fifo import tx_depth
from firmware_sim.rp2040.blocks.pio_layout import MACHINE, MACHINE_STRIDE, TX_COUNT
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import (
    DMA,
    DREQ_LEVEL,
    DREQ_PULSE,
    DREQ_WANTED,
    EVENT_AT,
    EVENT_PWM,
    LINES,
    NEVER,
    NEXT_EVENT,
    PIO,
    PIO_STRIDE,
    State,
)

DMA_IRQ = 11  # DMA_IRQ_0; DMA_IRQ_1 is 12
START_CYCLES = 3  # from the cycle of a trigger to the first read: assumed
REQUEST_CYCLES = 2  # from a peripheral's request to the read that it allows: assumed
TX_REQUESTS = 0x45_0055_0F0F  # TREQ of what is written: PIO TX, SPI TX, UART TX, I2C TX, XIP_SSITX
PULSES = 0xFF << 24  # TREQ of PWM wraps


@inner
def dma_lines(S: State) -> None:
    """Drive DMA_IRQ_0 and DMA_IRQ_1."""
    high = 1 << DMA_IRQ if (S[INTR] & S[INTE0]) | S[INTF0] else 0
    if (S[INTR] & S[INTE1]) | S[INTF1]:
        high |= 2 << DMA_IRQ
    if high != S[LINES] & 3 << DMA_IRQ:
        set_lines(S, 3 << DMA_IRQ, high)
        S[NEXT_EVENT] = 0


@inner
def timer_requests(S: State, timer: int, cycle: int) -> int:
    """Requests of a pacing timer (X / Y of the clock) up to `cycle`."""
    x, y = S[TIMER + timer] >> 16, S[TIMER + timer] & 0xFFFF
    if x == 0 or y == 0:
        return 0
    elapsed, x = cycle - S[TIMER_BASE + timer], min(x, y)
    return elapsed // y * x + elapsed % y * x // y  # the product of both would leave 64 bits after days


@inner
def timer_cycle(S: State, timer: int, count: int) -> int:
    """Cycle of a pacing timer's request number `count` (from 1)."""
    x, y = S[TIMER + timer] >> 16, S[TIMER + timer] & 0xFFFF
    if x == 0 or y == 0:
        return NEVER
    x = min(x, y)
    return S[TIMER_BASE + timer] + count // x * y + (count % x * y + x - 1) // x


@inner
def count_timer(S: State, c: int, timer: int, cycle: int) -> None:
    """Turn the requests of a pacing timer up to `cycle` into credit, and set READY."""
    count = timer_requests(S, timer, cycle)
    S[c + CREDIT] = min(MAX_CREDIT, S[c + CREDIT] + count - S[c + TAKEN])
    S[c + TAKEN] = count
    if S[c + CREDIT] == 0:
        S[c + READY] = max(S[c + READY], timer_cycle(S, timer, count + 1))


@inner
def tx_room(S: State, request: int) -> int:
    """Words that a FIFO with room can take at once: the credits of the PIO are counted, of others only one is known."""
    if request >= 16:
        return 1
    m = PIO + (request >> 3) * PIO_STRIDE + MACHINE + (request & 3) * MACHINE_STRIDE
    return tx_depth(S, m) - S[m + TX_COUNT]


@inner
def dma_look(S: State, channel: int, now: int) -> None:
    """Whether a channel may issue a read, as requests stand at `now`."""
    c = DMA + channel * CHANNEL_STRIDE
    bit = 1 << channel
    eligible = False
    if S[BUSY_CHANNELS] & bit and S[c + CTRL] & EN and S[c + ABORTED] == 0:
        request = (S[c + CTRL] >> TREQ_SEL_SHIFT) & 63
        if S[c + TO_ISSUE] == 0:
            eligible = S[c + RELOAD] == 0 and S[c + IN_FLIGHT] == 0 and S[c + COUNT] == 0
        elif request == TREQ_PERMANENT:
            eligible = True
        elif request >= TREQ_TIMER0:
            count_timer(S, c, request - TREQ_TIMER0, now)
            eligible = True
        elif PULSES >> request & 1:
            eligible = S[c + CREDIT] > 0
        elif S[DREQ_LEVEL] >> request & 1:
            eligible = not TX_REQUESTS >> request & 1 or S[c + IN_FLIGHT] < tx_room(S, request)
    if eligible and not S[ELIGIBLE] & bit:
        S[ELIGIBLE] |= bit
        S[c + READY] = max(S[c + READY], now + REQUEST_CYCLES)
    elif not eligible:
        S[ELIGIBLE] &= ~bit


@inner
def dma_look_all(S: State, now: int) -> None:
    """Look at the requests of all channels that are busy."""
    pulses, wanted = S[DREQ_PULSE], 0
    S[DREQ_PULSE] = 0
    for channel in range(CHANNELS):
        if S[BUSY_CHANNELS] >> channel & 1:
            c = DMA + channel * CHANNEL_STRIDE
            request = (S[c + CTRL] >> TREQ_SEL_SHIFT) & 63
            if pulses >> request & 1:
                S[c + CREDIT] = min(MAX_CREDIT, S[c + CREDIT] + 1)
            if request < TREQ_TIMER0:
                wanted |= 1 << request
            dma_look(S, channel, now)
    if (wanted ^ S[DREQ_WANTED]) & PULSES:
        S[EVENT_AT + EVENT_PWM] = now  # wraps are planned only for those who want them
    S[DREQ_WANTED] = wanted


@inner
def dma_start(S: State, channel: int, cycle: int) -> None:
    """Trigger a channel; ignored while it is disabled or busy."""
    c = DMA + channel * CHANNEL_STRIDE
    if channel < CHANNELS and S[c + CTRL] & EN and not S[BUSY_CHANNELS] >> channel & 1:
        S[BUSY_CHANNELS] |= 1 << channel
        S[c + COUNT] = S[c + TO_ISSUE] = S[c + RELOAD]
        S[c + NEXT_WRITE] = S[c + WRITE_ADDR]
        S[c + IN_FLIGHT] = S[c + CREDIT] = S[c + ABORTED] = 0
        request = (S[c + CTRL] >> TREQ_SEL_SHIFT) & 63
        if TREQ_TIMER0 <= request < TREQ_PERMANENT:
            S[c + TAKEN] = timer_requests(S, request - TREQ_TIMER0, cycle)
        S[c + READY] = cycle + START_CYCLES
        dma_look(S, channel, cycle)


@inner
def dma_finish(S: State, channel: int, cycle: int) -> None:
    """The last write of a sequence is done."""
    c = DMA + channel * CHANNEL_STRIDE
    S[BUSY_CHANNELS] &= ~(1 << channel)
    S[ELIGIBLE] &= ~(1 << channel)
    if not S[c + CTRL] & IRQ_QUIET or S[c + ABORTED]:
        S[INTR] |= 1 << channel
        dma_lines(S)
    to = (S[c + CTRL] >> CHAIN_TO_SHIFT) & 15
    if to != channel and not S[c + ABORTED]:
        dma_start(S, to, cycle)


@inner
def dma_fail(S: State, channel: int, error: int) -> None:
    """A bus error: the channel halts and raises its interrupt; what is in flight is dropped."""
    c = DMA + channel * CHANNEL_STRIDE
    S[c + CTRL] |= error
    S[c + ABORTED] = HALTED
    S[c + TO_ISSUE] = 0
    S[ELIGIBLE] &= ~(1 << channel)
    S[INTR] |= 1 << channel
    dma_lines(S)
    if S[c + IN_FLIGHT] == 0:
        S[BUSY_CHANNELS] &= ~(1 << channel)
