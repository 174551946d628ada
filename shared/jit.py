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
import hashlib
import logging
import re
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
IMPORT = re.compile(r"^ *(?:from +([\w.]+) +import +(\([^)]*\)|[^\n]*)|import +([\w.]+))", re.MULTILINE)

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


def _imported(text: str) -> set[str]:
    """Modules that a source may import: for `from a.b import c` both `a.b` and `a.b.c`, whichever is a file."""
    names: set[str] = set()
    for package, members, module in IMPORT.findall(text):
        names.add(module or package)
        names.update(f"{package}.{name}" for name in re.findall(r"(\w+)(?: +as +\w+)?", members) if package)
    return names


def _source_file(name: str, root: Path) -> Path | None:
    """File of a module below `root`. A package's own file counts where no member of it is meant."""
    plain = root.joinpath(*name.split("."))
    for path in (plain.with_suffix(".py"), plain / "__init__.py"):
        if path.is_file():
            return path
    return None


@functools.cache
def _text(path: Path) -> str:
    """A source, read once a process: the kernels of many modules share their imports."""
    return path.read_text("utf-8")


@functools.cache
def _neighbours(path: Path, top: str, root: Path) -> frozenset[Path]:
    """Files below `root` of the modules of the package `top` that a source imports."""
    names = {name for name in _imported(_text(path)) if name.split(".")[0] == top}
    files = {name: file for name in names if (file := _source_file(name, root))}
    # `from a.b import c` with a module a.b.c says nothing about what a/b/__init__.py defines.
    whole = {name for name in files if any(other.startswith(f"{name}.") for other in files)}
    return frozenset(file for name, file in files.items() if name not in whole or file.name != "__init__.py")


def _sources(module: str) -> list[Path]:
    """Files of `module` and of everything it imports from its top-level package, directly or not, sorted."""
    parts = module.split(".")
    own = Path(str(sys.modules[module].__file__))
    root = own.parents[len(parts) - 1]
    waiting, found = [own], {own}
    while waiting:
        new = _neighbours(waiting.pop(), parts[0], root) - found
        found |= new
        waiting += new
    return sorted(found)


@functools.cache
def _kernel_folder(module: str) -> Path | None:
    """Where the kernels of `module` are kept, named by a hash of the sources they are made from.

    None when the folder cannot be written. A shared temporary folder is no way out: the cache holds pickles.
    """
    digest = hashlib.sha256()
    for source in _sources(module):
        digest.update(_text(source).encode("utf-8"))
    folder = cache_folder() / "kernels" / f"{module}-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        log.warning("%s: %s; kernels are compiled in each process: set %s", folder, error.strerror, VARIABLE)
        return None


def is_cached(function: Callable[..., Any]) -> bool:
    """Whether an earlier process has compiled this function from the sources as they are."""
    folder = _kernel_folder(function.__module__)
    return folder is not None and any(folder.glob(f"*/*.{function.__qualname__}-*.nbi"))


def c_function(function: Callable[..., Any], signature: str, **options: Any) -> Any:
    """Compile now, with a C signature, cached on disk: an object of numba whose `address` other code may call."""
    folder = _kernel_folder(function.__module__)
    settings = cast(Any, numba.config)
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder)
    try:
        return numba.cfunc(signature, cache=folder is not None, **options)(function)
    finally:
        settings.CACHE_DIR = before
