"""docs/emulator.md is run: its shell lines as processes, its Python as one session."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
PAGE = Path(__file__).parents[2] / "docs" / "emulator.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def to_uf2() -> Callable[[bytes], bytes]:
    """The conversion that makes the committed UF2 files."""
    spec = importlib.util.spec_from_file_location("programs_build", PROGRAMS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    convert: Callable[[bytes], bytes] = module.to_uf2
    return convert


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(PROGRAMS / "calls.elf", tmp_path / "firmware.elf")
    shutil.copy(PROGRAMS / "echo.uf2", tmp_path / "echo.uf2")
    (tmp_path / "firmware.uf2").write_bytes(to_uf2()((tmp_path / "firmware.elf").read_bytes()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines()]


def test_every_command_works(folder: Path) -> None:
    lines = commands()
    assert len(lines) == 10
    for line in lines:
        if " bench " in line:
            continue  # measures for half a minute; test_rp2040_cli.py knows it
        words = shlex.split(line, comments=True)
        assert words[0] == "crustwatch"
        done = subprocess.run(
            [sys.executable, "-m", "shared.cli", *words[1:]],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=os.environ,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert done.stdout or "stopped:" in done.stderr, line
    assert sorted(path.name for path in (folder / "profile").iterdir()) == [
        "callgrind.out",
        "coverage.lcov",
        "profile.speedscope.json",
    ]


@pytest.mark.usefixtures("folder")
def test_python_works() -> None:
    names: dict[str, object] = {}
    parts = blocks("python")
    assert len(parts) == 5
    for part in parts:
        exec(compile(part, str(PAGE), "exec"), names)  # noqa: S102


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (PAGE.parent / link).is_file(), link


def test_every_command_of_the_help_is_on_the_page() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "shared.cli", "emu", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    for name in re.findall(r"^│ ([a-z]+) ", done.stdout, re.MULTILINE):
        assert f"crustwatch emu {name}" in TEXT, name
