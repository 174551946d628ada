"""Snapshots, boards side by side, boards in other processes: each result equals that of a board alone."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from firmware_sim.rp2040 import Board, Stop, layout
from firmware_sim.rp2040.layout import FLASH_BASE, SRAM_BASE

PROGRAMS = Path(__file__).parent / "programs"
NAMES = ("newlib.elf", "echo.elf", "exceptions.elf", "alarm.elf")


def loaded(name: str) -> Board:
    board = Board()
    board.load(PROGRAMS / name)
    return board


def finish(board: Board) -> Stop:
    """Run a board to its end."""
    return board.run(bkpt_log=True, until_cycle=3_000_000)


def from_file(name: str) -> tuple[Stop, bytes]:
    """What a worker process does with a file."""
    board = loaded(name)
    return finish(board), bytes(board.uart0.sent)


def continued(board: Board) -> tuple[Stop, bytes]:
    """What a worker process does with a board that it was sent."""
    return finish(board), bytes(board.uart0.sent)


def same(a: Board, b: Board) -> None:
    """Whether two boards hold the same state, but for where their own functions are."""
    left, right = a.snapshot(), b.snapshot()
    assert np.array_equal(a.chip.S[: layout.ADDRESSES], b.chip.S[: layout.ADDRESSES])
    assert (left.chip.memory == right.chip.memory).all()
    assert left.chip.blocks == right.chip.blocks
    assert left.parts == right.parts


def test_restore_gives_the_same_run_again() -> None:
    board = loaded("echo.elf")
    board.run(until_text="ready\n", max_cycles=1_000_000)
    saved = board.snapshot()
    board.uart0.write(b"Hello q")
    first, sent = board.run(max_cycles=10_000_000), bytes(board.uart0.sent)
    board.restore(saved)
    assert board.uart0.sent == b"ready\n"
    board.uart0.write(b"Hello q")
    assert (board.run(max_cycles=10_000_000), bytes(board.uart0.sent)) == (first, sent)


def test_restore_into_another_board_with_other_firmware() -> None:
    board = loaded("newlib.elf")
    board.run(max_cycles=50_000)
    saved = board.snapshot()
    expected = finish(board)
    other = loaded("echo.elf")
    other.run(max_cycles=200_000)
    other.restore(saved)
    assert finish(other) == expected
    same(other, board)


def test_code_that_changed_since_the_snapshot_is_decoded_anew() -> None:
    board = Board()
    board.load(b"\x00\x00\x04\x20\x11\x00\x00\x20" + bytes(8) + b"\x01\x20\x00\xbe", address=SRAM_BASE)
    saved = board.snapshot()
    assert board.run(max_cycles=10).r0 == 1
    board.restore(saved)
    board.write_memory(SRAM_BASE + 0x10, b"\x02\x20")
    assert board.run(max_cycles=10).r0 == 2
    board.restore(saved)
    assert board.run(max_cycles=10).r0 == 1


def test_a_snapshot_does_not_change_afterwards() -> None:
    board = loaded("newlib.elf")
    saved = board.snapshot()
    copy = pickle.dumps(saved)
    finish(board)
    board.write_memory(FLASH_BASE, b"\0" * 64)
    assert pickle.dumps(saved) == copy


@pytest.mark.parametrize("slice_cycles", [997, 20_000])
def test_boards_in_turns_run_as_alone(slice_cycles: int) -> None:
    alone = {name: from_file(name) for name in NAMES}
    boards = {name: loaded(name) for name in NAMES}
    events: dict[str, list[object]] = {name: [] for name in NAMES}
    running = set(NAMES)
    while running:
        for name in sorted(running):
            stop = boards[name].run(bkpt_log=True, max_cycles=min(slice_cycles, 3_000_000 - boards[name].cycles))
            events[name] += stop.events
            if stop.reason != "max_cycles" or boards[name].cycles >= 3_000_000:
                running.remove(name)
    for name, (stop, sent) in alone.items():
        board = boards[name]
        assert (board.cycles, board.instructions, board.pc) == (stop.cycles, stop.instructions, stop.pc), name
        assert (events[name], bytes(board.uart0.sent)) == (stop.events, sent)


def test_boards_over_processes_run_as_here() -> None:
    here = [from_file(name) for name in NAMES]
    boards = [loaded(name) for name in NAMES]
    for board in boards:
        board.run(until_cycle=1000, bkpt_log=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(from_file, NAMES)) == here
        for (stop, sent), (expected, all_sent) in zip(pool.map(continued, boards), here, strict=True):
            assert (stop.cycles, stop.r0, sent) == (expected.cycles, expected.r0, all_sent)


def test_a_pickled_board_is_the_board() -> None:
    board = loaded("newlib.elf")
    board.run(max_cycles=100_000)
    board.breakpoint(board.pc)
    copy = pickle.loads(pickle.dumps(board))  # noqa: S301
    same(board, copy)
    assert finish(copy).reason == "bkpt"


def test_a_pickled_board_keeps_how_it_was_made(tmp_path: Path) -> None:
    image = tmp_path / "flash.img"
    board = Board(flash=image, rom_version=1, native=False, strict=True, fast=True)
    board.load(PROGRAMS / "echo.elf")
    copy = pickle.loads(pickle.dumps(board))  # noqa: S301 the file is in use: the copy does without
    assert (copy.native, copy.chip.remarks.strict, copy.chip.S[layout.INTERLEAVING]) == (None, True, 1)
    assert copy.flash.path is None
    kept = image.read_bytes()
    assert copy.flash.read(0, 4096) == kept[:4096]
    copy.flash.erase()
    assert image.read_bytes() == kept
    again = pickle.loads(pickle.dumps(copy))  # noqa: S301
    assert again.read_memory(0, layout.ROM_SIZE) == Board(rom_version=1).read_memory(0, layout.ROM_SIZE)
