"""What a kernel computes with: 64-bit integers, truth values, floats, borrowed arrays, and tuples of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MIN, MAX = -1 << 63, (1 << 63) - 1


class KernelError(Exception):
    """A kernel that this compiler cannot translate: file, line and reason. A mistake of the author, not of the user."""


@dataclass(frozen=True)
class Scalar:
    """A number in a register."""

    llvm: str


@dataclass(frozen=True)
class Array:
    """A borrowed one-dimensional array: an address. No length, no bounds, no negative indices."""

    element: str  # i8, i16, i32: unsigned; i64: signed
    llvm: str = "ptr"

    @property
    def width(self) -> int:
        """Bytes of an element."""
        return int(self.element[1:]) // 8


@dataclass(frozen=True)
class Tuple:
    """Several values side by side; the fields have names if it is a NamedTuple."""

    parts: tuple[Kind, ...]
    names: tuple[str, ...] = ()


Kind = Scalar | Array | Tuple
INT, BOOL, FLOAT = Scalar("i64"), Scalar("i1"), Scalar("double")
NOTHING = Tuple(())


@dataclass(frozen=True)
class Value:
    """Result of an expression: an LLVM operand, the parts of a tuple, or what Python knows already."""

    kind: Kind
    operand: str = ""
    parts: tuple[Value, ...] = ()
    constant: int | None = None  # of an INT


@dataclass(frozen=True)
class Static:
    """A name that stands for a Python object: a module, a function, a tuple of integers, a class."""

    value: Any


def integer(value: int) -> Value:
    """A constant."""
    if not MIN <= value <= MAX:
        raise KernelError(f"{value:#x} does not fit into 64 bits")
    return Value(INT, str(value), constant=value)


TRUE, FALSE = Value(BOOL, "true"), Value(BOOL, "false")


def flat(kind: Kind) -> list[str]:
    """LLVM types of the registers that hold a value."""
    return [llvm for part in kind.parts for llvm in flat(part)] if isinstance(kind, Tuple) else [kind.llvm]


def returned(kind: Kind) -> str:
    """LLVM type of a function's result."""
    if not isinstance(kind, Tuple):
        return kind.llvm
    return "{" + ", ".join(flat(kind)) + "}" if kind.parts else "void"


def operands(value: Value) -> list[str]:
    """`type operand` of each register that holds a value."""
    if isinstance(value.kind, Tuple):
        return [text for part in value.parts for text in operands(part)]
    return [f"{value.kind.llvm} {value.operand}"]
