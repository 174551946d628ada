"""The examples of docs/emulator-system.md run as they stand there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from firmware_sim.firmware.build import CROSS

PAGE = Path(__file__).parents[2] / "docs" / "emulator-system.md"


@pytest.mark.skipif(shutil.which(f"{CROSS}gcc") is None, reason="needs arm-none-eabi-gcc")
def test_the_page_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 4
    names: dict[str, object] = {"folder": tmp_path}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102
