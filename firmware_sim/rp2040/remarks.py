"""What the emulator has to say about a run: things it cannot do, and things that a board would not do. Each once."""

from __future__ import annotations

from collections.abc import Callable

from shared.errors import DeviceError


class StrictError(DeviceError):
    """In strict mode the first remark ends the run."""


class Remarks:
    """`warnings` in the order in which they came. `where()` is the PC of the core that runs, for people."""

    def __init__(self, where: Callable[[], str], describe: Callable[[str, int], str]) -> None:
        self.warnings: list[str] = []
        self.strict = False
        self.reported: set[str] = set()
        self._where = where
        self._describe = describe

    def warn(self, text: str) -> None:
        """Say something once. Raises StrictError in strict mode."""
        if text not in self.warnings:
            self.warnings.append(text)
            if self.strict:
                raise StrictError(f"strict: {text}")

    def warn_here(self, text: str) -> None:
        """Say something once, with the PC at which it happened first."""
        if text not in self.reported:
            self.reported.add(text)
            self.warn(f"{text} ({self._where()})")

    def unmodelled(self, block: str, offset: int) -> None:
        """Say once that a register is not modelled."""
        self.warn_here(f"{self._describe(block, offset)} is not modelled")
