"""Breakpoints, hooks and watchpoints: where a run stops or calls Python.

A breakpoint costs nothing while it is not reached: the decoded table holds an instruction that leaves the loop there,
also after the code was written anew. Watchpoints are exact and therefore look at every instruction's accesses; while
one exists the emulator runs at about 5 million instructions a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from firmware_sim.rp2040.memory_map import locate
from shared.errors import BadInputError

if TYPE_CHECKING:
    from firmware_sim.rp2040.board import Board
    from firmware_sim.rp2040.chip import Chip

Access = Literal["read", "write", "any"]
READ, WRITE = 1, 2  # bits of a watchpoint's kind
KINDS: dict[str, int] = {"read": READ, "write": WRITE, "any": READ | WRITE}


@dataclass(frozen=True, eq=False)
class Point:
    """A breakpoint or hook at an instruction, or a watchpoint on [address, address + size). `remove()` ends it."""

    address: int
    callback: Callable[[Board], object] | None
    size: int
    kind: int  # 0 for instructions, else bits READ and WRITE
    points: Points

    def remove(self) -> None:
        """Take it away; twice does no harm."""
        self.points.remove(self)


@dataclass(frozen=True)
class WatchHit:
    """An access that a watchpoint saw, by the instruction at `pc`.

    `value` is what the watched bytes hold after it; None for registers of blocks and for more than 8 bytes.
    """

    address: int
    size: int
    access: str  # "read" or "write"
    pc: int
    core: int  # 0 or 1
    value: int | None
    point: Point


class Points:
    """All points of one board."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._code: dict[int, list[Point]] = {}  # by memory offset of the instruction
        self.watched: list[Point] = []

    def add_code(self, address: int, callback: Callable[[Board], object] | None) -> Point:
        """Stop or call at an instruction. Raises BadInputError where no code can be."""
        point = Point(address & ~1, callback, 2, 0, self)
        self._code.setdefault(self._offset(point.address), []).append(point)
        self._mark(self._offset(point.address), True)
        return point

    def add_watch(self, address: int, size: int, access: Access) -> Point:
        """Stop after an access to [address, address + size). Raises BadInputError."""
        if access not in KINDS:
            raise BadInputError(f"access {access!r}: one of {', '.join(KINDS)}")
        if size < 1 or address < 0 or address + size > 1 << 32:
            raise BadInputError(f"nothing to watch in {size} bytes at 0x{address:08x}")
        point = Point(address, None, size, KINDS[access], self)
        self.watched.append(point)
        return point

    def remove(self, point: Point) -> None:
        """Take a point away."""
        if point in self.watched:
            self.watched.remove(point)
        elif not point.kind:
            offset = self._offset(point.address)
            here = self._code.get(offset, [])
            if point in here:
                here.remove(point)
            if not here and self._code.pop(offset, None) is not None:
                self._mark(offset, False)

    def at(self, address: int) -> list[Point]:
        """Points at the instruction that `address` leads to, through any alias."""
        where = locate(address, 2)
        return list(self._code.get(where.start, ())) if isinstance(where, slice) else []

    def lift(self, addresses: list[int]) -> list[int]:
        """Make the instructions at `addresses` runnable; what `lower` needs."""
        offsets = [self._offset(address) for address in addresses if self.at(address)]
        for offset in offsets:
            self._mark(offset, False)
        return offsets

    def lower(self, offsets: list[int]) -> None:
        """Undo `lift`."""
        for offset in offsets:
            self._mark(offset, offset in self._code)

    def _offset(self, address: int) -> int:
        where = locate(address & ~1, 2)
        if not isinstance(where, slice):
            raise BadInputError(f"no code can be at 0x{address:08x}")
        return int(where.start)

    def _mark(self, offset: int, stops: bool) -> None:
        self._chip.mem.breaks[offset >> 1] = stops
        self._chip.forget_code_at(offset, 2)

    def __getstate__(self) -> Any:
        raise TypeError("breakpoints, hooks and watchpoints belong to one process: pickle Board.snapshot() instead")
