"""numba behind a typed face, so that `mypy --strict` sees the functions and not an untyped decorator.

numba's disk cache looks only at the file of the function that is compiled. Kernels call kernels of other files, so
after an upgrade a caller would go on with its callees' old code (seen: wrong pictures and an endless loop). The
kernels of a module are therefore cached in a folder named by a hash of its source and of all that it imports from its
package, directly or not.

Where that folder cannot be written, kernels are compiled anew in each process.

numba comes with the extra `sim`; a gateway with a real board never imports this module.
"""

from __future__ import annotations

import functools
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast, overload

from shared.cache_folder import VARIABLE, cache_folder
from shared.errors import MissingPartError
from shared.source_closure import sources_digest

try:
    import numba
except ImportError as error:
    raise MissingPartError("numba is missing: pip install 'crustwatch[sim]'") from error

log = logging.getLogger(__name__)

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
    folder = _kernel_folder(function.__module__) if options.get("cache", True) else None
    if folder is None:
        return cast(Function, numba.njit(function, **(options | {"cache": False})))
    settings = cast(Any, numba.config)  # a module whose attributes numba makes at run time
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder)
    try:
        return cast(Function, numba.njit(function, **(options | {"cache": True})))
    finally:
        settings.CACHE_DIR = before


@functools.cache
def _kernel_folder(module: str) -> Path | None:
    """Where the kernels of `module` are kept, named by a hash of the sources they are made from.

    None when the folder cannot be written. A shared temporary folder is no way out: the cache holds pickles.
    """
    folder = cache_folder() / "kernels" / f"{module}-{sources_digest(module)[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        log.warning("%s: %s; kernels are compiled in each process: set %s", folder, error.strerror, VARIABLE)
        return None
