"""Variables, and what gives values to them and to elements of arrays."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from firmware_sim.rp2040.kernels.expressions import Expressions
from firmware_sim.rp2040.kernels.program import Program
from firmware_sim.rp2040.kernels.values import BOOL, INT, Array, KernelError, Kind, Tuple, Value, integer, operands


class WiderVariableError(Exception):
    """A variable that held truth values gets an integer: the function is written again with an integer variable."""


class Assignments(Expressions):
    """Writes assignments; `Function` adds the other statements."""

    def __init__(self, function: Callable[..., Any], program: Program, wide: frozenset[str]) -> None:
        super().__init__(function, program)
        self.wide = wide  # variables that hold integers although their first value is a truth value

    def declare(self, name: str, kind: Kind) -> None:
        """Make the slots of a variable. One that is read before it is written holds 0."""
        self.locals[name] = kind
        if isinstance(kind, Tuple):
            for i, part in enumerate(kind.parts):
                self.declare(f"{name}.{i}", part)
            return
        zero = {"ptr": "null", "double": "0.0"}.get(kind.llvm, "0")
        self.slots += [f"  %v.{name} = alloca {kind.llvm}", f"  store {kind.llvm} {zero}, ptr %v.{name}"]

    def assign(self, name: str, value: Value) -> None:
        """Give a variable a value."""
        if name in self.arguments:
            raise KernelError(f"{name} is a parameter")
        if name not in self.locals:
            self.declare(name, INT if value.kind == BOOL and name in self.wide else value.kind)
        kind = self.locals[name]
        if kind == BOOL and value.kind == INT:
            raise WiderVariableError(name)
        if isinstance(kind, Tuple):
            if value.kind != kind:
                raise KernelError(f"{name} was {kind}")
            for i, part in enumerate(value.parts):
                self.assign(f"{name}.{i}", part)
            return
        (operand,) = operands(self.as_kind(value, kind))
        self.lines.append(f"  store {operand}, ptr %v.{name}")

    def _store(self, target: ast.expr, value: Value) -> None:
        """target = value."""
        if isinstance(target, ast.Name):
            self.assign(target.id, value)
        elif isinstance(target, ast.Tuple):
            if not isinstance(value.kind, Tuple) or len(value.parts) != len(target.elts):
                raise KernelError(f"{ast.unparse(target)} takes {len(target.elts)} values")
            for part, single in zip(target.elts, value.parts, strict=True):
                self._store(part, single)
        elif isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice):
            self._clear(target, value)
        elif isinstance(target, ast.Subscript):
            self.store_element(*self.element(target), value)
        else:
            raise KernelError(f"nothing can be assigned to {ast.unparse(target)}")

    def _clear(self, target: ast.Subscript, value: Value) -> None:
        """array[start:end] = 0."""
        view = self.view(target)
        bounds = target.slice
        if not isinstance(bounds, ast.Slice) or not isinstance(view.kind, Array) or value.constant != 0:
            raise KernelError(f"{ast.unparse(target)} can only be set to 0")
        if bounds.lower is None or bounds.upper is None:
            raise KernelError(f"{ast.unparse(target)}: from where to where?")
        count = self.binary(ast.Sub(), self.number(bounds.upper), self.number(bounds.lower))
        size = self.binary(ast.Mult(), count, integer(view.kind.width))
        self.lines.append(f"  call void @llvm.memset.p0.i64(ptr {view.operand}, i8 0, i64 {size.operand}, i1 false)")

    def _write_assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self._store(target, value)

    def _write_augassign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Subscript):
            kind, address = self.element(node.target)
            before = self.load_element(kind, address)
            self.store_element(kind, address, self.binary(node.op, before, self.value(node.value)))
        else:
            before = self.value(node.target)
            self._store(node.target, self.binary(node.op, before, self.value(node.value)))
