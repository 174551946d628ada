"""Where the time goes, and which pieces of code are worth translating.

The decoded table is a record of what was executed: functions begin where a BL leads to, and what was never executed
stays out of a region (a branch there leaves it). Nothing here depends on the clock, so that a second run of a firmware
asks for the same regions and finds them in the cache.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from typing import Any

import numpy as np

from firmware_sim.rp2040 import decode as d
from firmware_sim.rp2040.layout import NATIVE_ROW, SRAM_BASE, SRAM_OFFSET, SRAM_SIZE, Memory
from firmware_sim.rp2040.native.enter import ORIGINAL
from firmware_sim.rp2040.native.region import CONDITIONAL, FINAL, UNUSUAL, Instruction, Region, unpack

MOST_INSTRUCTIONS = 600  # of a region: ~0.2 s of compilation in the background
FIRST, END = SRAM_OFFSET >> 1, (SRAM_OFFSET + SRAM_SIZE) >> 1  # entries of the decoded table for SRAM


def halfwords(halves: Any, indices: Any) -> bytes:
    """Two halfwords of `halves` at each index."""
    return np.stack([halves[indices], halves[indices + 1]], 1).astype("<u2").tobytes()


class Executed:
    """What of SRAM has been executed, as the decoded table says."""

    def __init__(self, mem: Memory) -> None:
        self.entries = np.asarray(mem.decoded)[FIRST:END].copy()
        self.halves = np.asarray(mem.halves)[FIRST : END + 1]
        patched = np.flatnonzero(self.entries & 0xFF == d.OP_NATIVE)
        rows = np.asarray(mem.natives).reshape(-1, NATIVE_ROW)
        self.entries[patched] = rows[self.entries[patched] >> 32, ORIGINAL]
        calls = np.flatnonzero(self.entries & 0xFF == d.OP_BL)
        targets = SRAM_BASE + 2 * calls + (self.entries[calls] >> 32)
        self.functions = sorted({int(t) for t in targets if SRAM_BASE <= t < SRAM_BASE + SRAM_SIZE})

    def interval(self, pc: int) -> tuple[int, int]:
        """Function around an address: from where a call leads to, to the next such place."""
        after = bisect_right(self.functions, pc)
        low = self.functions[after - 1] if after else SRAM_BASE
        high = self.functions[after] if after < len(self.functions) else SRAM_BASE + SRAM_SIZE
        return low, high

    def instructions(self, low: int, high: int) -> dict[int, Instruction]:
        """Executed instructions of [low, high) by address."""
        first = (low - SRAM_BASE) >> 1
        used = np.flatnonzero(self.entries[first : (high - SRAM_BASE) >> 1])
        found = (unpack(low + 2 * int(k), int(self.entries[first + int(k)])) for k in used)
        return {i.address: i for i in found}

    def region(self, entries: list[int], addresses: list[int]) -> Region:
        """The region of the instructions at `addresses` (sorted)."""
        indices = (np.array(addresses, np.int64) - SRAM_BASE) >> 1
        table = zip(addresses, self.entries[indices].tolist(), strict=True)
        return Region(tuple(entries), tuple(table), halfwords(self.halves, indices))


def entry_points(code: dict[int, Instruction]) -> list[int]:
    """Where the interpreter may enter: loop heads, behind calls, and what nothing inside leads to."""
    wanted, reached = set(), set()
    for i in code.values():
        if i.op in CONDITIONAL or i.op == d.OP_B:
            reached.add(i.target)
            if i.target <= i.address:
                wanted.add(i.target)
        if i.op in (d.OP_BL, d.OP_BLX) or i.op in UNUSUAL:
            wanted.add(i.following)
        elif i.op not in FINAL and not (i.op == d.OP_POP and i.imm & 0x8000):
            reached.add(i.following)
    wanted |= code.keys() - reached
    return sorted(a for a in wanted if a in code and code[a].op not in UNUSUAL)


def make_region(executed: Executed, code: dict[int, Instruction]) -> Region | None:
    """A region of these instructions; None when there is nothing to enter."""
    entries = entry_points(code)
    return executed.region(entries, sorted(code)) if entries else None


def chunks(code: dict[int, Instruction]) -> list[dict[int, Instruction]]:
    """Pieces of at most MOST_INSTRUCTIONS, cut where nothing falls through if that is possible in the last quarter."""
    addresses = sorted(code)
    pieces = []
    while addresses:
        size = min(len(addresses), MOST_INSTRUCTIONS)
        if size < len(addresses):
            for cut in range(size, size * 3 // 4, -1):
                if code[addresses[cut - 1]].op in (d.OP_B, d.OP_BX):
                    size = cut
                    break
        pieces.append({address: code[address] for address in addresses[:size]})
        addresses = addresses[size:]
    return pieces


def plan(executed: Executed, samples: Counter[int], least: int, covered: set[int]) -> list[Region]:
    """Regions for the functions in which at least `least` of the sampled PCs (address -> times) are, hottest first.

    `covered`: addresses in translated code; samples there say nothing new.
    """
    hot: Counter[tuple[int, int]] = Counter()
    places: dict[tuple[int, int], list[int]] = {}
    for pc, times in samples.items():
        if pc in covered or not SRAM_BASE <= pc < SRAM_BASE + SRAM_SIZE:
            continue
        interval = executed.interval(pc)
        hot[interval] += times
        places.setdefault(interval, []).append(pc)
    regions = []
    for interval, times in hot.most_common():
        if times < least:
            break
        pieces = chunks(executed.instructions(*interval))
        starts = [min(piece) for piece in pieces]
        wanted = {max(0, bisect_left(starts, pc + 1) - 1) for pc in places[interval]} if pieces else set()
        regions += [r for k in sorted(wanted) if (r := make_region(executed, pieces[k])) is not None]
    return regions
