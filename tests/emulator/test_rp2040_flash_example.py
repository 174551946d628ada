"""examples/flash_write: a counter in flash, its file from run to run, and power cuts at every kind of moment."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware_sim.rp2040 import Board
from firmware_sim.rp2040.cli import app

WHOLE_RUN = 40_000_000  # cycles, more than the example needs


@pytest.fixture
def elf(example_elf: Callable[..., Path]) -> Path:
    return example_elf("flash_write")


def values(text: bytes, word: str) -> list[int]:
    """Numbers of the complete lines that begin with `word`."""
    lines = [line.split() for line in bytes(text).decode(errors="replace").split("\n")[:-1]]
    return [int(line[1]) for line in lines if len(line) == 2 and line[0] == word and line[1].isdigit()]


def test_counts_through_both_sectors_with_real_times(elf: Path) -> None:
    board = Board()
    board.load(elf)
    stop = board.run(max_cycles=WHOLE_RUN)
    assert (stop.reason, stop.r0, stop.faults, board.warnings) == ("bkpt", 40, [], [])
    assert values(board.uart0.sent, "stored") == list(range(1, 41))
    assert stop.cycles > 125_000 * (3 * 45 + 40 * 0.4)  # three erases, forty pages
    board.reset()
    assert board.run(max_cycles=WHOLE_RUN).r0 == 80


def test_the_command_keeps_the_flash_in_a_file(elf: Path, tmp_path: Path) -> None:
    for expected in (40, 80):
        arguments = ["run", str(elf), "--flash", str(tmp_path / "flash.img"), "--json", "--max-cycles", str(WHOLE_RUN)]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["r0"] == expected


def test_no_power_cut_loses_the_counter(elf: Path) -> None:
    """Cuts at random, half of them while the flash is busy; what was reported as stored is found again."""
    rng = random.Random(11)
    board = Board()
    board.load(elf)
    reported, torn = 0, 0
    for number in range(60):
        board.faults.clear(seed=number)
        board.uart0.sent.clear()
        board.run(max_cycles=rng.randrange(300_000, 12_000_000))
        if number % 2:
            for _ in range(2_000):
                if board.flash.busy or board.run(max_cycles=997).reason != "max_cycles":
                    break
            board.run(max_cycles=rng.randrange(1, 45_000))  # a page takes 50,000 cycles
        torn += board.flash.busy
        board.faults.power_cut()
        sent = bytes(board.uart0.sent)
        for found in values(sent, "found"):
            assert reported <= found <= reported + 1, f"cut {number}: {reported} was stored, {found} is found"
        reported = max([reported, *values(sent, "found"), *values(sent, "stored")])
        board.power_on()
    assert torn >= 20
    assert reported > 100
