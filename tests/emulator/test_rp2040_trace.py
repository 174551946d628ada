"""The last instructions before a stop: which, with which registers, and nothing of it changes the run."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_sim.rp2040 import Board, Profile, Trace
from shared.errors import BadInputError

CALLS = Path(__file__).parent / "programs" / "calls.elf"
SRAM = 0x20000000
# movs r0, #0; loop: adds r0, #1; cmp r0, #100; bne loop; movs r1, #3; ldr r2, [r1]: unaligned, and no handler
FAULT = struct.pack("<4I", 0x20040000, 0x20000011, 0, 0) + struct.pack(
    "<6H", 0x2000, 0x3001, 0x2864, 0xD1FC, 0x2103, 0x680A
)


def loaded(source: Path | bytes) -> Board:
    board = Board()
    board.load(source, address=SRAM)
    return board


def test_the_ring_ends_with_the_fault() -> None:
    board = loaded(FAULT)
    with Trace(board, 5) as trace:
        stop = board.run(max_cycles=10_000)
    assert stop.reason == "lockup"
    assert stop.fault is not None
    entries = list(trace.entries())
    assert [entry["address"] - SRAM for entry in entries] == [0x12, 0x14, 0x16, 0x18, 0x1A]
    assert [entry["registers"]["r0"] for entry in entries] == [99, 100, 100, 100, 100]
    assert entries[-1]["address"] == stop.fault.pc
    assert entries[-1]["registers"] == stop.fault.registers
    assert loaded(FAULT).run(max_cycles=10_000) == stop


def test_every_instruction_is_there_in_order() -> None:
    board = loaded(CALLS)
    with Trace(board, 5000) as trace:
        stop = board.run(max_cycles=100_000)
    entries = list(trace.entries())
    ran = [entry for entry in entries if "asleep" not in entry["text"] and "host" not in entry["text"]]
    assert len(ran) == stop.instructions
    cycle = 0
    for entry in entries:
        assert entry["cycle"] == cycle, entry
        cycle += entry["cycles"]
    assert cycle == stop.cycles


def test_lines_name_what_ran_and_what_changed() -> None:
    board = loaded(CALLS)
    with Trace(board, 8) as trace:
        board.run(max_cycles=100_000)
    text = "\n".join(trace.lines())
    assert "b      #0x20000262  ; main+0x4e" in text
    assert "r3 00000005" in text
    board = loaded(CALLS)
    with Trace(board, 3000) as trace:
        board.run(max_cycles=100_000)
    text = "\n".join(trace.lines())
    assert "bx     lr; exception 14 to 0x200000d4" in text  # tail-chaining


def test_what_a_hook_does_is_in_the_trace() -> None:
    board = loaded(CALLS)
    board.hook("not_called", print)  # never reached
    board.hook("rom_popcount", lambda board: board.set_register("pc", board.registers["lr"]))
    with Trace(board, 3000) as trace:
        stop = board.run(max_cycles=100_000)
    (entry,) = [entry for entry in trace.entries() if entry["text"] == "done by the host"]
    assert (entry["symbol"], entry["cycles"]) == ("rom_popcount", 0)
    assert stop.reason == "bkpt"


def test_a_profile_goes_on_under_a_trace() -> None:
    board = loaded(CALLS)
    with Profile(board) as profile, Trace(board, 4) as trace:
        stop = board.run(max_cycles=100_000)
    assert profile.total_cycles == stop.cycles
    assert len(list(trace.entries())) == 4


def test_lengths() -> None:
    with pytest.raises(BadInputError, match="keeps 1 to 1048576 instructions, not 0"):
        Trace(loaded(FAULT), 0)


def test_command() -> None:
    command = [sys.executable, "-m", "shared.cli", "emu", "trace", str(CALLS), "--last", "6"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [len(result["trace"]), result["stop_reason"]] == [6, "bkpt"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.splitlines()[-1].endswith("main+0x52")
