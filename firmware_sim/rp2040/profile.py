"""Where the cycles go: by function, by source line, by chain of calls, with coverage and stack depth.

>>> from firmware_sim.rp2040 import Board, Profile
>>> board = Board()
>>> board.load("firmware.elf")  # doctest: +SKIP
>>> with Profile(board) as profile:  # doctest: +SKIP
...     board.run(until_text="done", max_cycles=10_000_000)
>>> profile.functions()[0].name  # doctest: +SKIP
'conv_2d'
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self, cast

import numpy as np

from firmware_sim.rp2040 import call_tree as t
from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.layout import IntArray
from firmware_sim.rp2040.memory_map import locate
from firmware_sim.rp2040.recorder import Recorder

if TYPE_CHECKING:
    from firmware_sim.rp2040.board import Board

ASLEEP = "(asleep)"


@dataclass(frozen=True)
class Node:
    """A function called from one place by one chain of callers. `parent` is an index into `Profile.nodes`, or -1."""

    name: str
    address: int  # of the function; -1 for a core and for sleep
    site: int  # address of the call
    parent: int
    calls: int
    cycles: int  # its own
    instructions: int
    inclusive_cycles: int
    inclusive_instructions: int


@dataclass(frozen=True)
class FunctionCost:
    """Sums of a function over all its callers and both cores. Recursion counts once in `inclusive_cycles`."""

    name: str
    address: int
    file: str
    line: int
    calls: int
    cycles: int
    inclusive_cycles: int
    instructions: int


@dataclass(frozen=True)
class LineCost:
    """Cycles of a source line, and how often its first instruction ran."""

    file: str
    line: int
    cycles: int
    count: int


@dataclass(frozen=True)
class StackUse:
    """How far the stack of a core went down while the profile ran.

    It begins anew where MSR moves MSP to another stack, as the second stage does: its own stack does not count.
    """

    core: int
    highest: int
    lowest: int

    @property
    def bytes(self) -> int:
        """Bytes between the highest and the lowest stack pointer."""
        return self.highest - self.lowest


class Profile:
    """Follows a board from its making (or the `with`) to `stop`. Needs an ELF file for names and lines."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.symbols = board.symbols
        halves = layout.MEMORY_BYTES // 2
        self._tree = cast(IntArray, np.zeros(t.TREE_WORDS, np.int64))
        self._tree[t.TREE_NODES] = len(t.ROOTS)
        self._tree[t.TREE_LOWEST_SP : t.TREE_LOWEST_SP + 2] = layout.SRAM_END
        self.cycles = cast(IntArray, np.zeros(halves, np.int64))  # by memory offset >> 1
        self.counts = cast(IntArray, np.zeros(halves, np.int64))
        self._functions = cast(IntArray, np.full(halves, -1, np.int64))
        for symbol in self.symbols.functions:
            where = locate(symbol.address, max(2, symbol.size))
            if isinstance(where, slice):
                self._functions[where.start // 2 : (where.stop + 1) // 2] = symbol.address
        self._running = False
        self.start()

    def start(self) -> None:
        """Record from now on; the chains of calls begin anew."""
        if not self._running:
            self._running = True
            self._tree[t.TREE_DEPTH : t.TREE_DEPTH + 2] = 0
            recorder = self.board.recorder = self.board.recorder or Recorder(self.board)
            recorder.lose_track()
            recorder.consumers.append(self._consume)

    def stop(self) -> None:
        """Record no more."""
        if self._running and self.board.recorder is not None:
            self._running = False
            self.board.recorder.consumers.remove(self._consume)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _consume(self, ring: IntArray, capacity: int, first: int, end: int) -> None:
        t.digest(self._tree, self._functions, self.cycles, self.counts, ring, capacity, first, end)
        self.__dict__.pop("nodes", None)

    @property
    def lost_calls(self) -> int:
        """Calls that were too deep or too many to follow: their cycles are counted for their caller."""
        return int(self._tree[t.TREE_LOST])

    @cached_property
    def nodes(self) -> list[Node]:
        """The tree of calls; a parent comes before its children. The first two are the cores."""
        count = int(self._tree[t.TREE_NODES])
        table = self._tree[t.NODES : t.NODES + count * t.NODE_WORDS].reshape(-1, t.NODE_WORDS)
        rows = [[int(value) for value in row] for row in table]
        inclusive = [[row[t.SELF], row[t.EXECUTED]] for row in rows]
        for i in range(count - 1, 1, -1):
            above = inclusive[rows[i][t.PARENT]]
            above[0] += inclusive[i][0]
            above[1] += inclusive[i][1]
        nodes = []
        for i, row in enumerate(rows):
            name, address, parent = f"core {i}", -1, -1
            if i >= len(t.ROOTS):
                address, parent = row[t.FUNCTION], row[t.PARENT]
                name = self.name(address)
            nodes.append(
                Node(name, address, row[t.SITE], parent, row[t.CALLS], row[t.SELF], row[t.EXECUTED], *inclusive[i])
            )
        return nodes

    def name(self, address: int) -> str:
        """What a function is called."""
        if address == t.ASLEEP_FUNCTION:
            return ASLEEP
        symbol = self.symbols.function_at(address)
        if symbol is not None:
            return symbol.name
        return f"boot ROM 0x{address:04x}" if address < layout.ROM_SIZE else f"0x{address:08x}"

    def place(self, address: int) -> tuple[str, int]:
        """File and line of an address; ("", 0) when nobody knows."""
        line = self.symbols.line_at(address)
        return (line.file, line.line) if line is not None else ("", 0)

    @property
    def total_cycles(self) -> int:
        """Cycles recorded, of both cores."""
        return sum(node.inclusive_cycles for node in self.nodes[: len(t.ROOTS)])

    @property
    def total_instructions(self) -> int:
        """Instructions recorded, of both cores."""
        return sum(node.inclusive_instructions for node in self.nodes[: len(t.ROOTS)])

    def functions(self) -> list[FunctionCost]:
        """All functions that ran, those with the most cycles of their own first."""
        nodes = self.nodes
        own: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])  # calls, cycles, inclusive, instructions
        above: list[frozenset[int]] = []
        for node in nodes:
            ancestors = above[node.parent] if node.parent >= 0 else frozenset()
            above.append(ancestors | {node.address} if node.parent >= 0 else ancestors)
            if node.parent < 0:
                continue
            sums = own[node.address]
            sums[0] += node.calls
            sums[1] += node.cycles
            sums[2] += 0 if node.address in ancestors else node.inclusive_cycles
            sums[3] += node.instructions
        costs = [
            FunctionCost(self.name(address), address, *self.place(address), *sums) for address, sums in own.items()
        ]
        return sorted(costs, key=lambda cost: (-cost.cycles, cost.name))

    def lines(self) -> list[LineCost]:
        """All source lines with code, by file and line; lines that did not run have count 0."""
        sums: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
        for line in self.symbols.lines:
            where = locate(line.start, line.end - line.start)
            if isinstance(where, slice):
                entry = sums[line.file, line.line]
                entry[0] += int(self.cycles[where.start // 2 : where.stop // 2].sum())
                entry[1] = max(entry[1], int(self.counts[where.start // 2]))
        return [LineCost(file, line, *pair) for (file, line), pair in sorted(sums.items()) if line]

    def stacks(self) -> list[StackUse]:
        """Stack use of the cores that ran."""
        tree = self._tree
        pairs = [(int(tree[t.TREE_HIGHEST_SP + i]), int(tree[t.TREE_LOWEST_SP + i])) for i in range(2)]
        return [StackUse(core, high, low) for core, (high, low) in enumerate(pairs) if high]
