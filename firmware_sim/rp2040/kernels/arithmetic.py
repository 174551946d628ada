"""Operators on integers and floats as Python defines them, in LLVM's instructions.

Integers have 64 bits and wrap; shifts by 64 and more leave 0 or the sign. Division rounds down; by zero it gives 0, as
numpy does, and never traps. What Python refuses of two constants, and a constant divisor 0 or negative shift, is a
KernelError.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from firmware_sim.rp2040.kernels.values import BOOL, FLOAT, INT, KernelError, Kind, Value, integer

PLAIN = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
    ast.LShift: "shl",
    ast.RShift: "ashr",
}
FLOATS = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
SIGNED = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "slt", ast.LtE: "sle", ast.Gt: "sgt", ast.GtE: "sge"}
ORDERED = {ast.Eq: "oeq", ast.NotEq: "une", ast.Lt: "olt", ast.LtE: "ole", ast.Gt: "ogt", ast.GtE: "oge"}
FOLDED: dict[type[ast.AST], Callable[[int, int], int]] = {
    ast.Add: lambda x, y: x + y,
    ast.Sub: lambda x, y: x - y,
    ast.Mult: lambda x, y: x * y,
    ast.BitAnd: lambda x, y: x & y,
    ast.BitOr: lambda x, y: x | y,
    ast.BitXor: lambda x, y: x ^ y,
    ast.LShift: lambda x, y: x << y,
    ast.RShift: lambda x, y: x >> y,
    ast.FloorDiv: lambda x, y: x // y,
    ast.Mod: lambda x, y: x % y,
}
COMPARED: dict[type[ast.AST], Callable[[int, int], bool]] = {
    ast.Eq: lambda x, y: x == y,
    ast.NotEq: lambda x, y: x != y,
    ast.Lt: lambda x, y: x < y,
    ast.LtE: lambda x, y: x <= y,
    ast.Gt: lambda x, y: x > y,
    ast.GtE: lambda x, y: x >= y,
}


class Arithmetic:
    """Appends instructions to the block that is being written; `let` names a result."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names = 0

    def let(self, text: str) -> str:
        """Append an instruction; the name of its result."""
        self._names += 1
        name = f"%t{self._names}"
        self.lines.append(f"  {name} = {text}")
        return name

    def label(self) -> str:
        """A new label."""
        self._names += 1
        return f"L{self._names}"

    def as_kind(self, value: Value, kind: Kind) -> Value:
        """A value as another kind: truth values count as 0 and 1."""
        if value.kind == kind:
            return value
        if value.kind == BOOL and kind == INT:
            if value.operand in ("true", "false"):
                return integer(int(value.operand == "true"))
            return Value(INT, self.let(f"zext i1 {value.operand} to i64"))
        raise KernelError(f"{value.kind} where {kind} is needed")

    def truth(self, value: Value) -> Value:
        """Whether a number is not zero."""
        if value.kind == BOOL:
            return value
        if value.constant is not None:
            return Value(BOOL, "true" if value.constant else "false")
        if value.kind == FLOAT:
            return Value(BOOL, self.let(f"fcmp une double {value.operand}, 0.0"))
        return Value(BOOL, self.let(f"icmp ne i64 {self.as_kind(value, INT).operand}, 0"))

    def binary(self, operator: ast.operator, x: Value, y: Value) -> Value:
        """x operator y."""
        kind = type(operator)
        if x.kind == FLOAT or y.kind == FLOAT:
            if x.kind != y.kind or kind not in FLOATS:
                raise KernelError(f"{kind.__name__} of {x.kind} and {y.kind}")
            return Value(FLOAT, self.let(f"{FLOATS[kind]} double {x.operand}, {y.operand}"))
        if x.kind == BOOL and y.kind == BOOL and kind in (ast.BitAnd, ast.BitOr, ast.BitXor):
            return Value(BOOL, self.let(f"{PLAIN[kind]} i1 {x.operand}, {y.operand}"))
        x, y = self.as_kind(x, INT), self.as_kind(y, INT)
        _check(kind, y.constant)
        if x.constant is not None and y.constant is not None and kind in FOLDED:
            return integer(FOLDED[kind](x.constant, y.constant))
        if kind in (ast.LShift, ast.RShift) and (y.constant is None or y.constant > 63):
            return self._shift(x, y, left=kind is ast.LShift)
        if kind in PLAIN:
            return Value(INT, self.let(f"{PLAIN[kind]} i64 {x.operand}, {y.operand}"))
        if kind in (ast.FloorDiv, ast.Mod):
            return self._divide(x, y, remainder=kind is ast.Mod)
        raise KernelError(f"no operator {kind.__name__} for integers")

    def _shift(self, x: Value, y: Value, *, left: bool) -> Value:
        """By 64 and more, which the processor takes modulo 64, nothing is left but the sign."""
        fits = self.let(f"icmp ult i64 {y.operand}, 64")
        if left:
            shifted = self.let(f"shl i64 {x.operand}, {y.operand}")
            return Value(INT, self.let(f"select i1 {fits}, i64 {shifted}, i64 0"))
        count = self.let(f"select i1 {fits}, i64 {y.operand}, i64 63")
        return Value(INT, self.let(f"ashr i64 {x.operand}, {count}"))

    def _divide(self, x: Value, y: Value, *, remainder: bool) -> Value:
        """Quotient rounded down, or the remainder that goes with it.

        Processors trap at 0 as divisor, and at the least integer divided by -1, whose quotient has 65 bits. Both divide
        by 1 instead; by -1 the quotient is then 0 - x, which wraps as the others do.
        """
        power = y.constant or 0
        if power > 0 and power & (power - 1) == 0:
            text = (
                f"and i64 {x.operand}, {power - 1}" if remainder else f"ashr i64 {x.operand}, {power.bit_length() - 1}"
            )
            return Value(INT, self.let(text))
        if y.constant == -1:
            return integer(0) if remainder else self.negate(x)
        divisor = y.operand
        if y.constant is None:
            zero = self.let(f"icmp eq i64 {y.operand}, 0")
            opposite = self.let(f"icmp eq i64 {y.operand}, -1")
            unsafe = self.let(f"or i1 {zero}, {opposite}")
            divisor = self.let(f"select i1 {unsafe}, i64 1, i64 {y.operand}")
        rest = self.let(f"srem i64 {x.operand}, {divisor}")
        sign = self.let(f"xor i64 {rest}, {divisor}")
        differs = self.let(f"icmp slt i64 {sign}, 0")
        inexact = self.let(f"icmp ne i64 {rest}, 0")
        down = self.let(f"and i1 {differs}, {inexact}")
        if remainder:
            more = self.let(f"select i1 {down}, i64 {divisor}, i64 0")
            result = self.let(f"add i64 {rest}, {more}")
        else:
            quotient = self.let(f"sdiv i64 {x.operand}, {divisor}")
            less = self.let(f"sext i1 {down} to i64")
            result = self.let(f"add i64 {quotient}, {less}")
        if y.constant is None:
            if not remainder:
                wrapped = self.let(f"sub i64 0, {x.operand}")
                result = self.let(f"select i1 {opposite}, i64 {wrapped}, i64 {result}")
            result = self.let(f"select i1 {zero}, i64 0, i64 {result}")
        return Value(INT, result)

    def compare(self, operator: ast.cmpop, x: Value, y: Value) -> Value:
        """x operator y as a truth value."""
        kind = type(operator)
        if kind not in SIGNED:
            raise KernelError(f"no comparison {kind.__name__}")
        if x.kind == FLOAT and y.kind == FLOAT:
            return Value(BOOL, self.let(f"fcmp {ORDERED[kind]} double {x.operand}, {y.operand}"))
        if x.kind == BOOL and y.kind == BOOL and kind in (ast.Eq, ast.NotEq):
            return Value(BOOL, self.let(f"icmp {SIGNED[kind]} i1 {x.operand}, {y.operand}"))
        x, y = self.as_kind(x, INT), self.as_kind(y, INT)
        if x.constant is not None and y.constant is not None:
            return Value(BOOL, "true" if COMPARED[kind](x.constant, y.constant) else "false")
        return Value(BOOL, self.let(f"icmp {SIGNED[kind]} i64 {x.operand}, {y.operand}"))

    def negate(self, value: Value) -> Value:
        """-value."""
        if value.kind == FLOAT:
            return Value(FLOAT, self.let(f"fneg double {value.operand}"))
        return self.binary(ast.Sub(), integer(0), value)

    def extreme(self, values: list[Value], operator: ast.cmpop) -> Value:
        """The least (operator <) or greatest (>) of some integers."""
        best = self.as_kind(values[0], INT)
        for value in values[1:]:
            other = self.as_kind(value, INT)
            if best.constant is not None and other.constant is not None:
                best = other if COMPARED[type(operator)](other.constant, best.constant) else best
                continue
            better = self.compare(operator, other, best)
            best = Value(INT, self.let(f"select i1 {better.operand}, i64 {other.operand}, i64 {best.operand}"))
        return best


def _check(kind: type[ast.operator], constant: int | None) -> None:
    """Refuse a right operand that Python refuses."""
    if constant is None:
        return
    if kind in (ast.FloorDiv, ast.Mod) and constant == 0:
        raise KernelError("division by the constant 0")
    if kind in (ast.LShift, ast.RShift) and constant < 0:
        raise KernelError(f"shift by the constant {constant}")
