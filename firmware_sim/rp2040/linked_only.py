"""Functions that are only linked into others are neither optimised nor made machine code: it would be thrown away.

numba makes machine code of every function, then links the function's LLVM code into each caller, optimises and makes
machine code of that. For the emulator's few hundred inner functions this was a seventh of the first compilation. While
an inner function is compiled, the last steps of its library are left out; everything else is numba's.
"""

from __future__ import annotations

from typing import Any, cast

from numba import _dynfunc  # type: ignore[attr-defined]
from numba.core import codegen, cpu

_depth = 0  # inner functions that are being compiled, one inside the other
_finish = cast(Any, codegen.CPUCodeLibrary)._finalize_final_module
_optimize = cast(Any, codegen.CPUCodeLibrary)._optimize_final_module
_make_executable = cast(Any, cpu.CPUContext).get_executable


def _finalize_final_module(library: Any) -> None:
    """As numba's, but without machine code for an inner function."""
    if _depth == 0:
        _finish(library)
        return
    library._finalize_dynamic_globals()
    library._finalized = True


def _optimize_final_module(library: Any) -> None:
    """As numba's; an inner function is optimised with its callers, where it ends up."""
    if _depth == 0:
        _optimize(library)


def _get_executable(context: Any, library: Any, description: Any, environment: Any) -> Any:
    """As numba's; an inner function has nothing to execute, but numba finds it by this object."""
    if _depth == 0:
        return _make_executable(context, library, description, environment)
    make: Any = _dynfunc.make_function
    return make(description.lookup_module(), description.qualname, "", 0, environment, (library,))


cast(Any, codegen.CPUCodeLibrary)._finalize_final_module = _finalize_final_module
cast(Any, codegen.CPUCodeLibrary)._optimize_final_module = _optimize_final_module
cast(Any, cpu.CPUContext).get_executable = _get_executable


def linked_only(dispatcher: Any) -> None:
    """Mark a numba function as one that only compiled code calls."""
    compiler = dispatcher._compiler
    compile_core = compiler._compile_core

    def compile_inner(arguments: Any, result: Any) -> Any:
        global _depth
        _depth += 1
        try:
            return compile_core(arguments, result)
        finally:
            _depth -= 1

    compiler._compile_core = compile_inner
