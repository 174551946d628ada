"""numba behind a typed face, so that `mypy --strict` sees the functions and not an untyped decorator.

numba's disk cache looks only at the file of the function that is compiled. Kernels call kernels of other files, so
after an upgrade a caller would go on with its callees' old code (seen: wrong pictures and an endless loop). Each
package's kernels are therefore cached in a folder named by a hash of all its sources.

numba comes with the extra `sim`; a gateway with a real board never imports this module.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast, overload

from shared.cache_folder import cache_folder
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
    if function is not None:
        return _compiled(function, options)
    return lambda wrapped: _compiled(wrapped, options)


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    settings = cast(Any, numba.config)  # a module whose attributes numba makes at run time
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(_kernel_folder(".".join(function.__module__.split(".")[:2])))
    try:
        return cast(Function, numba.njit(function, **({"cache": True} | options)))
    finally:
        settings.CACHE_DIR = before


@functools.cache
def _kernel_folder(package: str) -> Path:
    """Where the kernels of `package` (its first two levels, or a lone module) are kept, by a hash of its sources."""
    module = sys.modules[package]
    places = getattr(module, "__path__", None)
    sources = sorted(Path(places[0]).rglob("*.py")) if places else [Path(str(module.__file__))]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return cache_folder() / "kernels" / f"{package}-{digest.hexdigest()[:16]}"
