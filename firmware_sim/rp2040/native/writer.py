"""LLVM IR of one function as text, with the guest's registers and flags in stack slots that LLVM turns into values.

Inside a block the last value of each slot is known by name, so that most reads are free. A value may be a function
that writes the IR when somebody asks: flags are mostly overwritten before.
"""

from __future__ import annotations

from collections.abc import Callable

# int32 r0..r14 and nz (N = bit 31, Z = it is 0); int1 c and v; int32 line, the word of code that was fetched last.
Slot = str
Later = Callable[[list[str]], str]
REGISTERS = tuple(f"r{i}" for i in range(15))
TYPES: dict[Slot, str] = dict.fromkeys(REGISTERS, "i32") | {"nz": "i32", "c": "i1", "v": "i1", "line": "i32"}


class Writer:
    """Collects the lines of a function: `main` in order, `cold` (the ways out) behind it."""

    def __init__(self) -> None:
        self.main: list[str] = []
        self.cold: list[str] = []
        self.written: set[Slot] = set()  # slots that any block changes
        self.used: set[Slot] = set()
        self._names = 0
        self._values: dict[Slot, str | Later] = {}
        self._changed: set[Slot] = set()

    def name(self) -> str:
        """A new name."""
        self._names += 1
        return f"%v{self._names}"

    def value(self, text: str, lines: list[str] | None = None) -> str:
        """Name of the result of an IR instruction, appended to `lines` (default: main)."""
        name = self.name()
        (self.main if lines is None else lines).append(f"  {name} = {text}")
        return name

    def begin_block(self, label: str) -> None:
        """Nothing is known about the slots now."""
        self.main.append(f"{label}:")
        self._values.clear()
        self._changed.clear()

    def read(self, slot: Slot) -> str:
        """Present value of a slot."""
        value = self._values.get(slot)
        if value is None:
            self.used.add(slot)
            value = self.value(f"load {TYPES[slot]}, ptr %{slot}")
        elif callable(value):
            value = value(self.main)
        self._values[slot] = value
        return value

    def write(self, slot: Slot, value: str | Later) -> None:
        """Give a slot a value."""
        self._values[slot] = value
        self._changed.add(slot)
        self.written.add(slot)
        self.used.add(slot)

    def flush(self, lines: list[str]) -> None:
        """Store what the block changed to the slots."""
        for slot in sorted(self._changed):
            value = self._values[slot]
            name = value(lines) if callable(value) else value
            lines.append(f"  store {TYPES[slot]} {name}, ptr %{slot}")
