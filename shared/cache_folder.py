"""Where crustwatch keeps what it can make again: compiled kernels, rendered frames."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "CRUSTWATCH_CACHE"


def cache_folder() -> Path:
    """The folder named by CRUSTWATCH_CACHE, else `crustwatch` in the user's cache folder (XDG base directories)."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "crustwatch"
