"""Bank contention: a bank of the SRAM serves one core a cycle, and the leading core goes first (decision 0043)."""

from __future__ import annotations

import struct

import pytest

from firmware_sim.rp2040 import Board, banks, layout
from firmware_sim.rp2040.compiled import entry_point
from firmware_sim.rp2040.native.enter import CYCLES_OF_TWO
from firmware_sim.rp2040.native.translator import Sampling, Translator
from firmware_sim.rp2040.native.worker import translate

BASE = 0x20000000
PAIRS, ROUNDS = 8, 400
ALONE = ROUNDS * (PAIRS * 6 + 3) - 1  # cycles of a loop
# Each core: `ldm r0!, {r3-r6}; subs r0, #16` PAIRS times, `subs r2, #1`, `bne`, at the end BKPT; from the two small
# banks, where the fetches do not meet the data. (Single loads do not do: after one wait the cores alternate.)
CODE0, CODE1 = 0x20040000, 0x20041000


def two_loops(data0: int, data1: int, *, code1: int = CODE1, rounds: int = ROUNDS) -> Board:
    """Both cores load the words at their data address again and again."""
    loop = [0xC878, 0x3810] * PAIRS + [0x3A01, 0xD100 | (0xFE - 2 * PAIRS - 1), 0xBE00]
    table = struct.pack("<64I", BASE + 0x10000, CODE0 | 1, *[0] * 62)
    board = Board(native=False)
    board.load(table, address=BASE)
    for code in (CODE0, code1):
        board.write_memory(code, struct.pack(f"<{len(loop)}H", *loop))
    S, core1 = board.chip.S, layout.CORE_STRIDE
    S[0], S[2], S[layout.PC] = data0, rounds, CODE0
    S[core1 + 0], S[core1 + 2], S[core1 + layout.PC] = data1, rounds, code1
    S[core1 + layout.SP], S[core1 + layout.SLEEPING] = BASE + 0x18000, 0
    return board


@pytest.mark.parametrize(("address", "bank"), [(BASE, 0), (BASE + 4, 1), (BASE + 0x3FFFC, 3), (BASE + 0x40010, 4)])
def test_banks_of_the_striped_alias(address: int, bank: int) -> None:
    assert banks.bank_of(address) == bank


@pytest.mark.parametrize(("address", "bank"), [(0x21000000, 0), (0x21000004, 0), (0x21010000, 1), (0x2103FFFC, 3)])
def test_banks_of_the_unstriped_alias(address: int, bank: int) -> None:
    assert banks.bank_of(address) == bank


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


@pytest.mark.parametrize(
    ("data0", "data1", "code1"),
    [
        (BASE + 0x20000, BASE + 0x30004, 0x20040100),
        (0x20040800, 0x20041800, 0x20040100),
        (0x21000000, 0x21000100, CODE1),
    ],
)
def test_fast_mode_waits_for_banks_as_the_exact_one(data0: int, data1: int, code1: int) -> None:
    """Interpreted and translated. In the unstriped alias nothing is translated."""
    ends = []
    for kind in ("exact", "interpreted", "translated"):
        board = two_loops(data0, data1, code1=code1, rounds=5000)
        board.chip.S[layout.INTERLEAVING] = kind != "exact"
        if kind == "translated":
            board.native = Translator(
                board.chip,
                lambda region, kind, done: done(region, kind, translate(region, kind)),
                Sampling(first_cycles=211, last_cycles=977, samples=16, least=1),
            )
        assert board.run(max_cycles=240_000).reason == "max_cycles"
        S = board.chip.S
        assert S[layout.FAST_STALLS] == 0
        kept = [*range(layout.PC + 1), layout.CYCLES, layout.INSTRUCTIONS]
        ends.append([S[core : core + 64][kept].tolist() for core in (0, layout.CORE_STRIDE)])
    assert ends[0] == ends[1] == ends[2]
    gained = board.chip.mem.natives.reshape(-1, layout.NATIVE_ROW)[1:, CYCLES_OF_TWO].sum()
    assert gained > 100_000 or data0 == 0x21000000


def test_a_core_alone_waits_for_nobody() -> None:
    board = two_loops(BASE + 0x1000, BASE + 0x1000)
    board.chip.S[layout.CORE_STRIDE + layout.SLEEPING] = layout.SLEEP_WFE
    assert duration(board) == ALONE


@entry_point
def three_masters(S: layout.State, address: int, cycle: int) -> int:
    """Both cores use bank 1, one after the other; how long the DMA waits."""
    banks.log_bank(S, 0, 1, 1000)
    banks.log_bank(S, layout.CORE_STRIDE, 1, 1001)
    start = cycle
    while not banks.dma_takes(S, address, cycle):
        cycle += 1
    return cycle - start


@pytest.mark.parametrize(("address", "wait"), [(BASE + 4, 2), (BASE + 8, 0), (0x40000000, 0)])
def test_the_dma_waits_for_the_cores(address: int, wait: int) -> None:
    assert three_masters(Board().chip.S, address, 1000) == wait
