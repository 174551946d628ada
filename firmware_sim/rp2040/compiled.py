"""How the emulator is compiled: many inner functions, some far ones, few entry points.

Inner functions become part of whatever compiled function calls them. Far functions and entry points are compiled in
libraries (units.py), or each by itself, and cached on disk; far functions are called through addresses in the state, so
that the interpreter holds no copy of the peripherals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from firmware_sim.rp2040.kernels.library import Compiled

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])


def inner(function: Function) -> Function:
    """Mark a function that compiled code may call. In Python it stays what it is."""
    function.kernel = True  # type: ignore[attr-defined]
    return function


def apart(function: Function) -> Function:
    """As `inner`, but called, not copied into its callers: for what a loop that has no register left does rarely."""
    function.stays_apart = True  # type: ignore[attr-defined]
    return inner(function)


def entry_point(function: Callable[Parameters, Result]) -> Compiled[Parameters, Result]:
    """Compile a function of arrays and integers that Python calls, when it first does."""
    return Compiled(function)


def far(function: Callable[[int, int, int, int, int], int]) -> Compiled[[int, int, int, int, int], int]:
    """Compile a function (state, a, b, c, d) that compiled code calls by its address; see far.longs_at."""
    return Compiled(function)
