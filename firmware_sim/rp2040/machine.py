"""The entry points from Python into compiled code."""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.rp2040.blocks.systick import systick_schedule
from firmware_sim.rp2040.blocks.timer import timer_rebase, timer_schedule
from firmware_sim.rp2040.blocks.uart import uart_poll_host
from firmware_sim.rp2040.compiled import SOURCES_STAMP, entry_point
from firmware_sim.rp2040.core import run
from firmware_sim.rp2040.layout import CLK_PERI_HZ, CLK_SYS_HZ, TICK_HZ, Memory, State


def _make_run_core(stamp: int) -> Callable[[State, Memory, int], int]:
    def run_core(S: State, mem: Memory, core: int) -> int:
        """Run a core until S[END], S[SLICE] or a reason to stop; EXIT_*."""
        return run(S, mem, core) if stamp else 0

    return entry_point(run_core)


def _make_set_clocks(stamp: int) -> Callable[[State, int, int, int, int], None]:
    def set_clocks(S: State, sys_hz: int, peri_hz: int, tick_hz: int, cycle: int) -> None:
        """Change frequencies at `cycle`; TIMER and SysTick lose no fraction of a tick."""
        if stamp:
            timer_rebase(S, cycle)
        S[CLK_SYS_HZ], S[CLK_PERI_HZ], S[TICK_HZ] = sys_hz, peri_hz, tick_hz
        timer_schedule(S, cycle)
        systick_schedule(S, 0)

    return entry_point(set_clocks)


def _make_poll_uart(stamp: int) -> Callable[[State, int, int], None]:
    def poll_uart(S: State, u: int, cycle: int) -> None:
        """The host has queued bytes for the UART whose state begins at `u`."""
        if stamp:
            uart_poll_host(S, u, cycle)

    return entry_point(poll_uart)


run_core = _make_run_core(SOURCES_STAMP)
set_clocks = _make_set_clocks(SOURCES_STAMP)
poll_uart = _make_poll_uart(SOURCES_STAMP)
