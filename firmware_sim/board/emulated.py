"""A board that is the emulated RP2040 with the project's firmware; its clock is the emulated one."""

from __future__ import annotations

from pathlib import Path

from firmware_sim.firmware import PREBUILT
from firmware_sim.rp2040 import Board
from shared.errors import BadInputError, DeviceError

SYS_HZ = 125_000_000  # clocks.h; the few microseconds before the PLL runs are counted at this rate too
SLICE_CYCLES = 1_250_000  # 10 ms: how often the chip's receiver is refilled from what was written
PACKET_END = b"\0"


class EmulatedLine:
    """UART0 of an emulated chip that runs `firmware` (ELF or UF2; default: the ready-built one).

    The chip runs only while something is read from it. Raises BadInputError when `firmware` cannot be read.
    See `firmware_sim.board.line.Line`.
    """

    def __init__(self, firmware: Path | None = None) -> None:
        self.name = "emulated board"
        path = firmware or PREBUILT / "firmware.elf"
        try:
            self._image = path.read_bytes()
        except OSError as error:
            raise BadInputError(f"{path}: the firmware cannot be read: {error.strerror}") from None
        self._path = path
        self.reopen()

    def now_s(self) -> float:
        """Emulated seconds since the chip's reset."""
        return (self.board.cycles + self._idle_cycles) / SYS_HZ

    def write(self, data: bytes) -> None:
        """Queue bytes; they arrive at the speed that the firmware set."""
        self.board.uart0.write(data)

    def read(self, until_s: float) -> bytes:
        """Run the chip until it has sent a packet, or until `until_s`. Raises DeviceError when the chip fails."""
        while not (data := self.board.uart0.read()):
            left = round((until_s - self.now_s()) * SYS_HZ)
            if left <= 0:
                return b""
            stop = self.board.run(max_cycles=min(left, SLICE_CYCLES), until_text=PACKET_END)
            if stop.faults:
                raise DeviceError(f"the emulated chip failed: {str(stop.faults[0]).splitlines()[0]}")
            if stop.reason == "idle":
                self._idle_cycles += left  # it waits for input and nothing else would happen
            elif stop.reason not in ("max_cycles", "text"):
                raise DeviceError(f"the emulated chip stopped at 0x{stop.pc:08x}: {stop.reason}")
        return data

    def reopen(self) -> None:
        """Reset the chip."""
        self._idle_cycles = 0
        self.board = Board()
        self.board.load(self._image)

    def close(self) -> None:
        """Nothing is held."""
