"""Bank contention: a bank of the SRAM serves one core a cycle, and the leading core goes first (decision 0043)."""

from __future__ import annotations

import struct

import pytest

from firmware_sim.rp2040 import Board, banks, layout
from firmware_sim.rp2040.compiled import OPTIONS
from shared.jit import jit

BASE = 0x20000000
PAIRS, ROUNDS = 8, 400
ALONE = ROUNDS * (PAIRS * 6 + 3) - 1  # cycles of a loop
# Each core: `ldm r0!, {r3-r6}; subs r0, #16` PAIRS times, `subs r2, #1`, `bne`, at the end BKPT; from the two small
# banks, where the fetches do not meet the data. (Single loads do not do: after one wait the cores alternate.)
CODE0, CODE1 = 0x20040000, 0x20041000


def two_loops(data0: int, data1: int, *, code1: int = CODE1) -> Board:
    """Both cores load the words at their data address again and again."""
    loop = [0xC878, 0x3810] * PAIRS + [0x3A01, 0xD100 | (0xFE - 2 * PAIRS - 1), 0xBE00]
    table = struct.pack("<64I", BASE + 0x10000, CODE0 | 1, *[0] * 62)
    board = Board(native=False)
    board.load(table, address=BASE)
    for code in (CODE0, code1):
        board.write_memory(code, struct.pack(f"<{len(loop)}H", *loop))
    S, core1 = board.chip.S, layout.CORE_STRIDE
    S[0], S[2], S[layout.PC] = data0, ROUNDS, CODE0
    S[core1 + 0], S[core1 + 2], S[core1 + layout.PC] = data1, ROUNDS, code1
    S[core1 + layout.SP], S[core1 + layout.SLEEPING] = BASE + 0x18000, 0
    return board


@pytest.mark.parametrize(("address", "bank"), [(BASE, 0), (BASE + 4, 1), (BASE + 0x3FFFC, 3), (BASE + 0x40010, 4)])
def test_banks_of_the_striped_alias(address: int, bank: int) -> None:
    assert banks.bank_of.py_func(address) == bank  # type: ignore[attr-defined]


@pytest.mark.parametrize(("address", "bank"), [(0x21000000, 0), (0x21000004, 0), (0x21010000, 1), (0x2103FFFC, 3)])
def test_banks_of_the_unstriped_alias(address: int, bank: int) -> None:
    assert banks.bank_of.py_func(address) == bank  # type: ignore[attr-defined]


def duration(board: Board) -> int:
    """Cycles until the first of the loops is done; both take about the same."""
    stop = board.run(max_cycles=1_000_000)
    assert stop.reason == "bkpt"
    return stop.cycles


def test_the_same_bank_costs_and_different_banks_do_not() -> None:
    """Two cores that want four words in six cycles from one bank get them in eight, by turns."""
    assert duration(two_loops(0x21000000, 0x21010000)) <= ALONE + 8
    same = duration(two_loops(0x21000000, 0x21000100))
    assert 1.25 * ALONE < same < 1.4 * ALONE


def test_code_in_the_same_bank_contends_too() -> None:
    for start, waits in ((0x20040200, 1), (0x20041200, 0)):
        board = two_loops(BASE, BASE)
        for code in (0x20040100, start):
            board.write_memory(code, struct.pack("<41H", *[0xBF00] * 40, 0xBE00))
        S, core1 = board.chip.S, layout.CORE_STRIDE
        S[layout.PC], S[core1 + layout.PC] = 0x20040100, start
        board.run(max_cycles=1000)
        assert S[core1 + layout.CYCLES] - S[core1 + layout.INSTRUCTIONS] == waits  # all take one cycle
        assert S[layout.CYCLES] == S[layout.INSTRUCTIONS] == 40


def test_a_core_alone_waits_for_nobody() -> None:
    board = two_loops(BASE + 0x1000, BASE + 0x1000)
    board.chip.S[layout.CORE_STRIDE + layout.SLEEPING] = layout.SLEEP_WFE
    assert duration(board) == ALONE


@jit(cache=False, **OPTIONS)
def three_masters(S: layout.State, address: int, cycle: int) -> int:
    """Both cores use bank 1, one after the other; how long the DMA waits."""
    banks.log_bank(S, 0, 1, 1000)
    banks.log_bank(S, layout.CORE_STRIDE, 1, 1001)
    return banks.bank_access(S, address, cycle)


@pytest.mark.parametrize(("address", "wait"), [(BASE + 4, 2), (BASE + 8, 0), (0x40000000, 0)])
def test_the_dma_waits_for_the_cores(address: int, wait: int) -> None:
    assert three_masters(Board().chip.S, address, 1000) == wait
