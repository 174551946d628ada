"""Cores and the DMA at one bank of the SRAM: scenes whose cycles are worked out by hand (decision 0087)."""

from __future__ import annotations

import random
import struct

import pytest

from firmware_sim.rp2040 import Board, layout
from firmware_sim.rp2040.blocks import dma_layout as d

BASE, STACK = 0x20000000, 0x20020000
CODE0, CODE1 = 0x20040000, 0x20041000  # in banks 4 and 5: fetches meet nobody
BANK0, BANK1 = 0x21000000, 0x21010000  # unstriped: every word of 64 KB in one bank
NOP, BKPT, LOOP = 0xBF00, 0xBE00, 0xE7FE
TRIGGER = 0x6001  # str r1, [r0] to CH0_CTRL_TRIG: two cycles
LDM_4, LDR = 0xCA78, 0x6813  # ldm r2!, {r3-r6}; ldr r3, [r2]
CTRL = d.EN | 2 << d.DATA_SIZE_SHIFT | d.TREQ_PERMANENT << d.TREQ_SEL_SHIFT
PROC0, PROC1, DMA_R, DMA_W = 0x1, 0x10, 0x100, 0x1000
BUS_PRIORITY = 0x40030000
SETTLED = 12  # NOPs behind the trigger, then the DMA reads and writes in every cycle


def scene(code: list[int], *, transfers: int, priority: int = 0, fast: bool = False, control: int = CTRL) -> Board:
    """Core 0 runs `code` and a BKPT; channel 0 is set up to read from bank 0 and to write to bank 1, one word each."""
    board = Board(native=False, fast=fast)
    board.load(struct.pack("<64I", STACK, CODE0 | 1, *[0] * 62), address=BASE)
    board.write_memory(CODE0, struct.pack(f"<{len(code) + 1}H", *code, BKPT))
    board.chip.resets.release("DMA", "BUSCTRL")
    S = board.chip.S
    S[0], S[1], S[2], S[layout.PC] = 0x5000000C, control, BANK0 + 0x100, CODE0
    S[layout.DMA + d.READ_ADDR], S[layout.DMA + d.WRITE_ADDR] = BANK0, BANK1
    S[layout.DMA + d.RELOAD] = transfers
    board.chip.blocks["BUSCTRL"].write("BUS_PRIORITY", priority, 0)
    return board


def cycles(board: Board) -> int:
    assert board.run(max_cycles=100_000).reason == "bkpt"
    return int(board.chip.S[layout.CYCLES])


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(
    ("priority", "waits"),
    [
        (0, 3),  # by turns: the DMA had the bank last, so the core has the first word, then every second cycle
        (PROC0, 0),  # the core first
        (PROC0 | DMA_R, 3),  # by turns
        (PROC1 | DMA_W, 3),  # neither reads with core 0
    ],
)
def test_four_words_from_the_bank_that_the_dma_reads(priority: int, waits: int, fast: bool) -> None:
    """A core that wants the bank in four cycles running, a DMA that wants it in all."""
    board = scene([TRIGGER, *[NOP] * SETTLED, LDM_4], transfers=1000, priority=priority, fast=fast)
    assert cycles(board) == 2 + SETTLED + 5 + waits


def test_a_dma_of_high_priority_lets_nobody_in_until_it_is_done() -> None:
    transfers = 100
    board = scene([TRIGGER, *[NOP] * SETTLED, LDR], transfers=transfers, priority=DMA_R)
    # Reads take the cycles 3 .. 3 + transfers - 1 after the trigger's; the load gets the next, and ends with it.
    assert cycles(board) == 3 + transfers + 1


def test_single_loads_halve_what_the_dma_moves() -> None:
    """A load wants the bank in every second cycle, and gets it: the DMA had it last."""
    loads = 40
    free = scene([TRIGGER, *[NOP] * (SETTLED + 2 * loads)], transfers=1000)
    busy = scene([TRIGGER, *[NOP] * SETTLED, *[LDR] * loads], transfers=1000)
    assert cycles(free) == cycles(busy) == 2 + SETTLED + 2 * loads
    for board in (free, busy):
        board.chip.catch_up()
    moved = [1000 - int(board.chip.S[layout.DMA + d.COUNT]) for board in (free, busy)]
    assert moved[0] - moved[1] in (loads - 1, loads)  # the last load's turn is not over


def test_writes_of_the_dma_are_waited_for_too() -> None:
    board = scene([TRIGGER, *[NOP] * SETTLED, LDM_4], transfers=1000)
    board.chip.S[2] = BANK1 + 0x100
    assert cycles(board) == 2 + SETTLED + 5 + 3


def test_other_banks_cost_nothing() -> None:
    board = scene([TRIGGER, *[NOP] * SETTLED, LDM_4], transfers=1000)
    board.chip.S[2] = 0x21020100
    assert cycles(board) == 2 + SETTLED + 5


@pytest.mark.parametrize("word", [0, 9, 50, 63])
def test_a_core_that_polls_memory_sees_each_word_when_it_is_written(word: int) -> None:
    """Word n of a copy is read in cycle 3 + n behind the trigger and written two cycles later, or a poll in its way."""
    poll = [0x6813, 0x2B00, 0xD0FC]  # again: ldr r3, [r2]; cmp r3, #0; beq again: five cycles, the load's in its second
    board = scene([TRIGGER, *poll], transfers=64, control=CTRL | d.INCR_READ | d.INCR_WRITE)
    S = board.chip.S
    S[layout.DMA + d.READ_ADDR], S[layout.DMA + d.WRITE_ADDR] = BASE + 0x4000, BASE + 0x8000
    board.write_memory(BASE + 0x4000, b"\x01" * 256)
    S[2] = BASE + 0x8000 + 4 * word
    end = cycles(board)
    loaded = end - 2 - 1  # cmp, beq not taken; the load's last cycle
    written = 3 + word + 2
    assert written - 1 <= loaded <= written + 5 + word // 3


def test_the_core_of_high_priority_leads() -> None:
    """Both cores want the same four words of six cycles; see test_rp2040_contention.py."""
    rounds = 400
    loop = [0xC878, 0x3810] * 8 + [0x3A01, 0xD100 | (0xFE - 17), BKPT]
    for priority, first in ((PROC0, 0), (PROC1, 1), (PROC0 | PROC1, None)):
        board = Board(native=False)
        board.load(struct.pack("<64I", STACK, CODE0 | 1, *[0] * 62), address=BASE)
        board.chip.resets.release("BUSCTRL")
        board.chip.blocks["BUSCTRL"].write("BUS_PRIORITY", priority, 0)
        S = board.chip.S
        for core, code in ((0, CODE0), (layout.CORE_STRIDE, CODE1)):
            board.write_memory(code, struct.pack(f"<{len(loop)}H", *loop))
            S[core], S[core + 2], S[core + layout.PC], S[core + layout.SLEEPING] = BANK0, rounds, code, 0
        stop = board.run(max_cycles=1_000_000)
        alone = rounds * (8 * 6 + 3) - 1
        if first is None:
            assert stop.cycles > 1.25 * alone
        else:
            assert stop.core == first
            assert int(S[first * layout.CORE_STRIDE + layout.CYCLES]) == alone


def program(rng: random.Random) -> list[int]:
    """Loads and stores of one and of four words at r2, in a loop without end."""
    body = [rng.choice([LDR, 0x6053, 0xCA78, 0xC278, NOP, 0x3A10]) for _ in range(20)]
    return [*body, 0x1C3A, 0xE000 | ((-len(body) - 3) & 0x7FF)]  # adds r2, r7, #0; b


def two_with_dma(seed: int, *, fast: bool) -> Board:
    """Both cores and a copy without end through two channels that start each other."""
    rng = random.Random(seed)
    board = scene([TRIGGER, *program(rng)], transfers=rng.randrange(5, 90), fast=fast)
    S, core1 = board.chip.S, layout.CORE_STRIDE
    second = program(rng)
    board.write_memory(CODE1, struct.pack(f"<{len(second)}H", *second))
    S[core1 + layout.PC], S[core1 + layout.SLEEPING] = CODE1, 0
    for core in (0, core1):
        S[core + 2] = S[core + 7] = rng.choice([BASE + 0x1000, BANK0 + 0x400, BANK1 + 0x400])
    S[1] = CTRL | 1 << d.CHAIN_TO_SHIFT | rng.choice([0, d.INCR_READ | d.INCR_WRITE])
    other = layout.DMA + d.CHANNEL_STRIDE
    S[other + d.CTRL] = CTRL | 0 << d.CHAIN_TO_SHIFT | rng.choice([0, d.INCR_READ])
    S[other + d.READ_ADDR], S[other + d.WRITE_ADDR] = BASE + 0x8000, BASE + 0xC000
    S[other + d.RELOAD] = rng.randrange(5, 90)
    S[layout.BUS_PRIORITY] = rng.choice([0, 0, PROC0, PROC1, DMA_R, DMA_W, PROC1 | DMA_W])
    return board


def state(board: Board) -> tuple[list[list[int]], bytes]:
    S = board.chip.S
    kept = [*range(layout.PC + 1), layout.CYCLES, layout.INSTRUCTIONS]
    return [S[core : core + 64][kept].tolist() for core in (0, layout.CORE_STRIDE)], board.chip.mem.bytes.tobytes()


@pytest.mark.parametrize("seed", range(6))
def test_modes_agree_and_where_a_run_is_interrupted_changes_nothing(seed: int) -> None:
    whole, fast, parts = two_with_dma(seed, fast=False), two_with_dma(seed, fast=True), two_with_dma(seed, fast=False)
    end = 90_000 if seed == 0 else 6000
    for board in (whole, fast):
        assert board.run(until_cycle=end).reason == "max_cycles"
    rng = random.Random(seed)
    while parts.cycles < end:
        parts.run(until_cycle=min(end, parts.cycles + rng.choice((1, 2, 3, 50, 700))))
    for board in (whole, fast, parts):
        board.chip.catch_up()
    assert state(whole) == state(parts)
    assert state(whole) == state(fast)
    assert fast.chip.S[layout.FAST_STALLS] == 0
