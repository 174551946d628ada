"""Pieces of C text."""

from __future__ import annotations

from collections.abc import Iterable

VALUES_A_LINE = 24
ON_HOST = "#ifndef __ARM_ARCH_6M__"


def array(declaration: str, values: Iterable[int]) -> list[str]:
    """A C array definition, wrapped."""
    texts = [str(int(value)) for value in values]
    rows = [texts[i : i + VALUES_A_LINE] for i in range(0, len(texts), VALUES_A_LINE)]
    return [f"{declaration} = {{", *("    " + ", ".join(row) + "," for row in rows), "};", ""]
