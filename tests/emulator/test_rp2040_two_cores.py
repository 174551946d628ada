"""Both cores: launch through the boot ROM's protocol, FIFOs, spinlocks, events, sleep, interrupt lines of one core."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_sim.rp2040 import Board, layout
from firmware_sim.rp2040.core import WARM_UP

MEMORIES = ("flash", "sram")


def two_cores(elf: Path, *, fast: bool = False) -> Board:
    board = Board(fast=fast)
    board.load(elf)
    return board


def expected_sum() -> int:
    x, total = 1, 0
    for _ in range(2048):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
        total += (x >> 24) ** 2
    return total


@pytest.mark.parametrize("memory", MEMORIES)
def test_both_cores_play_count_and_sum(example_elf: Callable[..., Path], memory: str) -> None:
    board = two_cores(example_elf("two_cores", memory))
    stop = board.run(max_cycles=10_000_000)
    assert (stop.reason, stop.faults, board.warnings) == ("bkpt", [], [])
    assert stop.r0 == expected_sum()
    line = board.uart0.sent.decode()
    assert re.fullmatch(rf"fifo 200 ball 400 counter 600 sum {expected_sum()} core 1\n", line), line
    assert board.chip.S[layout.CORE_STRIDE + layout.SLEEPING] == layout.SLEEP_WFE


@pytest.mark.parametrize("memory", MEMORIES)
def test_the_fast_mode_is_the_exact_one(example_elf: Callable[..., Path], memory: str) -> None:
    """Data identical, cycles within 0.1 %, although the leader runs ahead while both play, count and sum."""
    exact, fast = (two_cores(example_elf("two_cores", memory), fast=mode) for mode in (False, True))
    ends = [board.run(max_cycles=10_000_000) for board in (exact, fast)]
    assert [(end.reason, end.r0, end.faults) for end in ends] == [("bkpt", expected_sum(), [])] * 2
    assert fast.uart0.sent == exact.uart0.sent
    both = [[int(board.chip.S[core + layout.CYCLES]) for core in (0, layout.CORE_STRIDE)] for board in (exact, fast)]
    for ahead, behind in zip(*both, strict=True):
        assert abs(ahead - behind) <= ahead // 1000
    sram = slice(layout.SRAM_OFFSET, layout.SRAM_OFFSET + layout.SRAM_SIZE)
    assert bytes(fast.chip.mem.bytes[sram]) == bytes(exact.chip.mem.bytes[sram])
    assert fast.chip.S[layout.FAST_SINCE] > 0
    assert ends[0].cycles > WARM_UP
    assert fast.chip.S[layout.FAST_STALLS] == 0


@pytest.mark.parametrize("memory", MEMORIES)
def test_where_run_returns_changes_nothing(example_elf: Callable[..., Path], memory: str) -> None:
    whole = two_cores(example_elf("two_cores", memory))
    end = whole.run(max_cycles=10_000_000)
    parts = two_cores(example_elf("two_cores", memory))
    step = 1
    while (stop := parts.run(max_cycles=step)).reason == "max_cycles":
        step = step * 3 % 1009
    assert (stop.r0, stop.cycles, stop.instructions) == (end.r0, end.cycles, end.instructions)
    core1 = slice(layout.CORE_STRIDE, layout.CORE_STRIDE + layout.LINE)
    assert list(parts.chip.S[core1]) == list(whole.chip.S[core1])
