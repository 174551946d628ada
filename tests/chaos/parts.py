"""The processes of a campaign: started, killed, started again, and asked to end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from shared import children

HERE = Path(__file__).parent
STOP_S = 10.0  # for a part to begin its work or to end it, before it is killed

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")]),
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass
class Part:
    """A process that is started, killed and started again."""

    name: str
    command: list[str]
    log: Path
    ready: str  # what it logs when it has begun to work, and obeys signals
    begins: int = 0  # where the log of the present process begins
    child: subprocess.Popen[bytes] | None = None
    peak_bytes: int = 0
    ends: list[int] = field(default_factory=list)  # exit statuses that nobody caused

    def start(self) -> None:
        """Start it, unless it runs: of two outages at once the first to end has brought it back."""
        if self.child is not None and self.child.poll() is None:
            return
        with self.log.open("ab") as log:
            self.begins = log.tell()
            self.child = children.spawn(self.command, stdout=log, stderr=log, environment=ENVIRONMENT)

    def kill(self) -> None:
        if self.child is not None:
            self.measure()
            if self.child.poll() is None:
                self.child.kill()
            else:
                self.ends.append(self.child.returncode)
            self.child.wait()
            self.child = None

    def signal(self, number: int) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(number)

    def stop(self) -> None:
        """Ask it to end once it works, and note how it did."""
        if self.child is not None:
            patience_s = time.monotonic() + STOP_S
            while self.child.poll() is None and not self.is_ready() and time.monotonic() < patience_s:
                time.sleep(0.02)
            self.measure()
            self.ends.append(children.stop(self.child, STOP_S))
            self.child = None

    def is_ready(self) -> bool:
        """Whether the present process has said that it works."""
        with self.log.open("rb") as log:
            log.seek(self.begins)
            return self.ready.encode() in log.read()

    def measure(self) -> None:
        """Note the peak of its resident memory."""
        if self.child is not None and self.child.poll() is None:
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{self.child.pid}/status").read_text()
                kilobytes = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
                self.peak_bytes = max([self.peak_bytes, *(1024 * int(text) for text in kilobytes)])


@dataclass
class BoardPart:
    """The board's process. Without a `library` there is none, and nothing happens."""

    library: Path | None
    folder: Path
    seed: int
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self.library is not None and (self.child is None or self.child.poll() is not None):
            command = [sys.executable, str(HERE / "board_process.py"), str(self.library), str(self.folder / "board")]
            with (self.folder / "board.log").open("ab") as log:
                self.child = subprocess.Popen(
                    [*command, str(self.seed)], stdin=subprocess.PIPE, stdout=log, stderr=log, env=ENVIRONMENT
                )

    def tell(self, word: str) -> None:
        """Give it a command; see `board_process`."""
        if self.child is not None and self.child.stdin is not None:
            self.child.stdin.write(f"{word}\n".encode())
            self.child.stdin.flush()

    def end(self, *, kill: bool) -> int:
        """Kill it or let it end; its exit status."""
        child, self.child = self.child, None
        if child is None:
            return 0
        if kill:
            child.kill()
        assert child.stdin is not None
        with contextlib.suppress(OSError):
            child.stdin.close()
        return child.wait(STOP_S)
