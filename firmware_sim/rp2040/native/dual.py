"""LLVM IR of a region for the time when both cores run: the same code, with the banks of the SRAM counted.

As in core.py one core leads through a window of cycles and the other follows. The leader notes in the ring S[BANKS]
which bank it uses in which cycle; the follower looks there and waits. Both see from S[OWNERS] whether the other core
has touched a page; the leader leaves before an access whose order would matter.
"""

from __future__ import annotations

from firmware_sim.rp2040.banks import BITS
from firmware_sim.rp2040.layout import (
    BANK_CYCLES,
    BANKS,
    CODE_PAGE_SHIFT,
    CORE_STRIDE,
    OWNERS,
    SRAM_BASE,
    SRAM_STRIPED_SIZE,
)
from firmware_sim.rp2040.native.function import LEFT_LIMIT, FunctionWriter
from firmware_sim.rp2040.native.region import Instruction, Region
from firmware_sim.rp2040.native.worker import Kind

CORE_BYTES_SHIFT = (8 * CORE_STRIDE).bit_length() - 1


class DualWriter(FunctionWriter):
    """Writes one region for the leader or the follower."""

    may_interpolate = False  # the SIO is where the cores wait for each other

    def __init__(self, region: Region, name: str, kind: Kind) -> None:
        super().__init__(region, name)
        self.leading = kind == "leader"
        self.w.used.add("line")
        self.w.written.add("line")
        self.line: int | None = None  # fetched last; None: by the block before
        self.line_before: int | None = None
        self.start_before = ""

    def _head(self) -> list[str]:
        """Masks that depend on which core it is."""
        load = "or i64 %mine.r, %other.w" if self.leading else "or i64 %mine.r, 0"
        store = "or i64 %mine.w, %other.rw" if self.leading else "or i64 %mine.w, 0"
        return [
            "  %R.at = ptrtoint ptr %R to i64",
            "  %S.at = ptrtoint ptr %S to i64",
            "  %R.from = sub i64 %R.at, %S.at",
            f"  %who = lshr i64 %R.from, {CORE_BYTES_SHIFT}",
            "  %whose = xor i64 %who, 1" if not self.leading else "  %whose = or i64 %who, 0",
            "  %whose.bits = mul i64 %whose, 6",
            "  %bank = shl i64 1, %whose.bits",
            "  %mine = shl i64 %who, 1",
            "  %other = xor i64 %mine, 2",
            "  %mine.r = shl i64 1, %mine",
            "  %mine.w = shl i64 2, %mine",
            "  %other.w = shl i64 2, %other",
            "  %other.rw = shl i64 3, %other",
            f"  %load.mask = {load}",
            f"  %store.mask = {store}",
            f"  %banks = getelementptr i64, ptr %S, i64 {BANKS}",
            f"  %owners = getelementptr i64, ptr %S, i64 {OWNERS}",
            "  %begun = alloca i64",
            "  %at = alloca i64",
        ]

    def _block(self, address: int, block: list[Instruction]) -> None:
        self.line = self.line_before = None
        self.start_before = ""
        super()._block(address, block)

    def _before(self, lines: list[str]) -> str:
        if self.line_before is not None:
            lines.append(f"  store i32 {self.line_before}, ptr %line")
        return self.start_before or self.start

    def _spend(self, cycles: int) -> None:
        super()._spend(cycles)
        self.w.main.append(f"  store i32 {self.line}, ptr %line")

    def _boundary(self) -> None:
        self.start_before, self.line_before = self.start, self.line

    def _fetch(self, i: Instruction) -> None:
        """Code is read a word at a time."""
        w = self.w
        word = (i.address & -4) | 1
        bank = str(1 << self._bank_of(i.address))
        if self.line is None:
            known = w.value("load i32, ptr %line")
            same = w.value(f"icmp eq i32 {known}, {word}")
            fetch, on = w.name()[1:], w.name()[1:]
            w.main += [
                f"  store i64 {self.start}, ptr %begun",
                f"  br i1 {same}, label %{on}, label %{fetch}",
                f"{fetch}:",
            ]
            self._use(w.value(f"mul i64 %bank, {bank}"), self.spent, i)
            w.main += [f"  store i64 {self.start}, ptr %begun", f"  br label %{on}", f"{on}:"]
            self.start = w.value("load i64, ptr %begun")
        elif self.line != word:
            self._use(w.value(f"mul i64 %bank, {bank}"), self.spent, i)
        self.line = word

    @staticmethod
    def _bank_of(address: int) -> int:
        inside = address - SRAM_BASE
        return (inside >> 2) & 3 if inside < SRAM_STRIPED_SIZE else 4 + ((inside >> 12) & 1)

    def _bank_bit(self, address: str) -> str:
        """Bit in the ring of the bank of an address."""
        w = self.w
        offset = w.value(f"add i32 {address}, {-SRAM_BASE}")
        low = w.value(f"and i32 {w.value(f'lshr i32 {offset}, 2')}, 3")
        other = w.value(f"and i32 {w.value(f'lshr i32 {offset}, 12')}, 1")
        high = w.value(f"or i32 {other}, 4")
        striped = w.value(f"icmp ult i32 {offset}, {SRAM_STRIPED_SIZE}")
        bank = w.value(f"select i1 {striped}, i32 {low}, i32 {high}")
        return w.value(f"shl i64 %bank, {w.value(f'zext i32 {bank} to i64')}")

    def _use_banks(self, address: str, words: int, store: bool, i: Instruction) -> None:
        """Leave before an access whose order matters; then one bank a cycle."""
        w = self.w
        kind = "store" if store else "load"
        ends = [address] if words == 1 else [address, w.value(f"add i32 {address}, {4 * words - 4}")]
        for end in ends:
            offset = w.value(f"add i32 {end}, {-SRAM_BASE}")
            page = w.value(f"zext i32 {w.value(f'lshr i32 {offset}, {CODE_PAGE_SHIFT}')} to i64")
            owner = w.value(f"load i64, ptr {w.value(f'getelementptr i64, ptr %owners, i64 {page}')}")
            mine = w.value(f"and i64 {owner}, %{kind}.mask")
            self._leave_unless(w.value(f"icmp eq i64 {mine}, %mine.{'w' if store else 'r'}"), i.address)
        for k in range(words):
            place = address if k == 0 else w.value(f"add i32 {address}, {4 * k}")
            self._use(self._bank_bit(place), self.spent + 1 + k, i)

    def _use(self, bit: str, after: int, i: Instruction) -> None:
        """Use a bank `after` cycles from the begin of the block; the follower waits until it is free."""
        w = self.w
        at = w.value(f"add i64 {self.start}, {after}")
        if self.leading:
            place = self._ring(at, w.main)
            used = w.value(f"or i64 {w.value(f'shl i64 {at}, {BITS}')}, {bit}")
            w.main.append(f"  store i64 {used}, ptr {place}")
            return
        busy = self._busy(at, bit, w.main)
        leave = self._leave_at(i.address, LEFT_LIMIT)
        wait, again, free, fits, on = (w.name()[1:] for _ in range(5))
        w.main += [
            f"  store i64 {self.start}, ptr %begun",
            f"  br i1 {busy}, label %{wait}, label %{on}, !prof !2",
        ]
        w.cold += [f"{wait}:", f"  store i64 {at}, ptr %at", f"  br label %{again}", f"{again}:"]
        later = w.value(f"add i64 {w.value('load i64, ptr %at', w.cold)}, 1", w.cold)
        w.cold.append(f"  store i64 {later}, ptr %at")
        w.cold.append(f"  br i1 {self._busy(later, bit, w.cold)}, label %{again}, label %{free}")
        w.cold.append(f"{free}:")
        start = w.value(f"sub i64 {later}, {after}", w.cold)
        room = w.value(f"icmp sle i64 {w.value(f'add i64 {start}, {self.total}', w.cold)}, %limit", w.cold)
        w.cold += [
            f"  br i1 {room}, label %{fits}, label %{leave}",
            f"{fits}:",
            f"  store i64 {start}, ptr %begun",
            f"  br label %{on}",
        ]
        w.main.append(f"{on}:")
        self.start = w.value("load i64, ptr %begun")

    def _ring(self, at: str, lines: list[str]) -> str:
        w = self.w
        index = w.value(f"and i64 {at}, {BANK_CYCLES - 1}", lines)
        return w.value(f"getelementptr i64, ptr %banks, i64 {index}", lines)

    def _busy(self, at: str, bit: str, lines: list[str]) -> str:
        """Whether the leader uses the bank in the cycle `at`, an i1."""
        w = self.w
        used = w.value(f"load i64, ptr {self._ring(at, lines)}", lines)
        rest = w.value(f"xor i64 {used}, {w.value(f'shl i64 {at}, {BITS}', lines)}", lines)
        now = w.value(f"icmp ult i64 {rest}, {1 << BITS}", lines)
        hit = w.value(f"icmp ne i64 {w.value(f'and i64 {rest}, {bit}', lines)}, 0", lines)
        return w.value(f"and i1 {now}, {hit}", lines)


def write_function(region: Region, name: str, kind: Kind) -> str:
    """LLVM IR of a region's function."""
    return (FunctionWriter(region, name) if kind == "alone" else DualWriter(region, name, kind)).text()
