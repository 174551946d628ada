"""Calls between separately compiled functions, through addresses held in the state."""

from __future__ import annotations

from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.kernels.intrinsics import intrinsic
from firmware_sim.rp2040.layout import (
    CODE_PAGES,
    DECODED_ENTRIES,
    MEMORY_AT,
    MEMORY_BYTES,
    NATIVE_ROW,
    NATIVE_ROWS,
    STATE_AT,
    UART_BUFFER,
    Bytes,
    Halves,
    Memory,
    State,
    Words,
)


@intrinsic("inttoptr i64 {0} to ptr", "call i64 {a}(i64 {1}, i64 {2}, i64 {3}, i64 {4}, i64 {5})")
def call_address(function: int, state: int, a: int, b: int, c: int, d: int) -> int:
    """Call the far function at the address `function`."""
    raise NotImplementedError


@intrinsic("inttoptr i64 {0} to ptr")
def bytes_at(address: int, length: int) -> Bytes:
    """The array uint8 [length] at an address."""
    raise NotImplementedError


@intrinsic("inttoptr i64 {0} to ptr")
def halves_at(address: int, length: int) -> Halves:
    """The array uint16 [length] at an address."""
    raise NotImplementedError


@intrinsic("inttoptr i64 {0} to ptr")
def words_at(address: int, length: int) -> Words:
    """The array uint32 [length] at an address."""
    raise NotImplementedError


@intrinsic("inttoptr i64 {0} to ptr")
def longs_at(address: int, length: int) -> State:
    """The array int64 [length] at an address."""
    raise NotImplementedError


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
