"""Blocks whose registers are served by Python: rarely accessed ones, where 1 us an access does not matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from firmware_sim.rp2040.blocks.lines import set_line
from firmware_sim.rp2040.layout import DREQ_LEVEL, HOST_EVENT, NEXT_EVENT, State


@dataclass(frozen=True)
class Register:
    """One register: offset in bytes, reset value, and the bits that a write changes."""

    offset: int
    reset: int = 0
    writable: int = 0xFFFFFFFF


class RegisterBlock:
    """A block of 32-bit registers. Subclasses override `read` and `write` for what does more than store.

    `remembers` names the attributes that a snapshot holds.
    `registers` maps datasheet names to Register. `report(name, offset)` is called for an access outside of it.
    """

    remembers: tuple[str, ...] = ("values",)

    def __init__(
        self, name: str, registers: Mapping[str, Register], S: State, report: Callable[[str, int], None]
    ) -> None:
        self.name = name
        self.S = S
        self.registers = registers
        self._names = {register.offset: key for key, register in registers.items()}
        self._report = report
        self.values: dict[str, int] = {}
        self.reset()

    def reset(self) -> None:
        """Give every register its reset value."""
        self.values = {name: register.reset for name, register in self.registers.items()}

    def load(self, offset: int, look: bool) -> int:
        """Value at `offset`; `look` must have no side effect."""
        name = self._names.get(offset)
        if name is None:
            if not look:
                self._report(self.name, offset)
            return self.values.get(f"+0x{offset:03x}", 0)
        return self.read(name, look) & 0xFFFFFFFF

    def store(self, offset: int, value: int, cycle: int) -> None:
        """Write the word at `offset`, at the cycle `cycle`."""
        name = self._names.get(offset)
        if name is None:
            self._report(self.name, offset)
            self.values[f"+0x{offset:03x}"] = value
            return
        writable = self.registers[name].writable
        self.write(name, (self.values[name] & ~writable) | (value & writable), cycle)

    def read(self, name: str, look: bool) -> int:
        """Value of a register."""
        return self.values[name]

    def write(self, name: str, value: int, cycle: int) -> None:
        """Store to a register."""
        self.values[name] = value

    def set_irq(self, number: int, level: bool) -> None:
        """Set the level of interrupt line `number`; the cores look at it before their next instruction."""
        S = self.S
        set_line(S, number, level)
        S[NEXT_EVENT] = 0

    def set_dreq(self, number: int, level: bool) -> None:
        """Set the level of DMA request `number` (datasheet table 120)."""
        S = self.S
        S[DREQ_LEVEL] = S[DREQ_LEVEL] | 1 << number if level else S[DREQ_LEVEL] & ~(1 << number)
        S[NEXT_EVENT] = 0

    def wake(self, cycle: int) -> None:
        """Ask for `due` at `cycle` or earlier; for events that something else than a store brought about."""
        if cycle < self.S[HOST_EVENT]:
            self.S[HOST_EVENT] = cycle
            self.S[NEXT_EVENT] = min(self.S[NEXT_EVENT], cycle)

    def due(self, cycle: int) -> None:
        """S[HOST_EVENT] was reached: do what this block has planned for `cycle` or earlier."""

    def next_event(self) -> int | None:
        """Cycle of the block's next event."""
        return None


class CompiledBlock(RegisterBlock):
    """A block whose registers are served by compiled code; `put_back()` gives them their reset values."""

    def __init__(self, name: str, S: State, report: Callable[[str, int], None], put_back: Callable[[], None]) -> None:
        self._put_back = put_back
        super().__init__(name, {}, S, report)

    def reset(self) -> None:
        """Put the words of the state back."""
        super().reset()
        self._put_back()


class StoredBlock(RegisterBlock):
    """A block that only stores; a value other than the reset value of what would do something is told."""

    def __init__(
        self,
        name: str,
        registers: Mapping[str, Register],
        S: State,
        report: Callable[[str, int], None],
        without_effect: Mapping[str, str],
        warn: Callable[[str], None],
    ) -> None:
        self._without_effect = without_effect
        self._warn = warn
        super().__init__(name, registers, S, report)

    def write(self, name: str, value: int, cycle: int) -> None:
        """Store."""
        self.values[name] = value
        if name in self._without_effect and value != self.registers[name].reset:
            self._warn(f"{self.name}.{name} is not modelled: {self._without_effect[name]}")


def stored(offsets: Mapping[str, int], reset: int = 0) -> dict[str, Register]:
    """Registers that only store, with one reset value."""
    return {name: Register(offset, reset) for name, offset in offsets.items()}
