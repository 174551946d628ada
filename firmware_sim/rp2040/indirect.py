"""Calling one compiled function from another through its address, so that the caller's cache holds no copy of it.

The interpreter takes most of a minute of one processor to compile. The stepping loop of `record.py` calls it this way
and compiles in a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba import typeof, types
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


def _call_separate(typingctx: Any, address: Any, operands: Any) -> Any:
    """Call the native code at `address`, made from `int64 f(*operands)`; integers are int64."""
    kinds = tuple(cast(Any, types).unliteral(kind) for kind in operands.types)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = context.call_conv.get_function_type(types.int64, kinds)
        pointer = builder.inttoptr(arguments[0], function.as_pointer())
        values = [
            context.cast(builder, builder.extract_value(arguments[1], i), given, kind)
            for i, (given, kind) in enumerate(zip(operands.types, kinds, strict=True))
        ]
        _, value = context.call_conv.call_function(builder, pointer, types.int64, kinds, values)
        return value

    return types.int64(types.int64, operands), generate


call_separate = cast(Callable[[int, tuple[Any, ...]], int], intrinsic(_call_separate))
call_run = cast(Callable[[int, State, Memory, int], int], intrinsic(_call_run))


def native_address(function: Any) -> int:
    """Address of the native code of a compiled function that has run once in this process."""
    (compiled,) = function.overloads.values()
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


def separate_address(function: Any, *examples: Any) -> int:
    """Address of the native code of a function for arguments like `examples`, compiled or read from the cache."""
    kinds = tuple(types.int64 if isinstance(example, int) else cast(Any, typeof)(example) for example in examples)
    if kinds not in function.overloads:
        function.compile(kinds)
    compiled = function.overloads[kinds]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))
