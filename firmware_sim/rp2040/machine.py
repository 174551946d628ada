"""The entry points from Python into compiled code."""

from __future__ import annotations

from typing import Any

import numba

from firmware_sim.rp2040.blocks.lazy import advance
from firmware_sim.rp2040.blocks.pins import pins_lines, pins_update
from firmware_sim.rp2040.blocks.systick import systick_runs, systick_schedule, systick_set_value, systick_value
from firmware_sim.rp2040.blocks.timer import timer_next, timer_rebase, timer_schedule
from firmware_sim.rp2040.blocks.uart_unit import host_is_clear, host_sends
from firmware_sim.rp2040.compiled import entry_point
from firmware_sim.rp2040.core import run
from firmware_sim.rp2040.layout import (
    CLK_PERI_HZ,
    CLK_SYS_HZ,
    CORE_STRIDE,
    EVENT_AT,
    EVENT_TIMER,
    NEXT_EVENT,
    TICK_HZ,
    Memory,
    State,
)


@entry_point
def run_core(S: State, mem: Memory, core: int) -> int:
    """Run the cores until S[END], S[SLICE] or a reason to stop; EXIT_*. `core` is ignored."""
    return run(S, mem)


@entry_point
def set_clocks(S: State, sys_hz: int, peri_hz: int, tick_hz: int, cycle: int) -> None:
    """Change frequencies at `cycle`; TIMER and SysTick lose no fraction of a tick."""
    timer_rebase(S, cycle)
    ran = systick_runs(S, 0), systick_runs(S, CORE_STRIDE)
    values = systick_value(S, 0, cycle), systick_value(S, CORE_STRIDE, cycle)
    S[CLK_SYS_HZ], S[CLK_PERI_HZ], S[TICK_HZ] = sys_hz, peri_hz, tick_hz
    timer_schedule(S, cycle)
    S[EVENT_AT + EVENT_TIMER] = timer_next(S)
    for i in range(2):
        core = i * CORE_STRIDE
        if systick_runs(S, core) == ran[i]:
            systick_schedule(S, core)
        else:  # the tick that it counts has stopped or begins
            systick_set_value(S, core, values[i], cycle)
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


def compile_core(S: State, mem: Memory) -> None:
    """Compile `run_core`, or read it from the cache, without running it."""
    kinds: Any = numba.typeof
    dispatcher: Any = run_core
    if hasattr(dispatcher, "compile"):  # not with NUMBA_DISABLE_JIT
        dispatcher.compile((kinds(S), kinds(mem), numba.int64))
