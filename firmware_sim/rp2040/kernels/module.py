"""LLVM text of a library: its functions and all that they call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from firmware_sim.rp2040.kernels.assignments import WiderVariableError
from firmware_sim.rp2040.kernels.function import Function
from firmware_sim.rp2040.kernels.intrinsics import DECLARATIONS
from firmware_sim.rp2040.kernels.program import Program


def write_function(function: Callable[..., Any], program: Program, name: str, *, internal: bool) -> str:
    """LLVM text of a kernel."""
    wide: frozenset[str] = frozenset()
    while True:
        try:
            return Function(function, program, wide).text(name, internal=internal)
        except WiderVariableError as error:
            wide |= {str(error)}


def write_program(entries: dict[str, Callable[..., Any]]) -> str:
    """LLVM module of the functions `entries`, by the names under which they are found, and all that they call."""
    program = Program()
    texts = [write_function(function, program, f"@{name}", internal=False) for name, function in entries.items()]
    while program.waiting:
        function = program.waiting.pop()
        texts.append(write_function(function, program, program.names[function], internal=True))
    tables = [f"{name} = {definition}" for name, definition in program.tables.items()]
    return "\n".join([*DECLARATIONS, *tables, *texts, ""])
