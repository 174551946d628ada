"""The garbage collector's pauses, kept away from programs that answer within milliseconds."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 10_000  # before the youngest generation is looked at


def settle_heap() -> None:
    """What is alive now (modules, models, open files) lives as long as the process: no collection looks at it again.

    A full collection of a gateway's or worker's heap takes 10 to 50 ms; of what came since this call, well below one.
    Little of what a bake leaves behind is in cycles, so that collections may be rarer than Python's 700 objects, too.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
