"""Stores and loads that may mean an interpolator: tried as such first, and as plain memory otherwise.

int8 kernels end every output with a store to an accumulator and a load of the clamped result, one cycle each. Leaving
translated code for them would leave it all the time. Which instructions these are is guessed from their form: a store
of a word, and right behind it a load from the same base, as far from it as PEEK_LANE0 is from ACCUM0.
"""

from __future__ import annotations

import itertools

from firmware_sim.rp2040 import decode as d
from firmware_sim.rp2040.layout import FAR_LOAD_INTERPOLATOR, FAR_STORE_INTERPOLATOR, STATE_AT, ZERO
from firmware_sim.rp2040.native.region import Instruction
from firmware_sim.rp2040.native.writer import Writer

ACCUM0, PEEK_LANE0 = 0xD0000080, 0xD00000A0  # of INTERP0; INTERP1 is 0x40 behind
OTHER = 0x40
SAVED = 1  # cycles: an access to the SIO takes one, to memory two


def interpolations(block: list[Instruction]) -> set[int]:
    """Addresses of the instructions of a block that look like a use of an interpolator."""
    found = set()
    for store, load in itertools.pairwise(block):
        pair = (store.op, load.op) == (d.OP_STR, d.OP_LDR) and store.b == load.b and store.c == load.c == ZERO
        if pair and load.imm - store.imm == PEEK_LANE0 - ACCUM0:
            found |= {store.address, load.address}
    return found


def is_interpolator(w: Writer, address: str, store: bool) -> str:
    """i1: whether an address is ACCUM0 (for a store) or PEEK_LANE0 of one of the two."""
    either = w.value(f"or i32 {address}, {OTHER}")
    return w.value(f"icmp eq i32 {either}, {(ACCUM0 if store else PEEK_LANE0) | OTHER}")


def call_interpolator(w: Writer, address: str, value: str | None) -> str | None:
    """Store `value`, or load: the i32 that was read."""
    function = FAR_LOAD_INTERPOLATOR if value is None else FAR_STORE_INTERPOLATOR
    code = w.value(f"load i64, ptr {w.value(f'getelementptr i64, ptr %S, i64 {function}')}")
    state = w.value(f"load i64, ptr {w.value(f'getelementptr i64, ptr %S, i64 {STATE_AT}')}")
    slice_at = w.value("ptrtoint ptr %R to i64")
    distance = w.value(f"sub i64 {slice_at}, {state}")
    core = w.value(f"lshr i64 {distance}, 3")
    wide = w.value(f"zext i32 {address} to i64")
    stored = "0" if value is None else w.value(f"zext i32 {value} to i64")
    pointer = w.value(f"inttoptr i64 {code} to ptr")
    result = w.value(f"call i64 {pointer}(i64 {state}, i64 {core}, i64 {wide}, i64 {stored}, i64 0)")
    return w.value(f"trunc i64 {result} to i32") if value is None else None
