"""The last instructions before a fault or a stop, with registers and names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

from firmware_sim.rp2040 import record
from firmware_sim.rp2040.disassembly import disassemble
from firmware_sim.rp2040.recorder import Recorder
from firmware_sim.rp2040.report import REGISTER_NAMES
from shared.errors import BadInputError

if TYPE_CHECKING:
    from firmware_sim.rp2040.board import Board

MAX_INSTRUCTIONS = 1 << 20


class Trace:
    """Keeps the last `length` instructions of a board while it runs."""

    def __init__(self, board: Board, length: int = 64) -> None:
        if not 1 <= length <= MAX_INSTRUCTIONS:
            raise BadInputError(f"a trace keeps 1 to {MAX_INSTRUCTIONS} instructions, not {length}")
        self.board = board
        self.length = length
        self._before = board.recorder
        consumers = self._before.consumers if self._before is not None else []
        self.recorder = board.recorder = Recorder(board, length + 8, registers=True)
        self.recorder.consumers, self.recorder.keep = consumers, True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Keep no more."""
        if self.board.recorder is self.recorder:
            self.board.recorder = self._before

    def entries(self) -> Iterator[dict[str, Any]]:
        """What ran, oldest first: cycle, core, address, place, text, cycles, registers before."""
        symbols = self.board.symbols
        for row in self.recorder.last(self.length):
            at, kind = int(row[record.AT]), int(row[record.KIND])
            line = symbols.line_at(at)
            text = disassemble(self.board.read_memory, at, symbols).text
            if kind & record.ASLEEP:
                text = "asleep"
            elif kind & record.JUMPED:
                text = "done by the host"
            elif not kind & record.RAN:
                text = "preempted"
            if kind & record.ENTERED:
                text += f"; exception {int(row[record.EXCEPTION])} to 0x{int(row[record.NEXT]):08x}"
            registers = zip(REGISTER_NAMES, row[record.REGISTERS :], strict=False)
            yield {
                "cycle": int(row[record.STARTED]),
                "core": int(row[record.CORE]),
                "address": at,
                "symbol": symbols.describe(at),
                "file": line.file if line else "",
                "line": line.line if line else 0,
                "text": text,
                "cycles": int(row[record.TOOK]),
                "registers": {} if kind & record.JUMPED else {name: int(value) for name, value in registers},
            }

    def lines(self) -> Iterator[str]:
        """One line an instruction, and below it the registers that the one before it changed."""
        shown: dict[int, dict[str, int]] = {}
        for entry in self.entries():
            core, registers = entry["core"], entry["registers"]
            if registers:
                old = shown.get(core)
                names = [n for n in registers if n != "pc" and (old is None or old[n] != registers[n])]
                items = [f"{name} {registers[name]:08x}" for name in names]
                for i in range(0, len(items), 8):
                    yield f"{'':>24}{'  '.join(items[i : i + 8])}"
                shown[core] = registers
            yield f"{entry['cycle']:>12} {core} {entry['address']:08x}  {entry['text']:<40} {entry['symbol']}".rstrip()
