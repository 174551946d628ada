"""The entry points from Python into compiled code."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.lazy import advance
from firmware_sim.rp2040.blocks.pins import pins_lines, pins_update
from firmware_sim.rp2040.blocks.systick import systick_runs, systick_schedule, systick_set_value, systick_value
from firmware_sim.rp2040.blocks.timer import timer_next, timer_rebase, timer_schedule
from firmware_sim.rp2040.blocks.uart_unit import host_is_clear, host_sends
from firmware_sim.rp2040.compiled import entry_point, inner
from firmware_sim.rp2040.core import run
from firmware_sim.rp2040.far import memory_of
from firmware_sim.rp2040.layout import (
    CLK_PERI_HZ,
    CLK_SYS_HZ,
    CORE_STRIDE,
    EVENT_AT,
    EVENT_TIMER,
    NEXT_EVENT,
    TICK_HZ,
    State,
)


@entry_point
def run_core(S: State) -> int:
    """Run the cores until S[END], S[SLICE] or a reason to stop; EXIT_*."""
    return run(S, memory_of(S))


@inner
def go_on_counting(S: State, core: int, ran: bool, value: int, now: int) -> None:
    """SysTick of a core after a change of the clocks, from what it was before."""
    if systick_runs(S, core) == ran:
        systick_schedule(S, core)
    else:  # the tick that it counts has stopped or begins
        systick_set_value(S, core, value, now)


@entry_point
def set_clocks(S: State, sys_hz: int, peri_hz: int, tick_hz: int, cycle: int) -> None:
    """Change frequencies at `cycle`; TIMER and SysTick lose no fraction of a tick."""
    timer_rebase(S, cycle)
    ran, ran2 = systick_runs(S, 0), systick_runs(S, CORE_STRIDE)
    value, value2 = systick_value(S, 0, cycle), systick_value(S, CORE_STRIDE, cycle)
    S[CLK_SYS_HZ], S[CLK_PERI_HZ], S[TICK_HZ] = sys_hz, peri_hz, tick_hz
    timer_schedule(S, cycle)
    S[EVENT_AT + EVENT_TIMER] = timer_next(S)
    go_on_counting(S, 0, ran, value, cycle)
    go_on_counting(S, CORE_STRIDE, ran2, value2, cycle)
    S[NEXT_EVENT] = cycle


@entry_point
def catch_up(S: State, cycle: int) -> None:
    """DMA and PIO, which run late, up to `cycle`: before something from outside changes what they see."""
    advance(S, cycle)


@entry_point
def update_pins(S: State, cycle: int) -> None:
    """Something that pins or their interrupts depend on has changed."""
    pins_update(S, cycle)
    pins_lines(S, cycle)


@entry_point
def poll_uart(S: State, u: int, cycle: int) -> None:
    """The host has queued bytes for the UART whose state begins at `u`."""
    host_sends(S, u, cycle)


@entry_point
def set_uart_cts(S: State, u: int, off: int, cycle: int) -> None:
    """The host gives (off 0) or takes (off 1) the clear-to-send of the UART whose state begins at `u`."""
    host_is_clear(S, u, off, cycle)
    S[NEXT_EVENT] = cycle
