"""The short ways into exceptions, out of them and through sleep: exactly what the general code does."""

from __future__ import annotations

import random

import numpy as np
import pytest

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.bench import SLEEPER, image
from firmware_sim.rp2040.board import Board

RELOAD = (12499).to_bytes(4, "little")
CYCLES = 60_000
UNUSED_LINE = 1 << 25


def sleeper(reload: int, *, short: bool) -> Board:
    """A chip that sleeps between SysTicks. An NMI mask without its line and an idle nPRIV bar the short ways."""
    board = Board(native=False)
    board.load(image(SLEEPER.replace(RELOAD, reload.to_bytes(4, "little"))), address=layout.SRAM_BASE)
    if not short:
        board.chip.S[layout.NMI_MASK], board.chip.S[layout.CONTROL] = UNUSED_LINE, 1
    return board


def state(board: Board) -> tuple[bytes, bytes]:
    """All that a run changes, without what bars the short ways."""
    words = np.array(board.chip.S[: layout.ADDRESSES])
    words[[layout.NMI_MASK, layout.CONTROL, layout.NEXT_EVENT]] = 0
    return words.tobytes(), np.asarray(board.chip.mem.bytes).tobytes()


@pytest.mark.parametrize("reload", [12499, 997, 60, 45, 30, 20, 12])
def test_short_ways_give_the_state_of_the_general_code(reload: int) -> None:
    short, general = sleeper(reload, short=True), sleeper(reload, short=False)
    short.run(max_cycles=CYCLES)
    general.run(max_cycles=CYCLES)
    assert short.chip.S[8] > 0  # the handler ran
    assert state(short) == state(general)


def test_where_a_run_is_interrupted_changes_nothing() -> None:
    short, general = sleeper(97, short=True), sleeper(97, short=False)
    chance = random.Random(1)
    while short.cycles < CYCLES // 4:
        cycles = chance.randrange(1, 200)
        short.run(max_cycles=cycles)
        general.run(max_cycles=cycles)
        assert short.cycles == general.cycles
        assert state(short) == state(general)
