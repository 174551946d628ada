"""Files that are either the old ones or the new ones, whatever ends the writer: small states, checkpoints, caches."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial"
"""Ends the name of what is being written; a power cut may leave such a file behind."""

_WRITER = re.compile(r"(\.[0-9]+)?\.partial$", re.IGNORECASE)


def name_when_whole(name: str) -> str:
    """The name that the file called `name` has or is to have: of a half, that of the whole."""
    return _WRITER.sub("", name)


def replace_file(path: Path, data: bytes, mode: int = 0o644, *, durable: bool = True, racing: bool = False) -> None:
    """Write `data` beside `path` and put it in its place; see `replacing`. Raises OSError; `path` is as before."""
    with replacing(path, mode, durable=durable, racing=racing) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path, mode: int = 0o644, *, durable: bool = True, racing: bool = False) -> Iterator[BinaryIO]:
    """A file beside `path` to write to, which takes its place at the end of the block.

    Args:
        path: what is replaced; whatever the block raises leaves it as before, and no half beside it.
        mode: permissions of a new file, before the umask.
        durable: sync the file and its name to the disk, so that they survive a power cut. A cache that can tell a
            damaged file, or is only damaged with the disk, does without.
        racing: other processes may write `path` at the same time: the half's name has this process's number.

    Raises OSError.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}" if racing else f"{path.name}{PARTIAL}")
    try:
        with open(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "w+b") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()  # a full disk must not fill up with halves
        raise
    if durable:
        _sync_names(path.parent)


def _sync_names(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
