"""The board's flash from the host's side, and the file that keeps it from run to run.

The file is the flash, byte for byte. Every finished page program or erase is written to it in one call, so that it is
valid whenever the emulator is killed; it is locked against a second emulator.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path

import numpy as np

from firmware_sim.rp2040.chip import Chip
from firmware_sim.rp2040.flash_chip import SECTOR
from firmware_sim.rp2040.layout import FLASH_BASE, FLASH_OFFSET, FLASH_SIZE
from shared.atomic_file import replace_file
from shared.errors import BadInputError

try:
    import fcntl
except ImportError:  # not a POSIX system: no lock there
    fcntl = None  # type: ignore[assignment]


class FlashFile:
    """An open image file of FLASH_SIZE bytes. Raises BadInputError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not path.exists():
                replace_file(path, b"\xff" * FLASH_SIZE, durable=False, racing=True)
            self._file = path.open("r+b", buffering=0)
            size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise BadInputError(f"flash image {path}: {error.strerror or error}") from None
        if size != FLASH_SIZE:
            self._file.close()
            raise BadInputError(f"flash image {path} has {size} bytes: the flash has {FLASH_SIZE}")
        if fcntl is not None:
            try:
                fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._file.close()
                raise BadInputError(f"flash image {path} is in use by another emulator") from None
        weakref.finalize(self, self._file.close)

    def read(self) -> bytes:
        """All of it."""
        return os.pread(self._file.fileno(), FLASH_SIZE, 0)

    def write(self, offset: int, data: bytes) -> None:
        """Bytes at an offset, in one call to the system."""
        os.pwrite(self._file.fileno(), data, offset)

    def close(self) -> None:
        """Close and unlock."""
        self._file.close()


class Flash:
    """`board.flash`: offsets count from the start of the flash; addresses of the XIP window are taken too."""

    def __init__(self, chip: Chip, path: str | Path | None) -> None:
        self._chip = chip
        self._file = FlashFile(Path(path)) if path is not None else None
        if self._file is not None:
            self._cells[:] = np.frombuffer(self._file.read(), np.uint8)
        chip.flash_changed = self._mirror

    @property
    def _cells(self) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        return self._chip.mem.bytes[FLASH_OFFSET : FLASH_OFFSET + FLASH_SIZE]

    @property
    def path(self) -> Path | None:
        """The image file."""
        return None if self._file is None else self._file.path

    @property
    def busy(self) -> bool:
        """Whether the flash chip programs or erases at the moment."""
        return self._chip.flash.busy

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the flash. Raises BadInputError."""
        start = self._offset(offset, size)
        return self._cells[start : start + size].tobytes()

    def write(self, offset: int, data: bytes) -> None:
        """Set bytes as a programmer with an eraser would. Raises BadInputError."""
        start = self._offset(offset, len(data))
        self._cells[start : start + len(data)] = np.frombuffer(data, np.uint8)
        self._changed(start, len(data))

    def erase(self, offset: int = 0, size: int = FLASH_SIZE) -> None:
        """Set bytes to 0xff; all without arguments. Raises BadInputError."""
        self.write(offset, b"\xff" * size)

    def save(self, path: str | Path) -> None:
        """Write the flash as a file of its own. Raises BadInputError."""
        try:
            replace_file(Path(path), self._cells.tobytes(), durable=False, racing=True)
        except OSError as error:
            raise BadInputError(f"flash image {path}: {error.strerror or error}") from None

    def close(self) -> None:
        """Release the image file; the flash goes on without it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def erase_sectors_of(self, chunks: tuple[tuple[int, bytes], ...]) -> None:
        """Erase the sectors that addresses and bytes of a firmware file touch, as loading it on a board does."""
        touched: set[int] = set()
        for address, data in chunks:
            if FLASH_BASE <= address < FLASH_BASE + FLASH_SIZE:
                first = address - FLASH_BASE
                touched.update(range(first // SECTOR, (first + len(data) - 1) // SECTOR + 1))
        for sector in sorted(touched):
            self.erase(sector * SECTOR, SECTOR)

    def synchronise(self) -> None:
        """Make the file equal to the memory, after a snapshot came back."""
        if self._file is not None:
            old = np.frombuffer(self._file.read(), np.uint8).reshape(-1, SECTOR)
            for sector in np.flatnonzero((old != self._cells.reshape(-1, SECTOR)).any(axis=1)).tolist():
                self._mirror(sector * SECTOR, SECTOR)

    def _offset(self, offset: int, size: int) -> int:
        start = offset - FLASH_BASE if offset >= FLASH_BASE else offset
        if not 0 <= start <= start + size <= FLASH_SIZE:
            raise BadInputError(f"no flash at 0x{offset:x}, {size} bytes: it has 0x{FLASH_SIZE:x}")
        return start

    def _changed(self, start: int, size: int) -> None:
        if size:
            self._chip.forget_code_at(FLASH_OFFSET + start, size)
            self._mirror(start, size)

    def _mirror(self, start: int, size: int) -> None:
        if self._file is not None:
            self._file.write(start, self._cells[start : start + size].tobytes())
