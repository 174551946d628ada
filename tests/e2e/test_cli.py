"""The command as a new user meets it: help with examples, light imports, one-line errors."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import typer
from typer.main import get_command

from shared.cli import GROUP

HEAVY = ("torch", "transformers", "numba", "numpy", "rich.live", "paho", "PIL", "av", "onnxruntime", "ai_edge_litert")
COMMANDS = sorted(entry.name for entry in entry_points(group=GROUP))


def crustwatch(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shared.cli", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def leaves(command: object, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    """Every runnable command below `command` with its help text."""
    children = getattr(command, "commands", None)
    if not children:
        return [(path, getattr(command, "help", "") or "")]
    return [leaf for name, child in children.items() for leaf in leaves(child, (*path, name))]


def all_commands() -> list[tuple[tuple[str, ...], str]]:
    found = []
    for entry in entry_points(group=GROUP):
        app = entry.load()
        assert isinstance(app, typer.Typer)
        found += leaves(get_command(app), (entry.name,))
    return found


def test_the_documented_commands_are_there() -> None:
    assert {"broker", "cloud", "demo", "edge", "emu", "firmware", "pki", "purge", "render", "watch"} <= set(COMMANDS)


def test_every_command_has_help_with_an_example() -> None:
    missing = [" ".join(path) for path, text in all_commands() if f"crustwatch {' '.join(path)}" not in text]
    assert missing == []


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom shared.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.rstrip().endswith("LOADED []"), done.stdout[-300:]


@pytest.mark.parametrize("package", ["shared", "firmware_sim", "edge"])
def test_the_edge_never_loads_torch(package: str) -> None:
    script = (
        "import importlib, pkgutil, sys\n"
        f"import {package} as root\n"
        "for found in pkgutil.walk_packages(root.__path__, root.__name__ + '.'):\n"
        "    if not found.name.startswith('edge.learning'):\n"
        "        importlib.import_module(found.name)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "False"


def test_bad_options_end_with_exit_code_2() -> None:
    done = crustwatch("render", "--count", "-3", "--out", "unused")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_missing_extra_is_named_in_one_line() -> None:
    script = "import sys; sys.modules['torch'] = None; from shared.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "cloud", "worker"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "crustwatch: torch is missing: pip install 'crustwatch[cloud]'"


def test_an_unknown_command_is_named() -> None:
    done = crustwatch("toast")
    assert done.returncode == 2
    assert "toast" in done.stderr


def test_the_version_is_printed() -> None:
    assert crustwatch("--version").stdout.startswith("crustwatch 0.")
