"""Child processes of a bench, and what memory they hold over time."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from shared import children

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@contextlib.contextmanager
def script(
    name: str, *arguments: object, stdin: int = subprocess.DEVNULL, stdout: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A script of this folder as a child process."""
    child = children.spawn([sys.executable, str(HERE / name), *map(str, arguments)], stdin=stdin, stdout=stdout)
    try:
        yield child
    finally:
        children.stop(child, 5.0)
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


def resident_mb(pid: int) -> float:
    """Resident memory of a process (proc(5), VmRSS); 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


class MemoryRecord:
    """Resident memory of named processes, sampled over time."""

    def __init__(self, pids: dict[str, int], every_s: float) -> None:
        self._pids, self._every_s = pids, every_s
        self.samples: dict[str, list[float]] = {name: [] for name in pids}

    async def keep(self) -> None:
        """For ever: take a sample of each."""
        while True:
            for name, pid in self._pids.items():
                self.samples[name].append(round(resident_mb(pid), 1))
            await asyncio.sleep(self._every_s)

    def by_minute(self, name: str) -> list[float]:
        """The first sample, then the largest of each minute."""
        kept, minute = self.samples[name], max(1, round(60 / self._every_s))
        return kept[:1] + [max(kept[at : at + minute]) for at in range(0, len(kept), minute)]


def percentile_ms(seconds: list[float], share: float) -> float:
    """A percentile (nearest rank) in milliseconds; 0 without data."""
    ordered = sorted(seconds)
    return round(1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else 0.0
