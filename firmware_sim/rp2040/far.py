"""Calls between separately compiled functions, through addresses held in the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import (
    CODE_PAGES,
    DECODED_ENTRIES,
    MEMORY_AT,
    MEMORY_BYTES,
    NATIVE_ROW,
    NATIVE_ROWS,
    STATE_AT,
    UART_BUFFER,
    IntArray,
    Memory,
    State,
)


def _call_address(typingctx: Any, function: Any, state: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Call the far function at the address `function` (an integer)."""
    signature = types.int64(*[types.int64] * 6)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        pointer = ir.FunctionType(word, [word] * 5).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], pointer), arguments[1:])

    return signature, generate


def _array_at(element: Any) -> Callable[[int, int], IntArray]:
    """A function (address, length) that makes a borrowed array of `element`; carray needs reference counts."""
    kind = types.Array(element, 1, "C")

    def typed(typingctx: Any, address: Any, length: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = cast(Any, make_array)(kind)(context, builder)
            size = context.get_constant(types.intp, element.bitwidth // 8)
            cast(Any, populate_array)(
                array,
                data=builder.inttoptr(arguments[0], array.data.type),
                shape=[arguments[1]],
                strides=[size],
                itemsize=size,
                meminfo=None,
            )
            return array._getvalue()

        return kind(types.int64, types.int64), generate

    return cast(Callable[[int, int], IntArray], intrinsic(typed))


call_address = cast(Callable[[int, int, int, int, int, int], int], intrinsic(_call_address))
bytes_at, halves_at, words_at, longs_at = (
    _array_at(element) for element in (types.uint8, types.uint16, types.uint32, types.int64)
)


@inner
def call_far(S: State, function: int, a: int, b: int, c: int, d: int) -> int:
    """Call the far function whose address is at S[function]."""
    return call_address(S[function], S[STATE_AT], a, b, c, d)


@inner
def memory_of(S: State) -> Memory:
    """The arrays that belong to a state."""
    at = S[MEMORY_AT]
    return Memory(
        bytes_at(at, MEMORY_BYTES),
        halves_at(at, MEMORY_BYTES // 2),
        words_at(at, MEMORY_BYTES // 4),
        longs_at(S[MEMORY_AT + 1], DECODED_ENTRIES),
        bytes_at(S[MEMORY_AT + 2], CODE_PAGES + 1),
        longs_at(S[MEMORY_AT + 3], NATIVE_ROWS * NATIVE_ROW),
        bytes_at(S[MEMORY_AT + 4], MEMORY_BYTES // 2),
        bytes_at(S[MEMORY_AT + 5], 2 * UART_BUFFER),
    )
