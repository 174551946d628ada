"""How the emulator is compiled: many inner functions, few entry points, one cache key over all sources.

numba caches a function by its own file. The core spans many files, and a cached caller would keep the old code of a
changed callee; so only entry points are cached, and each closes over SOURCES_STAMP, which is part of their key.
Inner functions get no wrappers for Python, which more than halves the compilation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from shared.jit import jit

Function = TypeVar("Function", bound=Callable[..., Any])
OPTIONS: dict[str, Any] = {"error_model": "numpy"}  # no division here has a zero divisor


def _stamp() -> int:
    """63 bits of a hash of every source file of this package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:8], "little") >> 1 | 1


SOURCES_STAMP = _stamp()


def inner(function: Function) -> Function:
    """Compile a function that only compiled code calls. Its plain form stays at `.py_func`."""
    return jit(cache=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(function)


def entry_point(function: Function) -> Function:
    """Compile a function that Python calls, cached on disk."""
    return jit(no_cfunc_wrapper=True, **OPTIONS)(function)
