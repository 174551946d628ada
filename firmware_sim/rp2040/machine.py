"""The entry points from Python into compiled code."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.pins import pins_lines, pins_update
from firmware_sim.rp2040.blocks.systick import systick_schedule
from firmware_sim.rp2040.blocks.timer import timer_rebase, timer_schedule
from firmware_sim.rp2040.blocks.uart import uart_clear_to_send_changes, uart_poll_host
from firmware_sim.rp2040.compiled import entry_point
from firmware_sim.rp2040.core import run
from firmware_sim.rp2040.layout import CLK_PERI_HZ, CLK_SYS_HZ, NEXT_EVENT, TICK_HZ, Memory, State


@entry_point
def run_core(S: State, mem: Memory, core: int) -> int:
    """Run a core until S[END], S[SLICE] or a reason to stop; EXIT_*."""
    return run(S, mem, core)


@entry_point
def set_clocks(S: State, sys_hz: int, peri_hz: int, tick_hz: int, cycle: int) -> None:
    """Change frequencies at `cycle`; TIMER and SysTick lose no fraction of a tick."""
    timer_rebase(S, cycle)
    S[CLK_SYS_HZ], S[CLK_PERI_HZ], S[TICK_HZ] = sys_hz, peri_hz, tick_hz
    timer_schedule(S, cycle)
    systick_schedule(S, 0)


@entry_point
def update_pins(S: State, cycle: int) -> None:
    """Something that pins or their interrupts depend on has changed."""
    pins_update(S, cycle)
    pins_lines(S, cycle)


@entry_point
def poll_uart(S: State, u: int, cycle: int) -> None:
    """The host has queued bytes for the UART whose state begins at `u`."""
    uart_poll_host(S, u, cycle)


@entry_point
def set_uart_cts(S: State, u: int, off: int, cycle: int) -> None:
    """The host gives (off 0) or takes (off 1) the clear-to-send of the UART whose state begins at `u`."""
    uart_clear_to_send_changes(S, u, off, cycle)
    S[NEXT_EVENT] = cycle
