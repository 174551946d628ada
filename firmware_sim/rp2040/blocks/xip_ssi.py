"""XIP_SSI: as much of the serial flash interface as second-stage boot loaders use. RP2040 datasheet 4.10.

Reads of the flash by XIP do not pass here. Commands written to DR0 while the interface is in standard mode reach a
small model of the flash chip: status registers with the quad-enable bit set, and the JEDEC id of a 2 MB part.
"""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.rp2040.layout import State
from firmware_sim.rp2040.registers import Register, RegisterBlock

NAMES = (
    *("CTRLR0", "CTRLR1", "SSIENR", "MWCR", "SER", "BAUDR", "TXFTLR", "RXFTLR", "TXFLR", "RXFLR", "SR", "IMR", "ISR"),
    *("RISR", "TXOICR", "RXOICR", "RXUICR", "MSTICR", "ICR", "DMACR", "DMATDLR", "DMARDLR", "IDR", "SSI_VERSION_ID"),
)
REGISTERS = {name: Register(4 * i) for i, name in enumerate(NAMES)}
REGISTERS |= {f"DR{i}": Register(0x60 + 4 * i) for i in range(36)}
REGISTERS |= {
    "RX_SAMPLE_DLY": Register(0xF0),
    "SPI_CTRLR0": Register(0xF4, 0x03000000),
    "TXD_DRIVE_EDGE": Register(0xF8),
}
TFE, TFNF, RFNE = 1 << 2, 1 << 1, 1 << 3
# Command -> bytes answered after it (repeating the last): status 1-3, JEDEC id (Winbond W25Q16JV), unique id.
ANSWERS = {
    0x05: (0x00,),
    0x35: (0x02,),
    0x15: (0x00,),
    0x9F: (0xEF, 0x40, 0x15),
    0x4B: (0, 0, 0, 0, 0x43, 0x57, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01),
}


class XipSsi(RegisterBlock):
    """Transmit FIFO always empty; each word written to DR0 answers with one received word."""

    remembers = ("values", "_command", "_position", "_received")

    def __init__(self, S: State, report: Callable[[str, int], None]) -> None:
        self._command: int | None = None
        self._position = 0
        self._received: list[int] = []
        super().__init__("XIP_SSI", REGISTERS, S, report)

    def _exchange(self, value: int) -> int:
        """One byte to the flash chip, and its answer."""
        if self._command is None:
            self._command, self._position = value & 255, 0
            return 0
        answer = ANSWERS.get(self._command, (0,))
        byte = answer[min(self._position, len(answer) - 1)]
        self._position += 1
        return byte

    def read(self, name: str, look: bool) -> int:
        """SR ends the command: the chip select is released once the transmit FIFO is empty."""
        if name == "SR":
            if not look:
                self._command = None
            return TFE | TFNF | (RFNE if self._received else 0)
        if name == "RXFLR":
            return len(self._received)
        if name.startswith("DR"):
            if not self._received or look:
                return 0
            return self._received.pop(0)
        if name == "SSI_VERSION_ID":
            return 0x3430312A
        return self.values[name]

    def write(self, name: str, value: int, cycle: int) -> None:
        """DR0 sends a byte; disabling the interface empties the FIFOs."""
        self.values[name] = value
        if name.startswith("DR") and self.values["SSIENR"] & 1:
            self._received.append(self._exchange(value))
            del self._received[:-16]
        elif name == "SSIENR" and not value & 1:
            self._command, self._received = None, []
