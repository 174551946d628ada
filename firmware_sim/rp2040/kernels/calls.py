"""Calls in a kernel: of other kernels, of intrinsics, and of what Python brings."""

from __future__ import annotations

import ast
import inspect
import math
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from firmware_sim.rp2040.kernels.annotations import MEMORY, parameters, result
from firmware_sim.rp2040.kernels.intrinsics import Intrinsic
from firmware_sim.rp2040.kernels.values import (
    BOOL,
    FLOAT,
    INT,
    KernelError,
    Static,
    Tuple,
    Value,
    flat,
    operands,
    returned,
)
from firmware_sim.rp2040.layout import Memory

if TYPE_CHECKING:
    from firmware_sim.rp2040.kernels.expressions import Expressions


def write_call(code: Expressions, node: ast.Call) -> Value:
    """A call of a kernel, an intrinsic, or one of the functions of Python and math that kernels know."""
    called = code.meaning(node.func)
    if not isinstance(called, Static) or node.keywords:
        raise KernelError(f"{ast.unparse(node)}: cannot be called so")
    function = called.value
    values = [code.value(argument) for argument in node.args]
    simple = SIMPLE.get(function) if isinstance(function, types.BuiltinFunctionType | type) else None
    if simple is not None:
        return simple(code, values)
    if function is Memory:
        return Value(MEMORY, parts=tuple(values))
    made = getattr(function, "intrinsic", None)
    if isinstance(made, Intrinsic):
        converted = [code.as_kind(value, kind).operand for value, kind in zip(values, made.parameters, strict=True)]
        return made.write(code.let, converted)
    if not inspect.isfunction(function) or not hasattr(function, "kernel"):
        raise KernelError(f"{ast.unparse(node.func)} is not compiled: mark it with @inner")
    kinds = parameters(function)
    if len(kinds) != len(values):
        raise KernelError(f"{ast.unparse(node)}: takes {len(kinds)} arguments")
    arguments = ", ".join(
        text for value, kind in zip(values, kinds.values(), strict=True) for text in operands(code.as_kind(value, kind))
    )
    kind = result(function)
    call = f"call {returned(kind)} {code.program.name_of(function)}({arguments})"
    if not isinstance(kind, Tuple):
        return Value(kind, code.let(call))
    if not kind.parts:
        code.lines.append(f"  {call}")
        return Value(kind)
    whole = code.let(call)
    types_ = flat(kind)
    return code.gather(kind, [code.let(f"extractvalue {returned(kind)} {whole}, {i}") for i in range(len(types_))])


def _as_integer(code: Expressions, values: list[Value]) -> Value:
    (value,) = values
    return code.as_kind(value, INT)


def _as_truth(code: Expressions, values: list[Value]) -> Value:
    (value,) = values
    return code.truth(value)


def _absolute(code: Expressions, values: list[Value]) -> Value:
    return code.extreme([values[0], code.negate(code.as_kind(values[0], INT))], ast.Gt())


def _float_call(name: str) -> Callable[[Expressions, list[Value]], Value]:
    def write(code: Expressions, values: list[Value]) -> Value:
        arguments = ", ".join(f"double {code.as_kind(value, FLOAT).operand}" for value in values)
        return Value(FLOAT, code.let(f"call double @llvm.{name}.f64({arguments})"))

    return write


def _is_infinite(code: Expressions, values: list[Value]) -> Value:
    size = _float_call("fabs")(code, values)
    return Value(BOOL, code.let(f"fcmp oeq double {size.operand}, 0x7FF0000000000000"))


SIMPLE: dict[Any, Callable[[Expressions, list[Value]], Value]] = {
    min: lambda code, values: code.extreme(values, ast.Lt()),
    max: lambda code, values: code.extreme(values, ast.Gt()),
    int: _as_integer,
    bool: _as_truth,
    abs: _absolute,
    math.sqrt: _float_call("sqrt"),
    math.copysign: _float_call("copysign"),
    math.isinf: _is_infinite,
}
