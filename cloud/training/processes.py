"""How a rendering process lives and dies with the training it works for."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess


def follow_parent() -> None:
    """Begin a rendering process: Ctrl-C is the parent's to handle, and a killed parent takes it along.

    The pool's own pipes stay open among the siblings, so they would wait for work for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
