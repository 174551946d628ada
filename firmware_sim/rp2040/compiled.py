"""How the emulator is compiled: many inner functions, some far ones, few entry points.

Inner functions get no wrappers for Python and no cache of their own; entry points are cached on disk together with
everything they call. Far functions are compiled and cached by themselves and called through addresses in the state, so
that the interpreter holds no copy of the peripherals and a change of one block compiles that block alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from firmware_sim.rp2040.linked_only import linked_only
from shared.jit import c_function, jit

Function = TypeVar("Function", bound=Callable[..., Any])
# No division here has a zero divisor, and arrays are only borrowed: counting references would double the time.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
FAR_SIGNATURE = "int64(int64, int64, int64, int64, int64)"


def inner(function: Function) -> Function:
    """Compile a function that only compiled code calls. Its plain form stays at `.py_func`."""
    compiled = jit(cache=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(function)
    if hasattr(compiled, "_compiler"):  # not with NUMBA_DISABLE_JIT
        linked_only(compiled)
    return compiled


def entry_point(function: Function) -> Function:
    """Compile a function that Python calls, cached on disk. Other threads run meanwhile."""
    return jit(no_cfunc_wrapper=True, nogil=True, **OPTIONS)(function)


class Far:
    """A function `int f(state, a, b, c, d)` of integers; `state` is the address of the state array, see far.chip_at."""

    def __init__(self, function: Callable[[int, int, int, int, int], int]) -> None:
        self.function = function

    @cached_property
    def _compiled(self) -> Any:
        return c_function(self.function, FAR_SIGNATURE, **OPTIONS)

    @property
    def address(self) -> int:
        """Where the compiled code is; compiles it or reads it from the cache."""
        return int(self._compiled.address)


def far(function: Callable[[int, int, int, int, int], int]) -> Far:
    """Compile by itself, on demand."""
    return Far(function)
