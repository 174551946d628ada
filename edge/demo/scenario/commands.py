"""Long work of a scenario as child processes: certifying, learning, building firmware. Their output goes to a log."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from shared import children
from shared.errors import CrustwatchError

STOP_GRACE_S = 1.0
POLL_S = 0.1
COMPILER = "arm-none-eabi-gcc"


class Chores:
    """Runs `crustwatch` commands that end with one JSON object. Start them in the main thread's event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    async def run(self, name: str, *arguments: str) -> dict[str, Any]:
        """The object that a command prints last. Raises CrustwatchError with its last words when it fails."""
        printed, log = self._folder / f"{name}.json", self._folder / f"{name}.log"
        with printed.open("wb") as output, log.open("wb") as errors:
            self._child = children.spawn(
                [sys.executable, "-m", "shared.cli", *arguments, "--json"], stdout=output, stderr=errors
            )
        while self._child.poll() is None:
            await asyncio.sleep(POLL_S)
        lines = printed.read_text().strip().splitlines()
        if self._child.returncode != 0 or not lines:
            raise CrustwatchError(f"{name}: {children.last_words(log)}")
        found: dict[str, Any] = json.loads(lines[-1])
        return found

    def stop(self) -> None:
        """End the command that runs."""
        if self._child is not None:
            children.stop(self._child, STOP_GRACE_S)


def can_build_firmware() -> bool:
    """Whether the compiler for the chip is installed."""
    return shutil.which(COMPILER) is not None
