"""Translation for one chip: sample the PC, plan, have regions translated in the background, patch them in.

Results never depend on when that happens: translated code does exactly what the interpreter does.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.decode import OP_NATIVE
from firmware_sim.rp2040.layout import (
    CODE_PAGE_SHIFT,
    NATIVE_PAGE,
    NATIVE_ROW,
    NATIVE_ROWS,
    SRAM_BASE,
    SRAM_OFFSET,
    STOPS,
    TRANSLATED,
)
from firmware_sim.rp2040.machine import run_core
from firmware_sim.rp2040.native import worker
from firmware_sim.rp2040.native.enter import (
    ADDRESS,
    DROPS,
    FOLLOWER,
    LEADER,
    ROWS,
    drop_numbered,
)
from firmware_sim.rp2040.native.plan import Executed, Plan, halfwords
from firmware_sim.rp2040.native.region import Region
from firmware_sim.rp2040.native.worker import Done, Kind

if TYPE_CHECKING:
    from firmware_sim.rp2040.chip import Chip

Ask = Callable[[Region, Kind, Done], None]
MOST_DROPS = 50  # of one region, until it is left to the interpreter
SRAM_TO_OFFSET = SRAM_OFFSET - SRAM_BASE


@dataclass(frozen=True)
class Sampling:
    """How often to look where the PC is: at distances that grow with the time that the chip has run."""

    first_cycles: int = 20_011
    last_cycles: int = 2_000_003
    part: int = 2000  # distance = cycles so far / part, between the two above
    samples: int = 128  # between plans
    least: int = 3  # samples in a function that make it worth the work
    asleep_cycles: int = 20_000_000  # distance at most while the core sleeps: there is nothing to see


@dataclass(frozen=True)
class Installed:
    """Where a region was patched in."""

    code: int  # address of its machine code
    rows: range


class Translator:
    """Watches one chip. `ask` has a region translated and calls back when it is, now or in another thread."""

    def __init__(self, chip: Chip, ask: Ask = worker.ask, sampling: Sampling | None = None) -> None:
        self._chip = chip
        self._ask = ask
        self._sampling = sampling or Sampling()
        self._distance = self._sampling.first_cycles
        self._awake_cycles = 0
        self._seen = 0, 0  # cycle and instruction count at the last sample
        self._fresh = 0  # samples since the last plan
        self._samples: Counter[int] = Counter()  # PCs outside of what was planned
        self._plan = Plan()
        self._planned: dict[Region, int] = {}  # and how often it was dropped
        self._covered: set[int] = set()  # addresses in planned regions
        self._finished: deque[tuple[Region, Kind, int]] = deque()
        self.two_cores = True  # translate for two cores as well, in fast mode
        self._codes: dict[Region, dict[Kind, int]] = {}  # what was asked for: 0 until it is made
        self.installed: dict[Region, Installed] = {}
        self._drops = 0

    def run(self) -> int:
        """Run the cores until S[END], S[SLICE] or a reason to stop, as `run_core` does; EXIT_*."""
        S = self._chip.S
        slice_end = int(S[layout.SLICE])
        end = min(slice_end, int(S[layout.END]))
        code = layout.EXIT_END
        self._keep_up()
        while code == layout.EXIT_END:
            S[layout.SLICE] = min(slice_end, int(S[layout.CYCLES]) + self._distance)
            code = int(run_core(S))
            self.sample()
            if S[layout.CYCLES] >= end:
                break
        S[layout.SLICE] = slice_end
        return code

    def sample(self) -> None:
        """Look at the chip between two slices of compiled code."""
        S, sampling = self._chip.S, self._sampling
        self._keep_up()
        cycles = int(S[layout.CYCLES])
        instructions = int(S[layout.INSTRUCTIONS] + S[layout.CORE_STRIDE + layout.INSTRUCTIONS])
        awake = 2 * (instructions - self._seen[1])  # cycles, about: loads and branches take two
        asleep = awake < (cycles - self._seen[0]) // 4
        self._seen = cycles, instructions
        self._awake_cycles += max(0, awake)
        wanted = min(max(self._awake_cycles // sampling.part, sampling.first_cycles), sampling.last_cycles)
        self._distance = min(2 * self._distance, sampling.asleep_cycles) if asleep else max(wanted, self._distance // 4)
        for core in (0, layout.CORE_STRIDE):
            pc = int(S[core + layout.PC])
            if not S[core + layout.SLEEPING] and pc not in self._covered:
                self._samples[pc] += 1
        if (
            self.two_cores
            and S[layout.INTERLEAVING]
            and not S[layout.SLEEPING]
            and not S[layout.CORE_STRIDE + layout.SLEEPING]
        ):
            at = {int(S[core + layout.PC]) for core in (0, layout.CORE_STRIDE)}
            for region in self.installed:
                if at & region.code.keys():
                    self._order(region, "leader")
                    self._order(region, "follower")
        self._fresh += 1
        if self._fresh >= sampling.samples:
            self._fresh = 0
            self._look_for_more()

    def _keep_up(self) -> None:
        """Patch in what was translated, and again what was dropped although it has not changed."""
        while self._finished:
            region, kind, code = self._finished.popleft()
            self._codes.setdefault(region, {})[kind] = code
            if kind == "alone":
                self.install(region, code)
            elif region in self.installed:
                self._add_kinds(region)
        if self._chip.mem.natives[DROPS] != self._drops:
            self._look_at_dropped()

    def _look_for_more(self) -> None:
        """Ask for what is hot and not planned."""
        if self._samples.total() < self._sampling.least:
            return
        for region in self._plan.grow(Executed(self._chip.mem), self._samples, self._sampling.least):
            if self._planned.setdefault(region, 0) < MOST_DROPS:
                self._covered |= region.code.keys()
                self._order(region, "alone")
        for pc in self._samples.keys() & self._covered:
            del self._samples[pc]

    def _order(self, region: Region, kind: Kind) -> None:
        """Have a region translated, once."""
        codes = self._codes.setdefault(region, {})
        if kind not in codes:
            codes[kind] = 0
            self._ask(region, kind, lambda *made: self._finished.append(made))

    def _add_kinds(self, region: Region) -> None:
        """Write the addresses of the code for two cores, as far as it is there, to the rows of an installed region."""
        codes = self._codes[region]
        rows = np.asarray(self._chip.mem.natives).reshape(-1, NATIVE_ROW)
        numbers = self.installed[region].rows
        rows[numbers.start : numbers.stop, LEADER] = codes.get("leader", 0)
        rows[numbers.start : numbers.stop, FOLLOWER] = codes.get("follower", 0)

    def install(self, region: Region, code: int) -> None:
        """Patch a region in if its code is still what was translated."""
        mem = self._chip.mem
        indices = _indices(region)
        if (
            np.any(np.asarray(mem.breaks)[indices] & STOPS)
            or halfwords(np.asarray(mem.halves), indices) != region.words
        ):
            self._plan.drop(region)
            self._covered -= region.code.keys()
            return
        for other in [other for other in self.installed if other.code.keys() & region.code.keys()]:
            self._take_out(other)
        if int(mem.natives[ROWS]) + len(region.entries) > NATIVE_ROWS:
            self._make_room()
        first, table = int(mem.natives[ROWS]), dict(region.table)
        low, high = region.start + SRAM_TO_OFFSET, region.end + SRAM_TO_OFFSET
        for row, address in enumerate(region.entries, first):
            index = (address + SRAM_TO_OFFSET) >> 1
            words = (code, row - first, table[address], index, low, high, 0, 0, 0, 0, 0)
            np.asarray(mem.natives)[row * NATIVE_ROW : (row + 1) * NATIVE_ROW] = words
            mem.decoded[index] = OP_NATIVE | row << 32
        mem.natives[ROWS] = first + len(region.entries)
        np.asarray(mem.pages)[np.unique(indices >> (CODE_PAGE_SHIFT - 1))] |= NATIVE_PAGE
        np.asarray(mem.pages)[np.unique((indices + 1) >> (CODE_PAGE_SHIFT - 1))] |= NATIVE_PAGE
        np.asarray(mem.breaks)[indices] |= TRANSLATED
        np.asarray(mem.breaks)[indices + 1] |= TRANSLATED
        self.installed[region] = Installed(code, range(first, first + len(region.entries)))
        self._codes.setdefault(region, {})["alone"] = code
        self._add_kinds(region)

    def _look_at_dropped(self) -> None:
        """Regions that compiled code or the chip dropped: again, unless they have changed or change all the time."""
        natives = self._chip.mem.natives
        self._drops = int(natives[DROPS])
        for region, installed in list(self.installed.items()):
            if any(natives[row * NATIVE_ROW + ADDRESS] for row in installed.rows):
                continue
            del self.installed[region]
            self._planned[region] = self._planned.get(region, 0) + 1
            if self._planned[region] < MOST_DROPS:
                self.install(region, installed.code)

    def _take_out(self, region: Region) -> None:
        """Interpret a region again."""
        drop_numbered(self._chip.mem, self.installed.pop(region).rows)

    def _make_room(self) -> None:
        """Number the rows anew: those of dropped regions are free then."""
        regions = [(region, installed.code) for region, installed in self.installed.items()]
        for region, _ in regions:
            self._take_out(region)
        self._chip.mem.natives[ROWS] = 1
        for region, code in regions:
            if int(self._chip.mem.natives[ROWS]) + len(region.entries) <= NATIVE_ROWS // 2:
                self.install(region, code)


def _indices(region: Region) -> Any:
    """Entries of the decoded table, one for each instruction: int64 [instructions]."""
    return (np.array([address for address, _ in region.table], np.int64) + SRAM_TO_OFFSET) >> 1
