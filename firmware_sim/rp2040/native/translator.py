"""Translation for one chip: sample the PC, plan, have regions translated in the background, patch them in.

Results never depend on when that happens: translated code does exactly what the interpreter does.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.decode import OP_NATIVE
from firmware_sim.rp2040.layout import NATIVE_PAGE, NATIVE_ROW, NATIVE_ROWS, SRAM_BASE, SRAM_OFFSET
from firmware_sim.rp2040.machine import run_core
from firmware_sim.rp2040.native import worker
from firmware_sim.rp2040.native.enter import (
    ADDRESS,
    CALLS,
    CYCLES_GAINED,
    DROPS,
    INDEX,
    ORIGINAL,
    ROWS,
    drop_rows,
)
from firmware_sim.rp2040.native.plan import Executed, halfwords, plan
from firmware_sim.rp2040.native.region import Region

if TYPE_CHECKING:
    from firmware_sim.rp2040.chip import Chip

Done = Callable[[Region, int], None]  # with the address of the machine code
Ask = Callable[[Region, Done], None]
LEAST_SHARE = 0.01  # of the samples, for a function to be worth it
LEAST_GAIN = 40  # cycles that an entry must bring on average
TRIALS = 1000  # entries before that is judged
MOST_ATTEMPTS = 4  # translations of code that begins at one address
SRAM_TO_OFFSET = SRAM_OFFSET - SRAM_BASE


@dataclass(frozen=True)
class Sampling:
    """How often to look where the PC is: dense at first, then `slower` times as far apart after each plan."""

    first_cycles: int = 20_011
    last_cycles: int = 2_000_003
    slower: int = 2
    samples: int = 256  # for a plan


class Installed:
    """A region that is patched in, and its rows."""

    def __init__(self, region: Region, rows: range) -> None:
        self.region, self.rows = region, rows


class Translator:
    """Watches one chip. `ask` has a region translated and calls back when it is, now or in another thread."""

    def __init__(self, chip: Chip, ask: Ask = worker.ask, sampling: Sampling | None = None) -> None:
        self._chip = chip
        self._ask_worker = ask
        self._sampling = sampling or Sampling()
        self.interval = self._sampling.first_cycles
        self._samples: Counter[int] = Counter()
        self._finished: deque[tuple[Region, int]] = deque()
        self._asked: set[Region] = set()
        self._attempts: Counter[int] = Counter()
        self.installed: dict[int, Installed] = {}  # by start address
        self._covered: set[int] = set()
        self._drops = 0

    def run(self) -> int:
        """Run core 0 until S[END], S[SLICE] or a reason to stop, as `run_core` does; EXIT_*."""
        S, mem = self._chip.S, self._chip.mem
        slice_end = int(S[layout.SLICE])
        end = min(slice_end, int(S[layout.END]))
        code = layout.EXIT_END
        while code == layout.EXIT_END:
            S[layout.SLICE] = min(slice_end, int(S[layout.CYCLES]) + self.interval)
            code = int(run_core(S, mem, 0))
            self.sample()
            if S[layout.CYCLES] >= end:
                break
        S[layout.SLICE] = slice_end
        return code

    def sample(self) -> None:
        """Look at the chip between two slices of compiled code."""
        S, mem = self._chip.S, self._chip.mem
        if self._finished:
            self._install_finished()
        if mem.natives[DROPS] != self._drops:
            self._forget_dropped()
        if not S[layout.SLEEPING]:
            self._samples[int(S[layout.PC])] += 1
        if self._samples.total() >= self._sampling.samples:
            self._plan()
            self.interval = min(self.interval * self._sampling.slower, self._sampling.last_cycles)

    def _plan(self) -> None:
        """Ask for what is hot and not translated."""
        samples, self._samples = self._samples, Counter()
        self._drop_useless()
        outside = sum(times for pc, times in samples.items() if pc not in self._covered)
        least = int(self._sampling.samples * LEAST_SHARE)
        if not outside or outside < least:
            return
        for region in plan(Executed(self._chip.mem), samples, least, self._covered):
            self._ask(region)

    def _ask(self, region: Region) -> None:
        if region in self._asked or self._attempts[region.start] >= MOST_ATTEMPTS:
            return
        self._asked.add(region)
        self._attempts[region.start] += 1
        self._ask_worker(region, lambda region, code: self._finished.append((region, code)))

    def _install_finished(self) -> None:
        while self._finished:
            self.install(*self._finished.popleft())

    def install(self, region: Region, code: int) -> None:
        """Patch a region in if its code is still what was translated."""
        mem = self._chip.mem
        low, high = region.start + SRAM_TO_OFFSET, region.end + SRAM_TO_OFFSET
        self._asked.discard(region)
        if not self._unchanged(region):
            return
        first = int(mem.natives[ROWS])
        if first + len(region.entries) > NATIVE_ROWS:
            self.drop_all()
            first = 1
        drop_rows(mem, low, high)
        for number, address in enumerate(region.entries):
            at = (first + number) * NATIVE_ROW
            index = (address + SRAM_TO_OFFSET) >> 1
            original = dict(region.table)[address]
            np.asarray(mem.natives)[at : at + NATIVE_ROW] = (code, number, original, index, low, high, 0, 0)
            mem.decoded[index] = OP_NATIVE | (first + number) << 32
        mem.natives[ROWS] = first + len(region.entries)
        shift = layout.CODE_PAGE_SHIFT
        np.asarray(mem.pages)[low >> shift : ((high - 1) >> shift) + 1] |= NATIVE_PAGE
        self.installed[region.start] = Installed(region, range(first, first + len(region.entries)))
        self._forget_dropped()

    def _unchanged(self, region: Region) -> bool:
        """Whether the memory holds what was translated, without breakpoints."""
        mem = self._chip.mem
        indices = (np.array([address for address, _ in region.table], np.int64) + SRAM_TO_OFFSET) >> 1
        stopped = np.asarray(mem.breaks)[indices].any()
        return not stopped and halfwords(np.asarray(mem.halves), indices) == region.words

    def _forget_dropped(self) -> None:
        """Take note of regions that compiled code or the chip dropped."""
        natives = self._chip.mem.natives
        self._drops = int(natives[DROPS])
        gone = [
            start
            for start, installed in self.installed.items()
            if not any(natives[row * NATIVE_ROW + ADDRESS] for row in installed.rows)
        ]
        for start in gone:
            del self.installed[start]
        self._covered = {address for installed in self.installed.values() for address in installed.region.code}

    def _drop_useless(self) -> None:
        """Entry points that bring little cost more than they save."""
        mem = self._chip.mem
        for row in range(1, int(mem.natives[ROWS])):
            at = row * NATIVE_ROW
            calls = int(mem.natives[at + CALLS])
            if calls >= TRIALS and int(mem.natives[at + CYCLES_GAINED]) < LEAST_GAIN * calls:
                self._drop_row(row)

    def _drop_row(self, row: int) -> None:
        natives, decoded = self._chip.mem.natives, self._chip.mem.decoded
        at = row * NATIVE_ROW
        if natives[at + ADDRESS]:
            natives[at + ADDRESS] = 0
            index = int(natives[at + INDEX])
            if int(decoded[index]) & 0xFF == OP_NATIVE:
                decoded[index] = int(natives[at + ORIGINAL])

    def drop_all(self) -> None:
        """Interpret everything again."""
        drop_rows(self._chip.mem, 0, layout.MEMORY_BYTES)
        self._chip.mem.natives[ROWS] = 1
        self._forget_dropped()
