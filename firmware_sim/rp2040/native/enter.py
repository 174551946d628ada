"""The table of translated code, and the way from the interpreter into it and out of the table again.

`Memory.natives` holds a row for each entry point; row 0 is the header. It is no part of a snapshot: addresses belong to
the process. The decoded table holds `OP_NATIVE | row << 32` where an entry point is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.decode import OP_NATIVE
from firmware_sim.rp2040.kernels.intrinsics import intrinsic
from firmware_sim.rp2040.layout import CYCLES, MEMORY_BYTES, NATIVE_ROW, TRANSLATED, Bytes, Memory, State

# Words of a row. ADDRESS is 0 once the code was dropped; LOW and HIGH bound the memory offsets of the region's code.
# LEADER and FOLLOWER: addresses of the code for both cores, 0: not there.
ADDRESS, ENTRY, ORIGINAL, INDEX, LOW, HIGH, CALLS, CYCLES_GAINED, LEADER, FOLLOWER, CYCLES_OF_TWO = range(NATIVE_ROW)
LEAST_GAIN = 16  # cycles that an entry must bring on average
TRIALS = 256  # entries before that is judged
# Words of the header.
ROWS, DROPS = 0, 1  # rows in use, this one included; how often code was dropped


@intrinsic("inttoptr i64 {0} to ptr", "call i64 {a}(ptr {1}, ptr {2}, ptr {3}, i64 {4}, i64 {5}, ptr {6})")
def call_native(address: int, registers: State, memory: Bytes, pages: Bytes, limit: int, entry: int, S: State) -> int:
    """Call the translated function at `address`; see function.py."""
    raise NotImplementedError


@inner
def enter_native(S: State, R: State, mem: Memory, row: int, limit: int) -> bool:
    """Run translated code on the state in R, the core's slice. False: it did nothing, as `limit` is too near."""
    at = row * NATIVE_ROW
    natives = mem.natives
    before = R[CYCLES]
    call_native(natives[at + ADDRESS], R, mem.bytes, mem.pages, limit, natives[at + ENTRY], S)
    gained = R[CYCLES] - before
    natives[at + CALLS] += 1
    natives[at + CYCLES_GAINED] += gained
    calls = natives[at + CALLS]
    if calls % TRIALS == 0 and natives[at + CYCLES_GAINED] < LEAST_GAIN * calls and natives[at + ADDRESS]:
        natives[at + ADDRESS] = 0  # entering costs more than it brings: to be interpreted for ever
        mem.decoded[natives[at + INDEX]] = natives[at + ORIGINAL]
    return gained != 0


@inner
def enter_dual(S: State, R: State, mem: Memory, row: int, limit: int, which: int) -> bool:
    """As enter_native while both cores run; which: LEADER or FOLLOWER. False: nothing happened."""
    at = row * NATIVE_ROW
    code = mem.natives[at + which]
    if code == 0:
        return False
    before = R[CYCLES]
    call_native(code, R, mem.bytes, mem.pages, limit, mem.natives[at + ENTRY], S)
    mem.natives[at + CYCLES_OF_TWO] += R[CYCLES] - before
    return R[CYCLES] != before


@inner
def drop_native(mem: Memory, low: int, high: int) -> None:
    """Forget the translations of code in the word [low, high), memory offsets: it is being changed."""
    natives = mem.natives
    if not (mem.breaks[low >> 1] | mem.breaks[(low >> 1) + 1]) & TRANSLATED:
        return
    for row in range(1, natives[ROWS]):
        at = row * NATIVE_ROW
        if natives[at + ADDRESS] and natives[at + LOW] < high and low < natives[at + HIGH]:
            mem.decoded[natives[at + INDEX]] = 0
            natives[at + ADDRESS] = 0
            natives[DROPS] += 1


def _live_rows(mem: Memory) -> Any:
    """Rows of translated code, int64 [rows, NATIVE_ROW], a view."""
    return np.asarray(mem.natives).reshape(-1, NATIVE_ROW)[1 : int(mem.natives[ROWS])]


def _drop(mem: Memory, rows: Any, hit: Any) -> None:
    """Drop those of `rows` where `hit` (bool [rows]) says so."""
    if hit.any():
        np.asarray(mem.decoded)[rows[hit, INDEX]] = 0
        rows[hit, ADDRESS] = 0
        mem.natives[DROPS] += int(hit.sum())


def drop_rows(mem: Memory, low: int, high: int) -> None:
    """What `drop_native` does, for callers in Python."""
    rows = _live_rows(mem)
    _drop(mem, rows, (rows[:, ADDRESS] != 0) & (rows[:, LOW] < high) & (low < rows[:, HIGH]))


def drop_numbered(mem: Memory, numbers: range) -> None:
    """Forget the rows of one region."""
    rows = np.asarray(mem.natives).reshape(-1, NATIVE_ROW)[numbers.start : numbers.stop]
    for row in rows[rows[:, ADDRESS] != 0]:
        if mem.decoded[int(row[INDEX])] & 0xFF == OP_NATIVE:
            mem.decoded[int(row[INDEX])] = int(row[ORIGINAL])
    rows[:, ADDRESS] = 0


def drop_pages(mem: Memory, pages: Any, page_bytes: int) -> None:
    """Forget the translations of code in changed pages (their numbers, memory offset / page_bytes)."""
    rows = _live_rows(mem)
    if not len(rows):
        return
    changed = np.zeros(MEMORY_BYTES // page_bytes + 1, np.int64)
    changed[np.asarray(pages) + 1] = 1
    before = np.cumsum(changed)  # [pages + 1]: changed pages below a page
    inside = before[(rows[:, HIGH] - 1) // page_bytes + 1] - before[rows[:, LOW] // page_bytes]
    _drop(mem, rows, (rows[:, ADDRESS] != 0) & (inside > 0))
