"""Bits of integers, as one machine instruction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _lowest_bit(typingctx: Any, bits: Any) -> Any:
    """Number of the lowest set bit; 64 when there is none."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), generate


lowest_bit = cast(Callable[[int], int], intrinsic(_lowest_bit))
