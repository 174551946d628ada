"""How the fields of a message lie on the line: shared by the generator and the codec."""

from __future__ import annotations

from typing import NamedTuple

SCALARS = {"u8": (1, False), "u16": (2, False), "u32": (4, False), "u64": (8, False), "i8": (1, True)}
"""Bytes and signedness of each scalar type; all little-endian."""


class Field(NamedTuple):
    """One field: a scalar (`size` None), exactly `size` of them, or, `listed`, a count and up to `size` of them."""

    name: str
    scalar: str
    size: int | None
    listed: bool
    doc: str = ""

    @property
    def width(self) -> int:
        """Bytes of one scalar."""
        return SCALARS[self.scalar][0]

    @property
    def signed(self) -> bool:
        """Whether the scalar is two's complement."""
        return SCALARS[self.scalar][1]

    @property
    def count_bytes(self) -> int:
        """Bytes of the count that stands before a list, 0 for other fields."""
        if not self.listed or self.size is None:
            return 0
        return 1 if self.size < 256 else 2

    @property
    def max_bytes(self) -> int:
        """The most bytes this field takes on the line, its count included."""
        return self.count_bytes + self.width * (1 if self.size is None else self.size)
