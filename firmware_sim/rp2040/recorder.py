"""The Python side of `record.py`: one recorder a board, for whoever wants to see instructions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np

from firmware_sim.rp2040 import record
from firmware_sim.rp2040.layout import IntArray
from firmware_sim.rp2040.machine import run_core
from firmware_sim.rp2040.memory_map import locate
from firmware_sim.rp2040.points import Point, WatchHit

if TYPE_CHECKING:
    from firmware_sim.rp2040.board import Board

BATCH_RECORDS = 1 << 14  # that a consumer gets at once
RECORDED_SLICE_CYCLES = 2_000_000
# consume(ring, capacity, first, end): see the records `first` to `end`; record i is at i % capacity
Consumer = Callable[[IntArray, int, int, int], None]


class Recorder:
    """Runs a board one instruction at a time. `registers`: keep them in each record."""

    def __init__(self, board: Board, capacity: int = BATCH_RECORDS, *, registers: bool = False) -> None:
        self.board = board
        self.log = cast(IntArray, np.zeros(record.LOG_WORDS, np.int64))
        self.ring = cast(IntArray, np.zeros((capacity + 2) * record.RECORD_WORDS, np.int64))
        self.capacity = capacity
        self.consumers: list[Consumer] = []
        self.hit: WatchHit | None = None
        self.keep = False  # record for `last` alone
        self.log[record.LOG_CAPACITY] = capacity
        self.log[record.LOG_REGISTERS] = registers
        self.log[record.LOG_PASSED : record.LOG_PASSED + 2] = -1
        self.lose_track()

    @property
    def wanted(self) -> bool:
        """Whether anybody wants to see instructions."""
        return self.keep or bool(self.consumers)

    def lose_track(self) -> None:
        """The board ran, or was restored, without a record."""
        self.log[record.LOG_LAST_CYCLE : record.LOG_LAST_CYCLE + 2] = -1

    def advance(self, before: bool = False, *, one_step: bool = False) -> int:
        """Run until END, for a while, or until a reason to stop; EXIT_* of `layout` or `record`.

        before: stop before the access of a watchpoint, not behind it. one_step: run one instruction of one core.
        """
        board, log = self.board, self.log
        watches = self._watches()
        S = board.chip.S
        log[record.LOG_STOP_WHEN_FULL] = bool(self.consumers)
        log[record.LOG_BEFORE] = before
        end = board.present + RECORDED_SLICE_CYCLES
        steps = 1 if one_step else RECORDED_SLICE_CYCLES
        code = record.EXIT_FULL
        while code == record.EXIT_FULL:
            code = int(record.run_recorded(S, run_core.address, end, steps, log, self.ring, watches))
            self.hand_out()
        if code == record.EXIT_WATCH:
            self._take_hit()
        return code

    def hand_out(self) -> None:
        """Give the consumers what they have not seen."""
        first, end = int(self.log[record.LOG_TAKEN]), int(self.log[record.LOG_HEAD])
        for consume in self.consumers:
            consume(self.ring, self.capacity, first, end)
        self.log[record.LOG_TAKEN] = end

    def last(self, count: int) -> list[IntArray]:
        """The last records, oldest first, each [RECORD_WORDS]."""
        head = int(self.log[record.LOG_HEAD])
        rows = self.ring.reshape(-1, record.RECORD_WORDS)  # the last two are records in the making
        return [rows[i % self.capacity] for i in range(max(0, head - min(count, self.capacity)), head)]

    def _watches(self) -> IntArray:
        """The board's watchpoints for compiled code: int64 [n * WATCH_WORDS], at least one row."""
        points = self.board.points.watched
        rows = cast(IntArray, np.zeros(max(1, len(points)) * record.WATCH_WORDS, np.int64))
        for i, point in enumerate(points):
            first = int(record.watch_address(point.address))
            rows[i * 3], rows[i * 3 + 1], rows[i * 3 + 2] = first, first + point.size - 1, point.kind
        self.log[record.LOG_WATCHES] = len(points)
        return rows

    def _take_hit(self) -> None:
        core = int(self.log[record.LOG_HIT_CORE])
        at = record.LOG_HIT + core * record.HIT_WORDS
        pc, address, size, kind, number = (int(value) for value in self.log[at : at + 5])
        access = "read" if kind == record.READ else "write"
        point = self.board.points.watched[number]
        self.hit = WatchHit(address, size, access, pc, core, self._value(point), point)

    def _value(self, point: Point) -> int | None:
        """What is in a watched place of at most 8 bytes of memory now."""
        where = locate(point.address, point.size) if point.size <= 8 else None
        return None if where is None else int.from_bytes(self.board.chip.mem.bytes[where].tobytes(), "little")
