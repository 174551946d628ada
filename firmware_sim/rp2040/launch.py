"""Core 1 between reset and launch: it waits in the boot ROM (rom/code.S) for core 0. RP2040 datasheet 2.8.2."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.lines import set_line
from firmware_sim.rp2040.layout import CORE_STRIDE, FIFO, PC, SLEEP_HELD, SLEEP_WFE, SLEEPING, State
from firmware_sim.rp2040.rom import code

SIO_BASE = 0xD0000000
SIO_IRQ_PROC0 = 15
WFE = 0xBF20
_START = (code.LABELS["wait_for_vector"] - code.CODE_BASE) // 2
WAITING = code.CODE_BASE + 2 * (code.CODE.index(WFE, _START) + 1)  # behind the WFE


def wait_for_vector(S: State, held: bool) -> None:
    """Put core 1 where it sleeps until the first word comes, or into a reset that lasts.

    On its way there it has written a 0 into the FIFO that core 0 reads.
    """
    S[CORE_STRIDE + 4] = SIO_BASE
    S[CORE_STRIDE + PC] = WAITING
    S[CORE_STRIDE + SLEEPING] = SLEEP_HELD if held else SLEEP_WFE
    if not held:
        push_zero(S)


def push_zero(S: State) -> None:
    """A 0 for core 0, where there is room."""
    count = int(S[FIFO])
    if count < 8:
        S[FIFO + 8 + (int(S[FIFO + 1]) + count) % 8] = 0
        S[FIFO] = count + 1
        set_line(S, SIO_IRQ_PROC0, True, core=0)
