"""Where the time goes, and which pieces of code are worth translating.

The decoded table is a record of what was executed: functions begin where a BL leads to, and what was never executed
stays out of a region (a branch there leaves it). Nothing here depends on the clock, so that a second run of a firmware
asks for the same regions and finds them in the cache.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import Any

import numpy as np

from firmware_sim.rp2040 import decode as d
from firmware_sim.rp2040.layout import NATIVE_ROW, SRAM_BASE, SRAM_OFFSET, SRAM_SIZE, Memory
from firmware_sim.rp2040.native.enter import ORIGINAL
from firmware_sim.rp2040.native.region import CONDITIONAL, FINAL, UNUSUAL, Instruction, Region, unpack

MOST_INSTRUCTIONS = 600  # of a region: ~0.2 s of compilation in the background
SMALL = 64  # instructions of a function that comes along with one that calls it
FIRST, END = SRAM_OFFSET >> 1, (SRAM_OFFSET + SRAM_SIZE) >> 1  # entries of the decoded table for SRAM

Interval = tuple[int, int]  # [low, high) of a function


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
        self._unpacked: dict[Interval, dict[int, Instruction]] = {}
        self.functions = sorted({int(t) for t in targets if SRAM_BASE <= t < SRAM_BASE + SRAM_SIZE})

    def interval(self, pc: int) -> tuple[int, int]:
        """Function around an address: from where a call leads to, to the next such place."""
        after = bisect_right(self.functions, pc)
        low = self.functions[after - 1] if after else SRAM_BASE
        high = self.functions[after] if after < len(self.functions) else SRAM_BASE + SRAM_SIZE
        return low, high

    def piece(self, pc: int) -> Interval:
        """Function around an address, or the part of a large one."""
        low, high = self.interval(pc)
        if self.size((low, high)) <= MOST_INSTRUCTIONS:
            return low, high
        parts = chunks(self.instructions(low, high))
        return next((part for part in parts if part[0] <= pc < part[1]), parts[0])

    def size(self, interval: Interval) -> int:
        """Executed instructions of an interval."""
        return int(np.count_nonzero(self.entries[(interval[0] - SRAM_BASE) >> 1 : (interval[1] - SRAM_BASE) >> 1]))

    def instructions(self, low: int, high: int) -> dict[int, Instruction]:
        """Executed instructions of [low, high) by address."""
        if (low, high) not in self._unpacked:
            first = (low - SRAM_BASE) >> 1
            used = np.flatnonzero(self.entries[first : (high - SRAM_BASE) >> 1])
            found = (unpack(low + 2 * int(k), int(self.entries[first + int(k)])) for k in used)
            self._unpacked[low, high] = {i.address: i for i in found}
        return self._unpacked[low, high]

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


def chunks(code: dict[int, Instruction]) -> list[Interval]:
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
        pieces.append((addresses[0], code[addresses[size - 1]].following))
        addresses = addresses[size:]
    return pieces


class Plan:
    """Groups of functions that call each other, each to be one region; they only grow."""

    def __init__(self) -> None:
        self._groups: dict[Interval, frozenset[Interval]] = {}
        self._heat: Counter[Interval] = Counter()  # samples by function
        self._covered: dict[Region, frozenset[Interval]] = {}

    def drop(self, region: Region) -> None:
        """The region's code has changed: look at its functions anew."""
        for interval in self._covered.pop(region, frozenset()):
            self._groups.pop(interval, None)

    def grow(self, executed: Executed, samples: Counter[int], least: int) -> list[Region]:
        """New regions for functions in which at least `least` samples (PC -> times) are.

        A region takes the place of those whose code it contains.
        """
        hot: Counter[Interval] = Counter()
        for pc, times in samples.items():
            if SRAM_BASE <= pc < SRAM_BASE + SRAM_SIZE:
                hot[executed.piece(pc)] += times
        self._heat.update(hot)
        wanted = {interval for interval, times in hot.items() if times >= least}
        if not wanted:
            return []
        self._merge(executed, wanted)
        regions = []
        for group in sorted({self._groups[interval] for interval in wanted}, key=sorted):
            code: dict[int, Instruction] = {}
            for interval in group:
                code |= executed.instructions(*interval)
            entries = entry_points(code)
            if entries:
                regions.append(executed.region(entries, sorted(code)))
                self._covered[regions[-1]] = group
        return regions

    def _merge(self, executed: Executed, wanted: set[Interval]) -> None:
        """Join the wanted functions, and small ones that they call, with the groups at the other end of their calls."""
        for interval in wanted:
            self._groups.setdefault(interval, frozenset((interval,)))
        known = set(self._groups)
        calls: dict[tuple[Interval, Interval], int] = {}
        for caller in sorted(known):
            for i in executed.instructions(*caller).values():
                if i.op != d.OP_BL or not SRAM_BASE <= i.target < SRAM_BASE + SRAM_SIZE:
                    continue
                callee = executed.piece(i.target)
                if callee not in known and (caller not in wanted or executed.size(callee) > SMALL):
                    continue
                if callee != caller and (caller in wanted or callee in wanted):
                    calls[caller, callee] = self._heat[caller] + self._heat[callee]
        for (caller, callee), _ in sorted(calls.items(), key=lambda call: (-call[1], call[0])):
            one = self._groups[caller]
            other = self._groups.get(callee, frozenset((callee,)))
            if one is not other and sum(map(executed.size, one | other)) <= MOST_INSTRUCTIONS:
                for interval in one | other:
                    self._groups[interval] = one | other
