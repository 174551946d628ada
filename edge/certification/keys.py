"""Where the key is kept that signs certificates of the gate."""

from __future__ import annotations

import os
from pathlib import Path


def default_key_file() -> Path:
    """Where the key of this user is kept (XDG base directories)."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path("~/.config").expanduser()) / "crustwatch" / "certificate-key.pem"
