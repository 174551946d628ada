"""Denormal floats are zero while a training runs, and numbers again after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Have the processor take denormal floats as zero inside the block: they are slow, and training does not need them.

    The mode belongs to the thread, not to torch: left on, whatever runs later in the process computes with it.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
