"""Bits of integers, as one machine instruction."""

from __future__ import annotations

from firmware_sim.rp2040.kernels.intrinsics import intrinsic


@intrinsic("call i64 @llvm.cttz.i64(i64 {0}, i1 false)")
def lowest_bit(bits: int) -> int:
    """Number of the lowest set bit; 64 when there is none."""
    raise NotImplementedError
