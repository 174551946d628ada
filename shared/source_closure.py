"""The sources that a module is made of: its own file and all that it imports from its package, directly or not.

What is compiled from sources is cached by a hash of these, because kernels call kernels of other files: after an edit a
caller would go on with its callees' old code.
"""

from __future__ import annotations

import functools
import hashlib
import os
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


@functools.cache
def _modules(top: str, root: str) -> dict[str, str]:
    """Files of all modules of a package by their names; a package's own file by the package's name."""
    found = {}
    for folder, folders, files in os.walk(os.path.join(root, top)):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        package = os.path.relpath(folder, root).replace(os.sep, ".")
        for file in files:
            if file.endswith(".py"):
                name = package if file == "__init__.py" else f"{package}.{file[:-3]}"
                found[name] = os.path.join(folder, file)
    return found


@functools.cache
def _text(path: str) -> str:
    """A source, read once a process: the kernels of many modules share their imports."""
    return Path(path).read_text("utf-8")


@functools.cache
def _neighbours(path: str, top: str, root: str) -> frozenset[str]:
    """Files below `root` of the modules of the package `top` that a source imports."""
    modules = _modules(top, root)
    names = {name for name in _imported(_text(path)) if name in modules}
    # `from a.b import c` with a module a.b.c says nothing about what a/b/__init__.py defines.
    parents = {name.rpartition(".")[0] for name in names}
    return frozenset(
        modules[name] for name in names if name not in parents or not modules[name].endswith("__init__.py")
    )


def _sources(module: str) -> set[str]:
    """Files of `module` and of everything it imports from its top-level package, directly or not."""
    parts = module.split(".")
    own = Path(str(sys.modules[module].__file__))
    root = str(own.parents[len(parts) - (own.name != "__init__.py")])
    waiting, found = [str(own)], {str(own)}
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
