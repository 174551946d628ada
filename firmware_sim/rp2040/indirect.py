"""Calling one compiled function from another through its address, so that the caller's cache holds no copy of it.

The interpreter takes most of a minute of one processor to compile. The stepping loop of `record.py` calls it this way
and compiles in a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba import types
from numba.extending import intrinsic

from firmware_sim.rp2040.layout import Memory, State


def _call_run(typingctx: Any, address: Any, S: Any, mem: Any, core: Any) -> Any:
    """Call `run_core(S, mem, core)`, whose native code begins at `address`."""
    signature = types.int64(types.int64, S, mem, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        result, operands = signature.return_type, signature.args[1:]
        function = context.call_conv.get_function_type(result, operands)
        pointer = builder.inttoptr(arguments[0], function.as_pointer())
        _, value = context.call_conv.call_function(builder, pointer, result, operands, arguments[1:])
        return value

    return signature, generate


call_run = cast(Callable[[int, State, Memory, int], int], intrinsic(_call_run))


def native_address(function: Any) -> int:
    """Address of the native code of a compiled function that has run once in this process."""
    (compiled,) = function.overloads.values()
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))
