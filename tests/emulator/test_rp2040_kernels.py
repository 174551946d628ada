"""The compiler of the kernels: what it makes of a function computes what Python makes of it."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from firmware_sim.rp2040 import record
from firmware_sim.rp2040.compiled import entry_point, inner
from firmware_sim.rp2040.decode import decode
from firmware_sim.rp2040.kernels.library import Compiled, Library
from firmware_sim.rp2040.kernels.module import write_program
from firmware_sim.rp2040.kernels.values import KernelError
from firmware_sim.rp2040.layout import Bytes, State
from firmware_sim.rp2040.memory_map import memory_offset

TABLE = np.array([3, 1, 4, 1, 5, 9, 2, 6], np.int64)
ODD = (1, 3, 5, 7)
LOW = 0xFFFF
ODD_ONE = 1


@entry_point
def divided(x: int, y: int) -> int:
    """Division rounds down."""
    return (x // y) * 1000003 + x % y


@entry_point
def divided_by_constants(x: int) -> int:
    """Powers of two and others, negative ones too."""
    return x // 8 + 3 * (x % 8) + 5 * (x // 7) + 7 * (x % 7) + 11 * (x // -3) + 13 * (x % -3)


@entry_point
def bits(x: int, y: int) -> int:
    """Operators on bits, and their precedence."""
    return (x & y) + (x | ~y) - (x ^ y) + (x >> (y & 31)) - ((x & LOW) << (y & 15)) + -x


@entry_point
def shifted(x: int, y: int) -> int:
    """Shifts by more than a word holds; of the sum of 64 bits only the low ones count."""
    y &= 127
    return (x << y & LOW) + (x >> y) + (x << 65 & 1) + (x >> 64) + (x >> 5) + (x << 3)


@inner
def sign(x: int) -> int:
    """-1, 0 or 1."""
    return (x > 0) - (x < 0)


@inner
def split(x: int) -> tuple[int, int]:
    """Quotient and remainder."""
    return x // 10, x % 10


@entry_point
def choices(x: int, y: int) -> int:
    """Comparisons, `and`, `or`, `not`, `in`, conditional expressions, truth values as numbers."""
    between = 0 < x <= y or not (x != 7 or y == 3)
    known = x in (1, 2, sign(y)) and y not in ODD
    if between and x:
        value = 10
    elif not known:
        value = 20 if x in ODD else 21
    else:
        value = 30
    known = x == y
    high, low = split(value + x)
    return value + between * 100 + known * 1000 + min(x, y, 3) * 7 + max(x, 2) * 11 + abs(x) + high * 3 + low


@entry_point
def jumps(x: int) -> int:
    """A chain of comparisons that becomes a table, where the first match counts."""
    value = 7
    if x == 3 or x == 4:
        value = 1
    elif 4 <= x <= 6:
        value = 2
    elif x in (9, 3):
        value = 3
    elif x == LOW:
        value = 4
    elif x > 20:
        value = 5
    elif x == 12:
        value = 6
    return value


@entry_point
def loops(count: int, step: int) -> int:
    """range with one, two, three arguments, tuples of constants, break, continue, else, while."""
    total = 0
    for i in range(count):
        if i == 3:
            continue
        if i == 11:
            break
        total += i * TABLE[i & 7]
    for i in range(count, 0, -2):
        total = total * 3 + i
    for i in range(2, count, max(1, step)):
        total ^= i << 3
    for factor in (2, 3, 5):
        total = total * factor & 0xFFFFFF
    for odd in ODD:
        total += odd
    left = count
    while left:
        left -= 1
        if left == step:
            total += 1000
            break
    else:
        total += 7
    while True:
        total += 1
        if total % 5 == 0:
            break
    return total + i


@entry_point
def arrays(words: State, narrow: Bytes, at: int, value: int) -> int:
    """Elements, views, narrow elements, several targets at once."""
    view = words[at : at + 4]
    view[1] = value
    words[at], words[at + 2] = words[at + 2], words[at]
    words[at + 3] += 5
    words[at + 4] = words[at + 5] = value >> 2
    words[8:12] = 0
    narrow[at] = value & 0xFF
    narrow[at + 1] |= 0x80
    other = words[9:12]
    view, other = other, view
    view[0] = 77
    other[3] ^= value
    return narrow[at] + narrow[at + 1] * 256 + other[0]


def numbers(count: int) -> list[int]:
    """Small ones and ones of many bits, of both signs."""
    source = random.Random(5)
    return [source.choice((source.randint(-40, 40), source.getrandbits(40) - (1 << 39))) for _ in range(count)]


@pytest.mark.parametrize(
    "kernel", [divided, bits, shifted, choices], ids=lambda kernel: str(kernel.symbol).rsplit(".", 1)[-1]
)
def test_arithmetic_and_choices_are_those_of_python(kernel: Compiled[[int, int], int]) -> None:
    values = [*range(-9, 10), *numbers(60)]
    for x in values:
        for y in values:
            if y or kernel is not divided:
                assert kernel(x, y) == kernel.function(x, y), (x, y)


def test_a_division_by_zero_gives_zero_and_never_traps() -> None:
    assert divided(5, 0) == 0


@entry_point
def quotient(x: int, y: int) -> int:
    """Rounded down."""
    return x // y


@entry_point
def remainder(x: int, y: int) -> int:
    """Of the sign of y."""
    return x % y


@entry_point
def by_minus_one(x: int) -> int:
    """By a constant."""
    return x // -1 + x % -1


@pytest.mark.parametrize("x", [-(1 << 63), -(1 << 63) + 1, -5, 0, 7, (1 << 63) - 1])
def test_the_ends_of_the_range_divide_without_a_trap(x: int) -> None:
    """The least integer by -1 has a quotient of 65 bits, where processors trap: it wraps."""
    for y in (-(1 << 63), -2, -1, 1, 2, 3, (1 << 63) - 1):
        assert quotient(x, y) == wrapped(x // y), y
        assert remainder(x, y) == x % y, y
    assert by_minus_one(x) == wrapped(-x)


def wrapped(x: int) -> int:
    """As a number of 64 bits."""
    return (x + (1 << 63)) % (1 << 64) - (1 << 63)


@pytest.mark.parametrize("kernel", [divided_by_constants, jumps])
def test_one_argument(kernel: Compiled[[int], int]) -> None:
    for x in [*range(-100, 101), LOW, *numbers(500)]:
        assert kernel(x) == kernel.function(x), x


def test_loops_are_those_of_python() -> None:
    for count in range(1, 40):
        for step in range(-2, 9):
            assert loops(count, step) == loops.function(count, step)


def test_arrays_share_their_memory() -> None:
    source = random.Random(6)
    for _ in range(300):
        words = cast(Any, np.array([source.getrandbits(40) for _ in range(16)], np.int64))
        narrow = cast(Any, np.array([source.getrandbits(8) for _ in range(16)], np.uint8))
        expected_words, expected_narrow = words.tolist(), narrow.tolist()
        at, value = source.randrange(3), source.getrandbits(20)
        # Views of lists would be copies: the reference works on arrays of Python's integers, which do not wrap.
        reference = np.array(expected_words, object)
        reference_narrow = np.array(expected_narrow, object)
        assert arrays(words, narrow, at, value) == arrays.function(
            cast(Any, reference), cast(Any, reference_narrow), at, value
        )
        assert words.tolist() == reference.tolist()
        assert narrow.tolist() == reference_narrow.tolist()


def test_the_compiled_decoder_is_the_decoder() -> None:
    """Every halfword, as 16-bit instruction or first half of one of 32 bits."""
    source = random.Random(7)
    for half in range(0x10000):
        second, address = source.getrandbits(16), source.getrandbits(28) * 2
        assert record.decode_one(half, second, address) == decode(half, second, address), hex(half)


@entry_point
def offset_of(address: int) -> int:
    """As memory_offset."""
    return memory_offset(address)


def test_the_compiled_memory_map_is_the_memory_map() -> None:
    source = random.Random(8)
    for _ in range(20_000):
        address = source.choice((0, 0x10, 0x11, 0x13, 0x15, 0x20, 0x21, 0x50)) << 24 | source.getrandbits(22)
        assert offset_of(address) == memory_offset(address), hex(address)


def text_kernel(x: int) -> int:
    """Not of the language."""
    return len(f"{x}")


def missing_mark(x: int) -> int:
    """Calls what is not marked."""
    return text_kernel(x)


def from_the_end(S: State) -> int:
    """Arrays have no end."""
    return S[-1]


def number_or_truth(x: int) -> int:
    """`and` gives one of its operands, and those are no truth values."""
    return x and 5


def divided_by_nothing(x: int) -> int:
    """A constant divisor 0."""
    return x // 0


def constants_divided_by_nothing(x: int) -> int:
    """Python computes constants, and would raise."""
    return x + 5 % (ODD_ONE - 1)


def shifted_backwards(x: int) -> int:
    """A negative constant."""
    return x << -1


def constants_shifted_backwards(x: int) -> int:
    """Python computes constants, and would raise."""
    return x + (8 >> -ODD_ONE)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (text_kernel, "JoinedStr"),
        (missing_mark, "mark it with @inner"),
        (from_the_end, "no end to count from"),
        (number_or_truth, "no truth value"),
        (divided_by_nothing, "division by the constant 0"),
        (constants_divided_by_nothing, "division by the constant 0"),
        (shifted_backwards, "shift by the constant -1"),
        (constants_shifted_backwards, "shift by the constant -1"),
    ],
)
def test_what_is_not_of_the_language_is_said_with_its_line(function: Callable[..., Any], says: str) -> None:
    line = function.__code__.co_firstlineno + 2
    with pytest.raises(KernelError, match=rf"test_rp2040_kernels\.py:{line}: .*{says}"):
        write_program({"f": function})


def test_the_object_file_is_kept_and_made_anew_when_it_is_damaged(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRUSTWATCH_CACHE", str(tmp_path))
    made = Library("one", Compiled(divided.function))
    assert not made.is_cached
    made.compile()
    assert made.is_cached
    (path,) = (tmp_path / "emulator").glob("one-*.o")
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + struct.pack("B", whole[40] ^ 1) + whole[41:])
    again = Library("one", Compiled(divided.function))
    again.load()
    assert path.read_bytes() == whole


def crustwatch(code: str, cache: Path) -> str:
    """What a new process writes to stderr, where the compiled code is kept in `cache`."""
    environment = {**os.environ, "CRUSTWATCH_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300, check=True
    )
    return done.stderr


def test_the_first_start_says_that_it_compiles_and_no_start_needs_numba(tmp_path: Path) -> None:
    image = Path(__file__).parent / "programs" / "echo.elf"
    code = f"""
import sys
from pathlib import Path
from firmware_sim.rp2040.session import RunOptions, prepare
assert prepare(Path({str(image)!r}), RunOptions()).run(max_cycles=100_000).reason == "max_cycles"
assert "numba" not in sys.modules
"""
    assert crustwatch(code, tmp_path) == "compiling the emulator, once: a few seconds\n"
    assert crustwatch(code, tmp_path) == ""
