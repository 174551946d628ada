"""Calling Python from compiled code, through an address, so that the compiled code can be cached on disk."""

from __future__ import annotations

import ctypes

from firmware_sim.rp2040.kernels.intrinsics import intrinsic

# int64 host(kind, address, value, cycle)
HOST_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
# int64 unit(state, address, look or value, cycle, 0): a far function that serves registers
UNIT_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 5)
HOST_READ, HOST_WRITE, HOST_LOOK, HOST_DUE, HOST_ROM = 0, 1, 2, 3, 4


@intrinsic("inttoptr i64 {0} to ptr", "call i64 {a}(i64 {1}, i64 {2}, i64 {3}, i64 {4})")
def call_host(function: int, kind: int, address: int, value: int, cycle: int) -> int:
    """Call the HOST_FUNCTION at the address `function`."""
    raise NotImplementedError
