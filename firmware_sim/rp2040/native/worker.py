"""The thread that translates. One for the process: boards share what it made."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
from collections.abc import Callable

from firmware_sim.rp2040.native.region import Region

log = logging.getLogger(__name__)
Done = Callable[[Region, int], None]
_jobs: queue.SimpleQueue[tuple[Region, Done] | None] = queue.SimpleQueue()
_thread: threading.Thread | None = None
_made: dict[Region, int] = {}


def translate(region: Region) -> int:
    """Address of the translation of a region, made here and now unless it was made before."""
    from firmware_sim.rp2040.native.objects import load_region  # llvmlite is not needed before something is hot

    if region not in _made:
        _made[region] = load_region(region)
    return _made[region]


def ask(region: Region, done: Done) -> None:
    """Have a region translated in the background; `done` is called in that thread."""
    global _thread
    if _thread is None:
        _thread = threading.Thread(target=_work, name="rp2040-translator", daemon=True)
        _thread.start()
    _jobs.put((region, done))


def _work() -> None:
    while (job := _jobs.get()) is not None:
        region, done = job
        try:
            done(region, translate(region))
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
