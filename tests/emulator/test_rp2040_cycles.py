"""Cycles of every class of instruction: Cortex-M0+ TRM (DDI 0484C) table 3-1, with the one-cycle multiplier, and the
bus costs of the RP2040 datasheet 2.1."""

from __future__ import annotations

import struct

import pytest

from firmware_sim.rp2040 import Board

BKPT = 0xBE00
BASE, CODE, DATA = 0x20000000, 0x20000100, 0x20010000
TIMERAWL, SIO_GPIO_OUT, SYST_RVR, PIO0 = 0x40054028, 0xD0000010, 0xE000E014, 0x50200000
FLASH = 0x10000400

# (what, halfwords, cycles, r0): r0 is the address that loads, stores and branches use.
CASES = [
    ("MOVS imm", [0x2101], 1, 0),
    ("MOV high", [0x4688], 1, 0),
    ("ADDS reg", [0x1889], 1, 0),
    ("ADD SP imm", [0xB001], 1, 0),
    ("ADR", [0xA100], 1, 0),
    ("ADCS", [0x4151], 1, 0),
    ("MULS", [0x4351], 1, 0),
    ("CMP", [0x4291], 1, 0),
    ("LSLS imm", [0x0089], 1, 0),
    ("RORS reg", [0x41D1], 1, 0),
    ("SXTB", [0xB249], 1, 0),
    ("REV", [0xBA09], 1, 0),
    ("NOP", [0xBF00], 1, 0),
    ("SEV", [0xBF40], 1, 0),
    ("CPSIE", [0xB662], 1, 0),
    ("MRS", [0xF3EF, 0x8110], 3, 0),
    ("MSR", [0xF381, 0x8810], 3, 0),
    ("DMB", [0xF3BF, 0x8F5F], 3, 0),
    ("DSB", [0xF3BF, 0x8F4F], 3, 0),
    ("ISB", [0xF3BF, 0x8F6F], 3, 0),
    ("LDR SRAM", [0x6801], 2, DATA),
    ("LDRB SRAM", [0x7801], 2, DATA),
    ("LDRH register offset", [0x5A81], 2, DATA),
    ("LDR literal", [0x4900], 2, 0),
    ("LDR flash, not in the cache", [0x6801], 2 + 64, FLASH),
    ("STR SRAM", [0x6001], 2, DATA),
    ("STRB SRAM", [0x7001], 2, DATA),
    ("LDR SIO", [0x6801], 1, SIO_GPIO_OUT),
    ("STR SIO", [0x6001], 1, SIO_GPIO_OUT),
    ("LDR APB", [0x6801], 4, TIMERAWL),
    ("STR APB", [0x6001], 5, 0x40058010),
    ("LDR AHB-Lite", [0x6801], 2, PIO0),
    ("LDR private peripheral bus", [0x6801], 2, SYST_RVR),
    ("LDM 1", [0xC802], 2, DATA),
    ("LDM 4", [0xC81E], 5, DATA),
    ("STM 3", [0xC00E], 4, DATA),
    ("PUSH 1", [0xB402], 2, 0),
    ("PUSH 2 with LR", [0xB502], 3, 0),
    ("POP 3", [0xBC0E], 4, 0),
    ("B", [0xE000, 0xBE01], 2, 0),
    ("BNE taken", [0x2101, 0xD100, 0xBE01], 3, 0),
    ("BNE not taken", [0x2100, 0xD100, BKPT, BKPT], 2, 0),
    ("BL", [0xF000, 0xF800], 3, 0),
    ("BX", [0x4700], 2, CODE + 3),
    ("BLX", [0x4780], 2, CODE + 3),
    ("MOV PC", [0x4687], 2, CODE + 2),
    ("ADD PC", [0x4487, BKPT, BKPT], 2, 0),
    ("WFE after SEV", [0xBF40, 0xBF20], 3, 0),
]


def board_with(halves: list[int], r0: int) -> Board:
    """A board whose code at CODE is `halves` and BKPTs, in SRAM behind a vector table."""
    code = halves + [BKPT] * 8
    table = struct.pack("<64I", 0x20040000, CODE | 1, *[0] * 62)
    board = Board()
    board.load(table + struct.pack(f"<{len(code)}H", *code), address=BASE)
    board.chip.S[0] = r0
    return board


@pytest.mark.parametrize(("what", "halves", "cycles", "r0"), CASES, ids=[case[0] for case in CASES])
def test_cycles(what: str, halves: list[int], cycles: int, r0: int) -> None:
    stop = board_with(halves, r0).run(max_cycles=100)
    assert (stop.reason, stop.cycles) == ("bkpt", cycles), what


def test_pop_pc_counts_every_register_and_the_branch() -> None:
    board = board_with([0xB403, 0xBD02], CODE + 5)  # PUSH {r0, r1}; POP {r1, PC}
    board.chip.S[1] = CODE + 5
    assert board.run(max_cycles=100).cycles == 3 + 5


def test_loop_of_ten_rounds() -> None:
    board = board_with([0x210A, 0x3901, 0xD1FD], 0)  # MOVS r1, #10; SUBS r1, #1; BNE
    stop = board.run(max_cycles=1000)
    assert stop.cycles == 1 + 10 * 3 - 1
    assert stop.instructions == 21


def test_bkpt_log_charges_one_cycle() -> None:
    board = board_with([0xBE05, 0x2103, 0xBE06, 0xBE00], 7)
    stop = board.run(bkpt_log=True)
    assert [(event.immediate, event.r0, event.cycle) for event in stop.events] == [(5, 7, 0), (6, 7, 2), (0, 7, 3)]
    assert (stop.reason, stop.immediate) == ("bkpt", 0)
