"""Calling Python from compiled code, through an address, so that the compiled code can be cached on disk."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# int64 host(kind, address, value, cycle)
HOST_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
# int64 unit(state, address, look or value, cycle, 0): a far function that serves registers
UNIT_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 5)
HOST_READ, HOST_WRITE, HOST_LOOK, HOST_DUE, HOST_ROM = 0, 1, 2, 3, 4


def _call_host(typingctx: Any, function: Any, kind: Any, address: Any, value: Any, cycle: Any) -> Any:
    """Call the HOST_FUNCTION at the address `function` (an integer)."""
    signature = types.int64(types.int64, types.int64, types.int64, types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        pointer = ir.FunctionType(word, [word] * 4).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], pointer), arguments[1:])

    return signature, generate


call_host = cast(Callable[[int, int, int, int, int], int], intrinsic(_call_host))
