"""Registers of the chip without a program: accesses at cycles of the test's choice, through the bus as a core does."""

from __future__ import annotations

import ctypes
import struct

from firmware_sim.rp2040 import Board, layout
from firmware_sim.rp2040.machine import update_pins

FAR = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 5)
WORD = 0xFFFFFFFF
IO_BANK0, RESETS = 0x40014000, 0x4000C000


class Registers:
    """A chip whose cores do nothing. `now` is the cycle of the next access, and only the test moves it."""

    def __init__(self) -> None:
        self.board = Board()
        self.board.load(struct.pack("<2IH", 0x20040000, 0x20000009, 0xE7FE), address=0x20000000)  # b .
        self.board.chip.link()
        self.S = S = self.board.chip.S
        self._read, self._write, self._advance = (
            FAR(int(S[at])) for at in (layout.FAR_READ, layout.FAR_WRITE, layout.FAR_ADVANCE)
        )
        self.now = 1000
        self.write(RESETS, 0)

    def read(self, address: int, size: int = 4) -> int:
        """Load at `now`."""
        value = self._read(int(self.S[layout.STATE_AT]), 0, address, size, self.now)
        assert value >= 0, f"load from 0x{address:08x} failed"
        return value & WORD

    def write(self, address: int, value: int, size: int = 4) -> None:
        """Store at `now`."""
        cost = self._write(int(self.S[layout.STATE_AT]), 0, address, (value & WORD) << 3 | size, self.now)
        assert cost >= 0, f"store to 0x{address:08x} failed"

    def until(self, cycle: int) -> None:
        """Let time pass: DMA and PIO run up to `cycle`."""
        assert cycle >= self.now
        self.now = cycle
        self.S[layout.CYCLES] = cycle
        self._advance(int(self.S[layout.STATE_AT]), cycle, 0, 0, 0)

    def function(self, pins: range | list[int], function: int) -> None:
        """Give pins to a function: 5 SIO, 6 PIO0, 7 PIO1."""
        for pin in pins:
            self.write(IO_BANK0 + 8 * pin + 4, function)

    def drive(self, levels: int, mask: int = (1 << 30) - 1) -> None:
        """Put levels on the pins of `mask` from outside, at `now`."""
        S = self.S
        self.until(self.now)
        S[layout.PIN_EXTERNAL_MASK] |= mask
        S[layout.GPIO_EXTERNAL] = int(S[layout.GPIO_EXTERNAL]) & ~mask | levels & mask
        update_pins(S, self.now)
        self.until(self.now)
