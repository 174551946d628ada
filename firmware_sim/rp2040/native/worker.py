"""The thread that translates. One for the process: boards share what it made."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
from collections.abc import Callable
from typing import Literal

from firmware_sim.rp2040.native.region import Region

log = logging.getLogger(__name__)
Kind = Literal["alone", "leader", "follower"]  # which code: for a core alone, or for one of two
Done = Callable[[Region, Kind, int], None]  # with the address of the machine code
_jobs: queue.SimpleQueue[tuple[Region, Kind, Done] | None] = queue.SimpleQueue()
_thread: threading.Thread | None = None
_made: dict[tuple[Region, Kind], int] = {}


def translate(region: Region, kind: Kind = "alone") -> int:
    """Address of the translation of a region, made here and now unless it was made before."""
    from firmware_sim.rp2040.native.objects import load_region  # llvmlite is not needed before something is hot

    if (region, kind) not in _made:
        _made[region, kind] = load_region(region, kind)
    return _made[region, kind]


def ask(region: Region, kind: Kind, done: Done) -> None:
    """Have a region translated in the background; `done` is called in that thread."""
    global _thread
    if _thread is None:
        _thread = threading.Thread(target=_work, name="rp2040-translator", daemon=True)
        _thread.start()
    _jobs.put((region, kind, done))


def _work() -> None:
    while (job := _jobs.get()) is not None:
        region, kind, done = job
        try:
            done(region, kind, translate(region, kind))
        except Exception:  # a region that cannot be translated is interpreted for ever
            log.exception("translation of 0x%08x failed", region.start)


def _finish() -> None:
    """Let the region in work end: LLVM must not be torn down under it."""
    global _thread
    if _thread is not None:
        while not _jobs.empty():
            _jobs.get_nowait()
        _jobs.put(None)
        _thread.join()
        _thread = None


def _forked() -> None:
    """A child process has no thread, and its parent's jobs are not its own."""
    global _thread, _jobs
    _thread, _jobs = None, queue.SimpleQueue()


atexit.register(_finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
