"""Child processes that never outlive their parent, whatever ends it.

On Linux the kernel sends the child SIGTERM when the thread that started it dies (prctl(2), PR_SET_PDEATHSIG), so
children must be started by the main thread. Elsewhere only an orderly exit ends them. A child gets a process group
of its own: Ctrl-C in a terminal reaches the parent alone, which then stops its children in the right order.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, Any

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def spawn(
    arguments: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program as a child that dies with this process. Call it from the main thread."""
    return subprocess.Popen(
        list(arguments),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=environment,
        preexec_fn=_in_child(os.getpid()),
        process_group=0,
    )


def _in_child(parent: int) -> Callable[[], None]:
    """What the child does before it becomes the program: ask the kernel for SIGTERM when the process `parent` ends."""
    if sys.platform != "linux":
        return lambda: None
    # Loaded here: a child of a process with threads must take no lock of the loader.
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died between fork and prctl
            os.kill(os.getpid(), signal.SIGTERM)

    return prepare


def stop(child: subprocess.Popen[bytes], grace_s: float) -> int:
    """End a child: SIGTERM, and SIGKILL when it is still there after `grace_s`. Returns its exit status."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            child.wait(grace_s)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def last_words(log: Path) -> str:
    """Last line that a child wrote to its log, without our own prefix: for a message that says why it ended."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("crustwatch: ") if lines else "it says nothing"


def follow_parent() -> None:
    """Initializer of a process pool: Ctrl-C is the parent's to handle, and a killed parent takes its pool along.

    The pool's own pipes stay open among the siblings, so they would wait for work for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
