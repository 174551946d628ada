"""Keeps a cloud worker running as a process of its own, whatever ends it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from shared import children
from shared.errors import CrustwatchError
from shared.mqtt import BrokerAddress
from shared.pki.authority import Authority, utc_now
from shared.pki.identity import Identity

STOP_GRACE_S = 1.0
RESTART_DELAY_S = 1.0
POLL_S = 0.1


class WorkerProcess:
    """Starts `crustwatch cloud worker` and starts it again when it dies. Use it in the main thread's event loop."""

    def __init__(
        self,
        address: BrokerAddress,
        log_path: Path,
        say: Callable[[str], None],
        checkpoint: str,
        threads: int,
        authority: Authority,
    ) -> None:
        self._authority = authority
        self._log_path = log_path
        self._say = say
        self._options = ["--broker", str(address), "--checkpoint", checkpoint, "--threads", str(threads)]
        self._child: subprocess.Popen[bytes] | None = None
        self._life = 0
        self.was_online = asyncio.Event()  # set by whoever sees its status topic

    @property
    def name(self) -> str:
        """The name of the present worker in its topics."""
        return f"demo-{self._life}"

    @property
    def pid(self) -> int | None:
        """Of the present worker, None while none runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def start(self) -> None:
        """Start the worker; its output goes to the log."""
        self._life += 1
        identity = self._authority.issue(Identity.of("worker", self.name), utc_now())
        with self._log_path.open("wb" if self._life == 1 else "ab") as log_file:
            self._child = children.spawn(
                [sys.executable, "-m", "shared.cli", "cloud", "worker", "--identity", str(identity), *self._options],
                stdout=log_file,
                stderr=log_file,
            )
        self._say(f"worker {self.name}: pid {self._child.pid}, log {self._log_path}")

    async def supervise(self) -> None:
        """For ever: restart the worker when it dies. Raises CrustwatchError when it never comes up."""
        while True:
            await asyncio.sleep(POLL_S)
            if self._child is None or self._child.poll() is None:
                continue
            status = self._child.returncode
            if not self.was_online.is_set() and status > 0:
                raise CrustwatchError(f"the worker cannot start: {children.last_words(self._log_path)}")
            self._say(f"worker {self.name} ended ({_how(status)}): starting another")
            await asyncio.sleep(RESTART_DELAY_S)
            self.start()

    def stop(self) -> None:
        """End the worker."""
        if self._child is not None:
            children.stop(self._child, STOP_GRACE_S)


def _how(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
