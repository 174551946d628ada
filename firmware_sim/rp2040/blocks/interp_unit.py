"""The interpolators as translated code uses them: the accumulator written and a result read, without the bus."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.interp import interp_read, interp_write
from firmware_sim.rp2040.blocks.sio import interp_base
from firmware_sim.rp2040.compiled import far
from firmware_sim.rp2040.far import longs_at
from firmware_sim.rp2040.layout import STATE_WORDS


@far
def load_interpolator(state: int, core: int, address: int, _c: int, _d: int) -> int:
    """Read a register of INTERP0 or INTERP1 of a core, at its address in the SIO."""
    S = longs_at(state, STATE_WORDS)
    index = address >> 6 & 1
    return interp_read(S, interp_base(S, core, index), index, address & 0x3F, False)


@far
def store_interpolator(state: int, core: int, address: int, value: int, _d: int) -> int:
    """Write one."""
    S = longs_at(state, STATE_WORDS)
    index = address >> 6 & 1
    interp_write(S, interp_base(S, core, index), index, address & 0x3F, value)
    return 0
