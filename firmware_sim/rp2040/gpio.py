"""The pins of a board from outside: drive them, read them, watch their edges.

>>> from firmware_sim.rp2040 import Board
>>> board = Board()
>>> board.gpio.set(4, 1)
>>> board.gpio.read(4)
1
>>> board.gpio.release(4)
>>> board.gpio.read(4)  # pulled down since reset
0
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.chip import Chip
from shared.errors import BadInputError

PINS = 30
LOG_LIMIT = layout.PIN_LOG_ENTRIES // 2  # entries after which the compiled log is taken over
FUNCTIONS = ("XIP", "SPI", "UART", "I2C", "PWM", "SIO", "PIO0", "PIO1", "CLOCK", "USB")
SS = 1 << layout.QSPI_SHIFT + 1


@dataclass(frozen=True)
class Edge:
    """A watched pin changed to `level` (0 or 1) at `cycle`."""

    cycle: int
    pin: int
    level: int


class Gpio:
    """GPIO 0 to 29. What is set here lasts through resets of the chip, as wires do."""

    def __init__(self, chip: Chip, keep: int = 100_000) -> None:
        self._chip = chip
        self._edges: deque[Edge] = deque(maxlen=keep)
        self._callbacks: dict[int, list[Callable[[Edge], None]]] = {}
        chip.bank0.drain = self._drain
        chip.S[layout.PIN_LOG_LIMIT] = LOG_LIMIT

    def _bit(self, pin: int) -> int:
        if not 0 <= pin < PINS:
            raise BadInputError(f"no GPIO {pin}: the RP2040 has GPIO 0 to 29")
        return 1 << pin

    def _place(self, word: int, bit: int, on: bool) -> None:
        self._chip.catch_up()
        S = self._chip.S
        S[word] = S[word] | bit if on else S[word] & ~bit

    def set(self, pin: int, level: int) -> None:
        """Drive a pin from outside, as strongly as the chip does, until `release`."""
        bit = self._bit(pin)
        self._place(layout.GPIO_EXTERNAL, bit, bool(level))
        self._place(layout.PIN_EXTERNAL_MASK, bit, True)
        self._chip.pins_changed()

    def release(self, pin: int) -> None:
        """Stop driving: pulls or the chip decide."""
        self._place(layout.PIN_EXTERNAL_MASK, self._bit(pin), False)
        self._chip.pins_changed()

    def pull(self, pin: int, direction: int) -> None:
        """A resistor on the board: 1 up, 0 down, -1 none. It wins against the chip's weaker pulls."""
        bit = self._bit(pin)
        self._place(layout.PIN_EXTERNAL_UP, bit, direction == 1)
        self._place(layout.PIN_EXTERNAL_DOWN, bit, direction == 0)
        self._chip.pins_changed()

    def read(self, pin: int) -> int:
        """Level at the pad."""
        bit = self._bit(pin)
        self._chip.refresh_pins()
        return 1 if self._chip.S[layout.PIN_PAD] & bit else 0

    def is_output(self, pin: int) -> bool:
        """Whether the chip drives the pin."""
        return bool(self._chip.S[layout.PIN_OE_PAD] & self._bit(pin))

    def function(self, pin: int) -> str:
        """Block that IO_BANK0 gives the pin to: SIO, PWM, ...; empty when none."""
        bit = self._bit(pin)
        for number, name in enumerate(FUNCTIONS):
            if self._chip.S[layout.PIN_FUNCTION + number] & bit:
                return name
        return ""

    @property
    def levels(self) -> int:
        """Levels at all 30 pads, bit = GPIO number."""
        self._chip.refresh_pins()
        return int(self._chip.S[layout.PIN_PAD])

    @property
    def conflicts(self) -> list[int]:
        """Pins on which the chip and `set` have driven against each other since power-on."""
        return [pin for pin in range(PINS) if self._chip.S[layout.PIN_CONFLICT] >> pin & 1]

    @property
    def bootsel(self) -> bool:
        """Whether the BOOTSEL button, which pulls the flash's chip select low, is pressed."""
        return bool(self._chip.S[layout.PIN_EXTERNAL_MASK] & SS)

    @bootsel.setter
    def bootsel(self, pressed: bool) -> None:
        self._place(layout.PIN_EXTERNAL_MASK, SS, pressed)
        self._place(layout.GPIO_EXTERNAL, SS, False)
        self._chip.pins_changed()

    def watch(self, pin: int, callback: Callable[[Edge], None] | None = None) -> None:
        """Record the pin's edges in `edges`; `callback` is called for each one, before the next instruction."""
        S, bit = self._chip.S, self._bit(pin)
        self._drain(0)
        S[layout.PIN_WATCH] |= bit
        if callback is not None:
            self._callbacks.setdefault(pin, []).append(callback)
        S[layout.PIN_LOG_LIMIT] = 1 if self._callbacks else LOG_LIMIT
        self._chip.pins_changed()

    def unwatch(self, pin: int) -> None:
        """Stop recording a pin and calling back for it."""
        self._drain(0)
        self._callbacks.pop(pin, None)
        self._chip.S[layout.PIN_WATCH] &= ~self._bit(pin)
        self._chip.S[layout.PIN_LOG_LIMIT] = 1 if self._callbacks else LOG_LIMIT
        self._chip.pins_changed()

    @property
    def edges(self) -> list[Edge]:
        """Edges of the watched pins, the last 100,000, oldest first."""
        self._drain(0)
        return list(self._edges)

    def clear(self) -> None:
        """Forget the edges recorded so far."""
        self._drain(0)
        self._edges.clear()

    def queues(self) -> list[Edge]:
        """The edges recorded so far, for a snapshot."""
        return self.edges

    def set_queues(self, edges: list[Edge]) -> None:
        """Inverse of `queues`; callbacks are those of this board."""
        self._edges.clear()
        self._edges.extend(edges)
        self._chip.S[layout.PIN_LOG_LIMIT] = 1 if self._callbacks else LOG_LIMIT

    def _drain(self, cycle: int) -> None:
        """Take the compiled log over."""
        S = self._chip.S
        while S[layout.PIN_LOG_COUNT]:
            count = int(S[layout.PIN_LOG_COUNT])
            log = [int(word) for word in S[layout.PIN_LOG : layout.PIN_LOG + 3 * count]]
            S[layout.PIN_LOG_COUNT] = 0
            for when, levels, changed in zip(log[::3], log[1::3], log[2::3], strict=True):
                for pin in range(PINS):
                    if changed >> pin & 1:
                        self._note(Edge(when, pin, levels >> pin & 1))

    def _note(self, edge: Edge) -> None:
        self._edges.append(edge)
        for callback in self._callbacks.get(edge.pin, ()):
            callback(edge)
