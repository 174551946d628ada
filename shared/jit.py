"""numba behind a typed face, so that `mypy --strict` sees the functions and not an untyped decorator.

numba's disk cache looks only at the file of the function that is compiled. Kernels call kernels of other files, so
after an upgrade a caller would go on with its callees' old code (seen: wrong pictures and an endless loop). Each
package's kernels are therefore cached in a folder named by a hash of all its sources.

Where that folder cannot be written, kernels are compiled anew in each process.

numba comes with the extra `sim`; a gateway with a real board never imports this module.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast, overload

from shared.cache_folder import VARIABLE, cache_folder
from shared.errors import MissingPartError

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
    folder = _kernel_folder(".".join(function.__module__.split(".")[:2])) if options.get("cache", True) else None
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
def _kernel_folder(package: str) -> Path | None:
    """Where the kernels of `package` (its first two levels, or a lone module) are kept, by a hash of its sources.

    None when the folder cannot be written. A shared temporary folder is no way out: the cache holds pickles.
    """
    module = sys.modules[package]
    places = getattr(module, "__path__", None)
    sources = sorted(Path(places[0]).rglob("*.py")) if places else [Path(str(module.__file__))]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    folder = cache_folder() / "kernels" / f"{package}-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        log.warning("%s: %s; kernels are compiled in each process: set %s", folder, error.strerror, VARIABLE)
        return None
