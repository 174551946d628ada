"""numba behind a typed face, so that `mypy --strict` sees the functions and not an untyped decorator.

numba comes with the extra `sim`; a gateway with a real board never imports this module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast, overload

from shared.errors import MissingPartError

try:
    import numba
except ImportError as error:
    raise MissingPartError("numba is missing: pip install 'crustwatch[sim]'") from error

Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def jit(function: Function) -> Function: ...
@overload
def jit(**options: Any) -> Callable[[Function], Function]: ...
def jit(function: Function | None = None, **options: Any) -> Any:
    """Compile with `numba.njit`, cached on disk; options go to numba (`fastmath`, `nogil`, `inline`, ...)."""
    options.setdefault("cache", True)
    if function is not None:
        return cast(Function, numba.njit(function, **options))
    return lambda wrapped: cast(Function, numba.njit(wrapped, **options))
