"""What happens at a cycle: SysTick, alarms, characters, and the blocks written in Python."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma_layout import EVENT as DMA_EVENT
from firmware_sim.rp2040.blocks.lazy import advance
from firmware_sim.rp2040.blocks.pio_layout import RUNNING
from firmware_sim.rp2040.blocks.systick import systick_fire
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.far import call_address
from firmware_sim.rp2040.host_call import HOST_DUE, call_host
from firmware_sim.rp2040.layout import (
    CORE_STRIDE,
    EVENT_AT,
    EVENT_FIRE,
    EVENT_KINDS,
    HOST_ADDRESS,
    HOST_EVENT,
    NEXT_EVENT,
    STATE_AT,
    SWITCH_AT,
    SYST_EVENT,
    State,
)


@inner
def next_event(S: State) -> int:
    """Cycle of whatever comes next, but for the exceptions of the cores (SWITCH_AT)."""
    earliest = min(S[SYST_EVENT], S[CORE_STRIDE + SYST_EVENT], S[HOST_EVENT], S[DMA_EVENT])
    for kind in range(EVENT_KINDS):
        earliest = min(earliest, S[EVENT_AT + kind])
    return earliest


@inner
def serve_events(S: State, now: int) -> None:
    """Do everything that is due at `now` and set NEXT_EVENT to what comes then.

    Whoever plans something or changes a line lowers NEXT_EVENT, so that there is one word to look at.
    """
    if S[NEXT_EVENT] > now:
        return
    if S[RUNNING]:
        advance(S, now)  # before the pins change
    while S[SYST_EVENT] <= now:
        systick_fire(S, 0)
    while S[CORE_STRIDE + SYST_EVENT] <= now:
        systick_fire(S, CORE_STRIDE)
    for kind in range(EVENT_KINDS):
        if S[EVENT_AT + kind] <= now:
            call_address(S[EVENT_FIRE + kind], S[STATE_AT], now, 0, 0, 0)
    if S[HOST_EVENT] <= now:
        call_host(S[HOST_ADDRESS], HOST_DUE, 0, 0, now)
    advance(S, now)
    S[NEXT_EVENT] = min(next_event(S), min(S[SWITCH_AT], S[CORE_STRIDE + SWITCH_AT]))
