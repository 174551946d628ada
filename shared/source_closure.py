"""The sources that a module is made of: its own file and all that it imports from its package, directly or not.

What is compiled from sources is cached by a hash of these, because kernels call kernels of other files: after an edit a
caller would go on with its callees' old code.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sys
from pathlib import Path

IMPORT = re.compile(r"^ *(?:from +([\w.]+) +import +(\([^)]*\)|[^\n]*)|import +([\w.]+))", re.MULTILINE)


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


def _sources(module: str) -> set[Path]:
    """Files of `module` and of everything it imports from its top-level package, directly or not."""
    parts = module.split(".")
    own = Path(str(sys.modules[module].__file__))
    root = own.parents[len(parts) - 1]
    waiting, found = [own], {own}
    while waiting:
        new = _neighbours(waiting.pop(), parts[0], root) - found
        found |= new
        waiting += new
    return found


def sources_digest(*modules: str) -> str:
    """Hexadecimal SHA-256 of the sources that these loaded modules are made of."""
    digest = hashlib.sha256()
    for source in sorted(set().union(*map(_sources, modules))):
        digest.update(_text(source).encode("utf-8"))
    return digest.hexdigest()
