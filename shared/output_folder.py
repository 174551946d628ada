"""Where a long command writes: refused before its work, not after."""

from __future__ import annotations

import tempfile
from pathlib import Path

from shared.errors import BadInputError


def output_folder(folder: Path) -> Path:
    """`folder`, made where it is missing. Raises BadInputError when nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except FileExistsError:
        raise BadInputError(f"{folder}: is a file: name a folder") from None
    except OSError as error:
        raise BadInputError(f"{folder}: cannot be written: {error.strerror}") from None


def output_file(path: Path) -> Path:
    """`path`, whose folder is made where it is missing. Raises BadInputError when it cannot be written."""
    output_folder(path.parent)
    try:
        if path.exists():
            path.open("ab").close()
    except IsADirectoryError:
        raise BadInputError(f"{path}: is a folder: name a file") from None
    except OSError as error:
        raise BadInputError(f"{path}: cannot be written: {error.strerror}") from None
    return path
