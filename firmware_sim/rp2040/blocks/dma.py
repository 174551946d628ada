"""DMA: twelve channels and their registers. RP2040 datasheet 2.5; the transfers are in dma_transfer.py.

The caller has brought the DMA up to the present cycle (lazy.py), so registers show exact values.
"""

from __future__ import annotations

import numpy as np

from firmware_sim.rp2040.blocks.dma_channel import DMA_IRQ, dma_lines, dma_look, dma_start
from firmware_sim.rp2040.blocks.dma_layout import (
    ABORTED,
    AHB_ERROR,
    BUSY,
    BUSY_CHANNELS,
    CHAIN_TO_SHIFT,
    CHANNEL_STRIDE,
    CHANNELS,
    COUNT,
    CREDIT,
    CTRL,
    CTRL_WRITABLE,
    ELIGIBLE,
    EVENT,
    FLUSHED,
    IN_FLIGHT,
    INTE0,
    INTE1,
    INTF0,
    INTF1,
    INTR,
    IRQ_QUIET,
    NEXT_ACTION,
    NEXT_WRITE,
    QUEUED,
    READ_ADDR,
    READ_ERROR,
    RELOAD,
    ROUND,
    SNIFF_CTRL,
    SNIFF_DATA,
    TAKEN,
    TIMER,
    TIMER_BASE,
    TO_ISSUE,
    WRITE_ADDR,
    WRITE_ERROR,
)
from firmware_sim.rp2040.blocks.dma_sniffer import sniffed
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import DMA, DMA_WORDS, LINES, NEVER, WORD, WRITTEN, State
from firmware_sim.rp2040.registers import RegisterBlock

OFF_INTR, OFF_INTE0, OFF_INTF0, OFF_INTS0 = 0x400, 0x404, 0x408, 0x40C
OFF_INTE1, OFF_INTF1, OFF_INTS1 = 0x414, 0x418, 0x41C
OFF_TIMER0, OFF_TIMER3, OFF_MULTI_CHAN_TRIGGER = 0x420, 0x42C, 0x430
OFF_SNIFF_CTRL, OFF_SNIFF_DATA, OFF_FIFO_LEVELS = 0x434, 0x438, 0x440
OFF_CHAN_ABORT, OFF_N_CHANNELS, OFF_DBG = 0x444, 0x448, 0x800
CHANNEL_BYTES = 0x40
ALL = (1 << CHANNELS) - 1
# What the sixteen words of a channel are: the plain registers and the aliases 1 to 3, the last of each four triggers.
WORDS = np.array(
    [
        *(READ_ADDR, WRITE_ADDR, COUNT, CTRL),
        *(CTRL, READ_ADDR, WRITE_ADDR, COUNT),
        *(CTRL, COUNT, READ_ADDR, WRITE_ADDR),
        *(CTRL, WRITE_ADDR, COUNT, READ_ADDR),
    ],
    np.int64,
)


class Dma(RegisterBlock):
    """The block for Python: only RESETS and power-on come here."""

    def reset(self) -> None:
        """Give every register its reset value."""
        super().reset()
        S = self.S
        S[DMA : DMA + DMA_WORDS] = 0
        for channel in range(CHANNELS):
            S[DMA + channel * CHANNEL_STRIDE + CTRL] = channel << CHAIN_TO_SHIFT
        S[ROUND] = ALL
        S[EVENT] = S[NEXT_ACTION] = NEVER
        S[LINES] &= ~(3 << DMA_IRQ)


@inner
def dma_ctrl(S: State, channel: int) -> int:
    """CTRL with BUSY and AHB_ERROR."""
    value = S[DMA + channel * CHANNEL_STRIDE + CTRL]
    if S[BUSY_CHANNELS] >> channel & 1:
        value |= BUSY
    if value & (READ_ERROR | WRITE_ERROR):
        value |= AHB_ERROR
    return value


@inner
def dma_read(S: State, offset: int) -> int:
    """Register at `offset`, -1 when there is none."""
    if offset < CHANNELS * CHANNEL_BYTES:
        channel, word = offset // CHANNEL_BYTES, WORDS[(offset >> 2) & 15]
        return dma_ctrl(S, channel) if word == CTRL else S[DMA + channel * CHANNEL_STRIDE + word]
    if OFF_DBG <= offset < OFF_DBG + CHANNELS * CHANNEL_BYTES:
        c = DMA + (offset - OFF_DBG) // CHANNEL_BYTES * CHANNEL_STRIDE
        if offset & (CHANNEL_BYTES - 4) == 0:
            return S[c + CREDIT]
        return S[c + RELOAD] if offset & (CHANNEL_BYTES - 4) == 4 else -1
    if OFF_INTR <= offset <= OFF_INTF0:
        return S[INTR + ((offset - OFF_INTR) >> 2)]
    if OFF_INTE1 <= offset <= OFF_INTF1:
        return S[INTE1 + ((offset - OFF_INTE1) >> 2)]
    if offset == OFF_INTS0:
        return (S[INTR] & S[INTE0]) | S[INTF0]
    if offset == OFF_INTS1:
        return (S[INTR] & S[INTE1]) | S[INTF1]
    if OFF_TIMER0 <= offset <= OFF_TIMER3:
        return S[TIMER + ((offset - OFF_TIMER0) >> 2)]
    if offset == OFF_SNIFF_CTRL:
        return S[SNIFF_CTRL]
    if offset == OFF_SNIFF_DATA:
        return sniffed(S)
    if offset == OFF_FIFO_LEVELS:
        return S[QUEUED] << 8 | S[QUEUED]
    if offset == OFF_N_CHANNELS:
        return CHANNELS
    return 0 if offset in (OFF_MULTI_CHAN_TRIGGER, OFF_CHAN_ABORT) else -1


@inner
def dma_write_channel(S: State, channel: int, index: int, value: int, now: int) -> None:
    """Write one of the sixteen words of a channel."""
    c = DMA + channel * CHANNEL_STRIDE
    word = WORDS[index]
    quiet = S[c + CTRL] & IRQ_QUIET
    if word == CTRL:
        errors = S[c + CTRL] & (READ_ERROR | WRITE_ERROR) & ~S[WRITTEN]
        S[c + CTRL] = (value & CTRL_WRITABLE) | errors
    elif word == COUNT:
        S[c + RELOAD] = value
    else:
        S[c + word] = value
        if word == WRITE_ADDR:
            S[c + NEXT_WRITE] = value
    if index & 3 == 3:
        if value:
            dma_start(S, channel, now)
        elif quiet:  # a null trigger ends a list of control blocks
            S[INTR] |= 1 << channel
            dma_lines(S)
    if word == CTRL:
        dma_look(S, channel, now)


@inner
def dma_abort(S: State, channel: int) -> None:
    """Stop a sequence; transfers in flight still end, and then interrupt (erratum RP2040-E13)."""
    c = DMA + channel * CHANNEL_STRIDE
    if S[BUSY_CHANNELS] >> channel & 1:
        S[c + TO_ISSUE] = 0
        S[ELIGIBLE] &= ~(1 << channel)
        if S[c + IN_FLIGHT]:
            S[c + ABORTED] = FLUSHED
        else:
            S[BUSY_CHANNELS] &= ~(1 << channel)


@inner
def dma_write(S: State, offset: int, value: int, now: int) -> int:
    """Write the register at `offset`; -1 when there is none."""
    if offset < CHANNELS * CHANNEL_BYTES:
        dma_write_channel(S, offset // CHANNEL_BYTES, (offset >> 2) & 15, value, now)
    elif OFF_DBG <= offset < OFF_DBG + CHANNELS * CHANNEL_BYTES:
        c = DMA + (offset - OFF_DBG) // CHANNEL_BYTES * CHANNEL_STRIDE
        if offset & (CHANNEL_BYTES - 4) == 0:
            S[c + CREDIT] = 0
    elif offset in (OFF_INTR, OFF_INTS0, OFF_INTS1):
        S[INTR] &= ~S[WRITTEN]
    elif offset == OFF_INTE0:
        S[INTE0] = value & ALL
    elif offset == OFF_INTF0:
        S[INTF0] = value & ALL
    elif offset == OFF_INTE1:
        S[INTE1] = value & ALL
    elif offset == OFF_INTF1:
        S[INTF1] = value & ALL
    elif OFF_TIMER0 <= offset <= OFF_TIMER3:
        timer = (offset - OFF_TIMER0) >> 2
        S[TIMER + timer], S[TIMER_BASE + timer] = value, now
        for channel in range(CHANNELS):  # their counts began at the timer's old base
            S[DMA + channel * CHANNEL_STRIDE + TAKEN] = 0
    elif offset in (OFF_MULTI_CHAN_TRIGGER, OFF_CHAN_ABORT):
        for channel in range(CHANNELS):
            if value >> channel & 1:
                if offset == OFF_CHAN_ABORT:
                    dma_abort(S, channel)
                else:
                    dma_start(S, channel, now)
    elif offset == OFF_SNIFF_CTRL:
        S[SNIFF_CTRL] = value & 0xFFF
    elif offset == OFF_SNIFF_DATA:
        S[SNIFF_DATA] = value & WORD
    elif offset not in (OFF_FIFO_LEVELS, OFF_N_CHANNELS):
        return -1
    dma_lines(S)
    return 0
