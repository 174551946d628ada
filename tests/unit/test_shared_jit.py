"""Compiled kernels: a changed callee in another file must never leave its caller with the old code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CALLEE = """
from shared.jit import jit

@jit
def step(x):
    return x + {}
"""
CALLER = """
from kernels.deep.callee import step
from shared.jit import jit

@jit
def twice(x):
    return step(step(x))
"""


def write_kernels(folder: Path) -> Path:
    package = folder / "kernels" / "deep"
    package.mkdir(parents=True)
    (folder / "kernels" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "caller.py").write_text(CALLER)
    (package / "callee.py").write_text(CALLEE.format(1))
    return package


def call(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CRUSTWATCH_CACHE": str(folder / "cache"), "PYTHONPATH": str(folder)}
    script = "from kernels.deep.caller import twice; print(twice(10))"
    return subprocess.run(
        [sys.executable, "-B", "-c", script], capture_output=True, text=True, check=True, env=environment, timeout=300
    )


def run(folder: Path) -> int:
    return int(call(folder).stdout)


def test_an_edit_in_one_file_reaches_the_kernels_of_another(tmp_path: Path) -> None:
    package = write_kernels(tmp_path)
    assert run(tmp_path) == 12
    stored = sorted((tmp_path / "cache" / "kernels").rglob("*.nbc"))
    assert stored
    assert run(tmp_path) == 12
    assert sorted((tmp_path / "cache" / "kernels").rglob("*.nbc")) == stored
    (package / "callee.py").write_text(CALLEE.format(100))
    assert run(tmp_path) == 210


def test_without_a_cache_folder_kernels_still_run_and_the_reason_is_told(tmp_path: Path) -> None:
    write_kernels(tmp_path)
    (tmp_path / "cache").touch()  # a file where the folder should be: not even root can write below it
    done = call(tmp_path)
    assert int(done.stdout) == 12
    assert "set CRUSTWATCH_CACHE" in done.stderr
