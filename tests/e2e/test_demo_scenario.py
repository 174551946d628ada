"""`crustwatch demo --scenario` with too few bakes to learn from: it says so, and counts all the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

DEMO = [sys.executable, "-m", "shared.cli", "demo", "--scenario"]


def test_a_short_scenario_ends_with_its_figures_and_a_plot(tmp_path: Path) -> None:
    command = [*DEMO, "new-topping", "--bakes", "40", "--device", "litert", "--out", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["scenario"] == "new-topping"
    assert (found["data"], found["lost"], found["duplicates"]) == ("rendered", 0, 0)
    assert not found["promoted"]
    assert found["why"]
    assert [row["phase"] for row in found["phases"]] == ["before", "shift", "escalated", "shadow", "after"]
    assert sum(row["bakes"] for row in found["phases"]) == found["bakes"] > 40
    assert found["phases"][1]["cascade_accuracy"]["n"] == found["phases"][1]["bakes"] > 0
    assert found["moments"][0]["what"] == "shift"
    with Image.open(found["plot"]) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["new-cheese"], "no shift 'new-cheese': choose new-topping or new-light"),
        (["new-light", "--chaos"], "goes without --chaos"),
        (["new-light", "--bakes", "10"], "at least 40 bakes, not 10"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: list[str], words: str) -> None:
    done = subprocess.run([*DEMO, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
