"""Functions of which kernels are made that Python cannot say: an array at an address, a call to one, bits of a float.

They do nothing in Python itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from firmware_sim.rp2040.kernels.annotations import parameters, result
from firmware_sim.rp2040.kernels.values import Kind, Value

Function = TypeVar("Function", bound=Callable[..., Any])
Let = Callable[[str], str]  # appends an instruction, gives the name of its result
DECLARATIONS = (
    "declare i64 @llvm.cttz.i64(i64, i1)",
    "declare double @llvm.fabs.f64(double)",
    "declare double @llvm.sqrt.f64(double)",
    "declare double @llvm.copysign.f64(double, double)",
    "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
)


@dataclass(frozen=True)
class Intrinsic:
    """How a call is written: `lines` are LLVM instructions with {0}, {1}, ... for arguments and {a}, {b}, ... for the
    results of the lines before."""

    parameters: tuple[Kind, ...]
    result: Kind
    lines: tuple[str, ...]

    def write(self, let: Let, arguments: list[str]) -> Value:
        """Append the instructions."""
        names: dict[str, str] = {}
        last = ""
        for letter, line in zip("abcdefgh", self.lines, strict=False):
            names[letter] = last = let(line.format(*arguments, **names))
        return Value(self.result, last)


def intrinsic(*lines: str) -> Callable[[Function], Function]:
    """Mark a function, whose annotations say what it takes and gives, as one that is written as these instructions."""

    def mark(function: Function) -> Function:
        made = Intrinsic(tuple(parameters(function).values()), result(function), lines)
        function.intrinsic = made  # type: ignore[attr-defined]
        return function

    return mark
