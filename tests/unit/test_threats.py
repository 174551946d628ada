"""THREATS.md names a test for everything that it says holds; each of them must be there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_is_named_exists() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(?:(test_\w+\.py)::)?(test_\w+)`", (ROOT / "THREATS.md").read_text())
    assert len(named) > 30
    assert [name for _, name in named if f"def {name}(" not in tests] == []
    for file, name in named:
        if file:
            [path] = (ROOT / "tests").rglob(file)
            assert f"def {name}(" in path.read_text(), f"{name} is not in {file}"
