"""Breakpoints and hooks: exact, in flash and SRAM, in code that changes itself, and without any effect on the run."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from firmware_sim.rp2040 import Board
from shared.errors import BadInputError

PROGRAMS = Path(__file__).parent / "programs"
SRAM = 0x20000000


def program(*halves: int) -> bytes:
    """Vector table and code at 0x20000010."""
    return struct.pack("<4I", 0x20040000, 0x20000011, 0, 0) + struct.pack(f"<{len(halves)}H", *halves)


# movs r0, #0; loop: adds r0, #1; nop; cmp r0, #5; bne loop; bkpt 0
LOOP = program(0x2000, 0x3001, 0xBF00, 0x2805, 0xD1FB, 0xBE00)
ADDS, NOP = SRAM + 0x12, SRAM + 0x14


def loaded(data: bytes = LOOP) -> Board:
    board = Board()
    board.load(data, address=SRAM)
    return board


def test_a_breakpoint_stops_before_its_instruction_each_time() -> None:
    board = loaded()
    point = board.breakpoint(NOP)
    seen = []
    while (stop := board.run(max_cycles=1000)).reason == "breakpoint":
        assert stop.pc == NOP
        seen.append(stop.r0)
    assert seen == [1, 2, 3, 4, 5]
    assert (stop.reason, stop.immediate) == ("bkpt", 0)
    plain = loaded()
    assert plain.run(max_cycles=1000) == stop
    point.remove()
    point.remove()
    board.reset()
    assert board.run(max_cycles=1000).reason == "bkpt"


def test_a_breakpoint_at_the_first_instruction_is_seen() -> None:
    board = loaded()
    board.breakpoint(SRAM + 0x11)  # bit 0 as in a vector
    assert board.run(max_cycles=1000).cycles == 0
    assert board.run(max_cycles=1000).reason == "bkpt"


def test_hooks_see_and_change_registers_and_may_stop() -> None:
    board = loaded()
    calls: list[int] = []

    def double(board: Board) -> bool:
        calls.append(board.registers["r0"])
        board.set_register("r0", 4)
        return len(calls) == 2

    board.hook(NOP, double)
    stop = board.run(max_cycles=1000)
    assert (stop.reason, stop.r0, calls) == ("hook", 4, [1, 5])
    assert board.run(max_cycles=1000).reason == "max_cycles"  # r0 is 4 before each comparison


def test_a_hook_that_moves_the_pc_skips_the_instruction() -> None:
    board = loaded()
    board.hook(ADDS, lambda board: board.set_register("pc", SRAM + 0x1A))
    stop = board.run(max_cycles=1000)
    assert (stop.reason, stop.r0, stop.cycles) == ("bkpt", 0, 1)


def test_two_points_at_one_place() -> None:
    board = loaded()
    calls: list[int] = []
    board.hook(NOP, lambda board: calls.append(board.cycles))
    point = board.breakpoint(NOP)
    assert board.run(max_cycles=1000).reason == "breakpoint"
    point.remove()
    assert board.run(max_cycles=1000).reason == "bkpt"
    assert len(calls) == 5


def test_a_breakpoint_survives_a_store_over_its_instruction() -> None:
    # ldr r1, =0x20000020; movs r2, #42; strb r2, [r1]; (barrier-free) b 0x20000020; at 0x20000020: movs r0, #7; bkpt 0
    code = program(0x4902, 0x222A, 0x700A, 0xE003, 0xBF00, 0xBF00, 0x0020, 0x2000, 0x2007, 0xBE00)
    target = SRAM + 0x20
    plain = loaded(code)
    assert plain.run(max_cycles=100).r0 == 42
    board = loaded(code)
    board.breakpoint(target)
    stop = board.run(max_cycles=100)
    assert (stop.reason, stop.pc) == ("breakpoint", target)
    assert board.run(max_cycles=100).r0 == 42


def test_breakpoints_in_flash_hold_after_restore_and_reset_and_cost_no_cycle() -> None:
    plain = Board()
    plain.load(PROGRAMS / "echo.elf")
    expected = plain.run(until_text="ready\n", max_cycles=1_000_000)
    board = Board()
    board.load(PROGRAMS / "echo.elf")
    fresh = board.snapshot()
    calls: list[int] = []
    board.hook(0x10000200, lambda board: calls.append(board.pc))
    stops = []
    for action in (lambda: None, lambda: board.restore(fresh), board.reset):
        action()
        stops.append(board.run(until_text="ready\n", max_cycles=1_000_000))
    assert stops[0] == stops[1] == expected
    assert (stops[2].reason, stops[2].cycles) == ("text", expected.cycles)
    assert len(calls) % 3 == 0
    assert calls


def test_no_code_can_be_there() -> None:
    with pytest.raises(BadInputError, match="no code can be at 0x40000000"):
        loaded().breakpoint(0x40000000)


# movs r0, #0; movs r1, #100; lsls r1, #8 (25,600)
# loop: adds r0, #1; nop; eors r2, r0; cmp r0, r1; bne loop; movs r0, #0; b loop
HOT = program(0x2000, 0x2164, 0x0209, 0x3001, 0xBF00, 0x4042, 0x4288, 0xD1FA, 0x2000, 0xE7F8)


@pytest.mark.parametrize("first_cycles", [0, 3_000_000])
def test_hooks_in_translated_code_are_called_each_time(first_cycles: int) -> None:
    """Before the translation and after it: a place that is passed once in 25,600 rounds, and a breakpoint inside."""
    plain = loaded(HOT)
    plain.run(until_cycle=first_cycles + 1_500_000)
    board = loaded(HOT)
    board.run(until_cycle=first_cycles)
    if first_cycles and board.native is not None:
        for _ in range(100):
            if board.native.installed:
                break
            time.sleep(0.05)  # the translator works in another thread
            board.run(max_cycles=0)
    calls: list[int] = []
    board.hook(SRAM + 0x20, lambda board: calls.append(board.cycles))
    board.run(until_cycle=first_cycles + 1_500_000)
    assert board.registers == plain.registers
    assert board.cycles == plain.cycles
    assert len(calls) in (9, 10)
    point = board.breakpoint(SRAM + 0x1A)
    assert [board.run(max_cycles=1000).reason for _ in range(5)] == ["breakpoint"] * 5
    point.remove()
    assert board.run(max_cycles=100_000).reason == "max_cycles"
