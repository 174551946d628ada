"""How the emulator is compiled: many inner functions, few entry points.

Inner functions get no wrappers for Python and no cache of their own; entry points are cached on disk together with
everything they call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from shared.jit import jit

Function = TypeVar("Function", bound=Callable[..., Any])
# No division here has a zero divisor, and arrays are only borrowed: counting references would double the time.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}


def inner(function: Function) -> Function:
    """Compile a function that only compiled code calls. Its plain form stays at `.py_func`."""
    return jit(cache=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(function)


def entry_point(function: Function) -> Function:
    """Compile a function that Python calls, cached on disk."""
    return jit(no_cfunc_wrapper=True, **OPTIONS)(function)
