"""What happens at a cycle: SysTick, alarms, characters, and the blocks written in Python."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma_layout import EVENT as DMA_EVENT
from firmware_sim.rp2040.blocks.lazy import advance
from firmware_sim.rp2040.blocks.systick import systick_fire
from firmware_sim.rp2040.blocks.timer import timer_fire
from firmware_sim.rp2040.blocks.uart import RX_EVENT, TIMEOUT_EVENT, TX_EVENT, uart_fire
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.host_call import HOST_DUE, call_host
from firmware_sim.rp2040.layout import (
    HOST_ADDRESS,
    HOST_EVENT,
    NEXT_EVENT,
    SYST_EVENT,
    TIMER_EVENT,
    UART,
    UART_BUFFER,
    UART_STRIDE,
    Memory,
    State,
)


@inner
def uart_next(S: State, u: int) -> int:
    """Cycle of the UART's next event."""
    return min(S[u + TX_EVENT], S[u + RX_EVENT], S[u + TIMEOUT_EVENT])


@inner
def timer_next(S: State) -> int:
    """Cycle of the next alarm."""
    return min(S[TIMER_EVENT], S[TIMER_EVENT + 1], S[TIMER_EVENT + 2], S[TIMER_EVENT + 3])


@inner
def serve_events(S: State, mem: Memory, core: int, now: int) -> None:
    """Do everything that is due at `now` and set NEXT_EVENT to what comes then."""
    while S[core + SYST_EVENT] <= now:
        systick_fire(S, core)
    if timer_next(S) <= now:
        timer_fire(S, now)
    for i in range(2):
        u = UART + i * UART_STRIDE
        while uart_next(S, u) <= now:
            uart_fire(S, mem.uarts, u, i * UART_BUFFER, now)
    if S[HOST_EVENT] <= now:
        call_host(S[HOST_ADDRESS], HOST_DUE, 0, 0, now)
    advance(S, mem, now)
    S[NEXT_EVENT] = min(
        S[core + SYST_EVENT],
        timer_next(S),
        uart_next(S, UART),
        uart_next(S, UART + UART_STRIDE),
        S[HOST_EVENT],
        S[DMA_EVENT],
    )
