"""The byte stream between a client and a board, with the clock that its timeouts are counted on."""

from __future__ import annotations

from typing import Protocol


class Line(Protocol):
    """A serial line. Seconds are emulated ones for an emulated chip and real ones for a port."""

    name: str

    def now_s(self) -> float:
        """Time on this line's clock."""
        ...

    def write(self, data: bytes) -> None:
        """Queue bytes to the board. Raises DeviceError when the line is gone."""
        ...

    def read(self, until_s: float) -> bytes:
        """Bytes from the board: what is there, or the first that come before `until_s`; none is b"".

        Raises DeviceError when the line is gone.
        """
        ...

    def reopen(self) -> None:
        """Make a line that is gone usable again, if it is back. Raises DeviceError when it is not."""
        ...

    def close(self) -> None:
        """Give the line back; closing twice is fine."""
        ...
