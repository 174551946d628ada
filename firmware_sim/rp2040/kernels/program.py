"""What the functions of one library share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Program:
    """Which other functions they call, and constant tables."""

    def __init__(self) -> None:
        self.waiting: list[Callable[..., Any]] = []
        self.names: dict[Callable[..., Any], str] = {}
        self.tables: dict[str, str] = {}  # definition by name

    def name_of(self, function: Callable[..., Any]) -> str:
        """LLVM name of an inner function, which will be written too."""
        if function not in self.names:
            self.names[function] = f'@"{function.__module__}.{function.__qualname__}"'
            self.waiting.append(function)
        return self.names[function]

    def table(self, values: Any) -> str:
        """LLVM name of a constant array, int64 [n]."""
        numbers = [int(value) for value in values]
        definition = f"internal constant [{len(numbers)} x i64] [" + ", ".join(f"i64 {n}" for n in numbers) + "]"
        for name, known in self.tables.items():
            if known == definition:
                return name
        name = f"@table{len(self.tables)}"
        self.tables[name] = definition
        return name
