"""IO_BANK0 and IO_QSPI: function, overrides, status and interrupts of each pin. RP2040 datasheet 2.19.6.

The levels themselves are computed by blocks/pins.py; here are the registers. An interrupt register holds four bits a
pin (level low, level high, edge low, edge high), eight pins a word; the state holds one word for each of the four.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from firmware_sim.rp2040.blocks import pins
from firmware_sim.rp2040.layout import (
    PIN_EDGE_HIGH,
    PIN_EDGE_LOW,
    PIN_FUNCTION,
    PIN_INOVER,
    PIN_INPUT_ENABLE,
    PIN_INTE,
    PIN_INTF,
    PIN_IRQ,
    PIN_IRQOVER,
    PIN_LEVELS,
    PIN_LOG_COUNT,
    PIN_LOG_LIMIT,
    PIN_OE_PAD,
    PIN_OEOVER,
    PIN_OUTOVER,
    QSPI_SHIFT,
    WRITTEN,
    State,
)
from firmware_sim.rp2040.registers import Register, RegisterBlock

NULL = 0x1F  # FUNCSEL that gives the pin to nobody
CTRL_WRITABLE = 0x3003331F
OVERRIDES = ((8, PIN_OUTOVER), (12, PIN_OEOVER), (16, PIN_INOVER), (28, PIN_IRQOVER))  # (bit in CTRL, masks)
TARGETS = ("PROC0", "PROC1", "DORMANT_WAKE")
BANK0_NAMES = tuple(f"GPIO{pin}" for pin in range(30))
QSPI_NAMES = tuple(f"GPIO_QSPI_{name}" for name in ("SCLK", "SS", "SD0", "SD1", "SD2", "SD3"))

# Bits of GPIOx_STATUS
OUTFROMPERI, OUTTOPAD, OEFROMPERI, OETOPAD, INFROMPAD, INTOPERI, IRQFROMPAD, IRQTOPROC = 8, 9, 12, 13, 17, 19, 24, 26


def bank_registers(names: Sequence[str]) -> dict[str, Register]:
    """STATUS and CTRL of each pin, then INTR, and INTE, INTF, INTS of each target."""
    registers = {}
    for i, name in enumerate(names):
        registers[f"{name}_STATUS"] = Register(8 * i, 0, 0)
        registers[f"{name}_CTRL"] = Register(8 * i + 4, NULL, CTRL_WRITABLE)
    at, words = 8 * len(names), (len(names) + 7) // 8
    for kind in ("INTR", *(f"{target}_{kind}" for target in TARGETS for kind in ("INTE", "INTF", "INTS"))):
        for word in range(words):
            registers[f"{kind}{word}" if words > 1 else kind] = Register(at)
            at += 4
    return registers


class IoBank(RegisterBlock):
    """IO_BANK0 or IO_QSPI. `changed(cycle)` computes the levels anew; `drain(cycle)` takes the log of edges."""

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        S: State,
        report: Callable[[str, int], None],
        changed: Callable[[int], None],
    ) -> None:
        self._changed = changed
        self._pins = {pin: i for i, pin in enumerate(names)}
        self._shift = QSPI_SHIFT if name == "IO_QSPI" else 0
        self._mask = (1 << len(names)) - 1 << self._shift
        self.drain: Callable[[int], None] | None = None
        super().__init__(name, bank_registers(names), S, report)

    def reset(self) -> None:
        """All pins belong to nobody, without overrides and interrupts."""
        super().reset()
        words = [PIN_FUNCTION + i for i in range(16)] + [base + i for _, base in OVERRIDES for i in range(3)]
        words += [PIN_INTE + i for i in range(12)] + [PIN_INTF + i for i in range(12)] + [PIN_EDGE_LOW, PIN_EDGE_HIGH]
        for word in words:
            self.S[word] &= ~self._mask
        self._changed(0)

    def _bit(self, register: str) -> int:
        """Bit of the pin that a register like GPIO7_CTRL belongs to."""
        return self._pins[register.rpartition("_")[0]] + self._shift

    def _planes(self, register: str, plain: str) -> tuple[list[int], int]:
        """The four state words of an INTE or INTF register, and its first pin."""
        target, _, kind = register.rpartition("_")
        word = int(kind[len(plain) :] or 0)
        base = (PIN_INTE if plain == "INTE" else PIN_INTF) + 4 * TARGETS.index(target)
        return [base + i for i in range(4)], self._shift + 8 * word

    def _gather(self, planes: list[int], first: int) -> int:
        """Four bits a pin for eight pins from four words of the state."""
        mask = self._mask >> first & 0xFF
        value = 0
        for i, plane in enumerate(planes):
            bits = plane >> first & mask
            for pin in range(8):
                value |= (bits >> pin & 1) << (4 * pin + i)
        return value

    def _raw(self) -> list[int]:
        """INTR as four words: the levels live, the edges latched."""
        irq = int(self.S[PIN_IRQ])
        return [~irq & self._mask, irq, int(self.S[PIN_EDGE_LOW]), int(self.S[PIN_EDGE_HIGH])]

    def _status(self, bit: int) -> int:
        S = self.S
        out, oe = pins.peripheral_out(S), pins.peripheral_oe(S)
        over = pins.overridden
        pad = S[PIN_LEVELS] & S[PIN_INPUT_ENABLE]
        signals = {
            OUTFROMPERI: out,
            OUTTOPAD: over(S, out, PIN_OUTOVER),
            OEFROMPERI: oe,
            OETOPAD: S[PIN_OE_PAD],
            INFROMPAD: pad,
            INTOPERI: over(S, pad, PIN_INOVER),
            IRQFROMPAD: pad,
            IRQTOPROC: over(S, pad, PIN_IRQOVER),
        }
        return sum((int(levels) >> bit & 1) << position for position, levels in signals.items())

    def read(self, name: str, look: bool) -> int:
        """STATUS, INTR and INTS are computed."""
        if name.endswith("_STATUS"):
            return self._status(self._bit(name))
        if name.endswith("_CTRL"):
            return self.values[name]
        if name.startswith("INTR"):
            return self._gather(self._raw(), self._shift + 8 * int(name[4:] or 0))
        S = self.S
        if "_INTS" in name:
            enabled, first = self._planes(name.replace("INTS", "INTE"), "INTE")
            forced, _ = self._planes(name.replace("INTS", "INTF"), "INTF")
            raw = self._raw()
            return self._gather([(int(S[enabled[i]]) & raw[i]) | int(S[forced[i]]) for i in range(4)], first)
        planes, first = self._planes(name, "INTE" if "_INTE" in name else "INTF")
        return self._gather([int(S[plane]) for plane in planes], first)

    def write(self, name: str, value: int, cycle: int) -> None:
        """CTRL sets function and overrides; INTR clears latched edges."""
        S = self.S
        if name.endswith("_CTRL"):
            self.values[name] = value
            bit = 1 << self._bit(name)
            for function in range(16):
                S[PIN_FUNCTION + function] &= ~bit
            if value & 0x1F < 16:
                S[PIN_FUNCTION + (value & 0x1F)] |= bit
            for position, base in OVERRIDES:
                chosen = value >> position & 3  # 0 normal, 1 invert, 2 low, 3 high
                for i in range(3):
                    S[base + i] = S[base + i] | bit if chosen == i + 1 else S[base + i] & ~bit
        elif name.startswith("INTR"):
            first, value = self._shift + 8 * int(name[4:] or 0), int(S[WRITTEN])
            for pin in range(8):
                bit = 1 << first + pin & self._mask
                if value >> 4 * pin & 4:
                    S[PIN_EDGE_LOW] &= ~bit
                if value >> 4 * pin & 8:
                    S[PIN_EDGE_HIGH] &= ~bit
        elif "_INTE" in name or "_INTF" in name:
            planes, first = self._planes(name, "INTE" if "_INTE" in name else "INTF")
            for i, plane in enumerate(planes):
                bits = sum((value >> 4 * pin + i & 1) << pin for pin in range(8)) << first
                S[plane] = (S[plane] & ~(0xFF << first)) | (bits & self._mask)
        self._changed(cycle)

    def due(self, cycle: int) -> None:
        """Hand the edges on the watched pins to the host."""
        if self.drain is not None and self.S[PIN_LOG_COUNT]:
            self.drain(cycle)

    def next_event(self) -> int | None:
        """At once, when the log is as full as it may get."""
        full = self._shift == 0 and self.S[PIN_LOG_COUNT] >= max(1, self.S[PIN_LOG_LIMIT])
        return 0 if full else None
