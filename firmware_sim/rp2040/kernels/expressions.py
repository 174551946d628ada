"""Expressions of a kernel as LLVM instructions."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from firmware_sim.rp2040.kernels.arithmetic import Arithmetic
from firmware_sim.rp2040.kernels.calls import write_call
from firmware_sim.rp2040.kernels.program import Program
from firmware_sim.rp2040.kernels.values import (
    BOOL,
    FALSE,
    FLOAT,
    INT,
    TRUE,
    Array,
    KernelError,
    Kind,
    Static,
    Tuple,
    Value,
    flat,
    integer,
    operands,
)


class Expressions(Arithmetic):
    """Writes expressions; `Function` adds statements."""

    def __init__(self, function: Callable[..., Any], program: Program) -> None:
        super().__init__()
        self.program = program
        self.globals = function.__globals__
        self.locals: dict[str, Kind] = {}  # variables, in stack slots that LLVM turns into values
        self.arguments: dict[str, Value] = {}  # parameters that are never assigned
        self.slots: list[str] = []

    # --- blocks ---

    def begin(self, label: str) -> None:
        """Start a block."""
        self.lines.append(f"{label}:")

    def go(self, label: str) -> None:
        """End a block with a jump."""
        self.lines.append(f"  br label %{label}")

    def slot(self, llvm: str) -> str:
        """A new stack slot."""
        self._names += 1
        name = f"%s{self._names}"
        self.slots.append(f"  {name} = alloca {llvm}")
        return name

    # --- variables ---

    def load_variable(self, name: str, kind: Kind) -> Value:
        """Present value of a variable."""
        if isinstance(kind, Tuple):
            return Value(
                kind, parts=tuple(self.load_variable(f"{name}.{i}", part) for i, part in enumerate(kind.parts))
            )
        return Value(kind, self.let(f"load {kind.llvm}, ptr %v.{name}"))

    def is_local(self, name: str, kind: Kind | None = None) -> bool:
        """Whether a name is a variable or parameter, of this kind if one is given."""
        value = self.arguments.get(name)
        found = self.locals.get(name) if value is None else value.kind
        return found is not None and kind in (None, found)

    def look_up(self, name: str) -> Value | Static:
        """What a name means."""
        if name in self.arguments:
            return self.arguments[name]
        if name in self.locals:
            return self.load_variable(name, self.locals[name])
        if name in self.globals:
            return self.known(self.globals[name])
        if hasattr(builtins, name):
            return Static(getattr(builtins, name))
        raise KernelError(f"{name} has no value here")

    def known(self, value: Any) -> Value | Static:
        """A Python object as a constant, where it is one."""
        if isinstance(value, bool):
            return TRUE if value else FALSE
        if isinstance(value, int):
            return integer(value)
        if isinstance(value, float):
            bits = int(np.float64(value).view(np.uint64))
            return Value(FLOAT, f"0x{bits:016X}")
        if isinstance(value, np.ndarray):
            return Value(Array("i64"), self.program.table(value))
        return Static(value)

    # --- expressions ---

    def value(self, node: ast.expr) -> Value:
        """Write an expression."""
        found = self.meaning(node)
        if isinstance(found, Static):
            raise KernelError(f"{ast.unparse(node)} is no value")
        return found

    def number(self, node: ast.expr) -> Value:
        """Write an expression that gives an integer."""
        return self.as_kind(self.value(node), INT)

    def meaning(self, node: ast.expr) -> Value | Static:
        """Write an expression, or find the Python object that it names."""
        method = getattr(self, f"_write_{type(node).__name__.lower()}", None)
        if method is None:
            raise KernelError(f"kernels know no {type(node).__name__}: {ast.unparse(node)}")
        found: Value | Static = method(node)
        return found

    def _write_constant(self, node: ast.Constant) -> Value | Static:
        return self.known(node.value)

    def _write_name(self, node: ast.Name) -> Value | Static:
        return self.look_up(node.id)

    def _write_attribute(self, node: ast.Attribute) -> Value | Static:
        base = self.meaning(node.value)
        if isinstance(base, Static):
            return self.known(getattr(base.value, node.attr))
        if isinstance(base.kind, Tuple) and node.attr in base.kind.names:
            return base.parts[base.kind.names.index(node.attr)]
        raise KernelError(f"no attribute {node.attr}")

    def _write_tuple(self, node: ast.Tuple) -> Value:
        parts = tuple(self.value(part) for part in node.elts)
        return Value(Tuple(tuple(part.kind for part in parts)), parts=parts)

    def _write_binop(self, node: ast.BinOp) -> Value:
        x = self.value(node.left)
        return self.binary(node.op, x, self.value(node.right))

    def _write_unaryop(self, node: ast.UnaryOp) -> Value:
        if isinstance(node.op, ast.Not):
            truth = self.truth(self.value(node.operand))
            return Value(BOOL, self.let(f"xor i1 {truth.operand}, true"))
        value = self.value(node.operand)
        if isinstance(node.op, ast.USub):
            return self.negate(value)
        if isinstance(node.op, ast.Invert):
            return self.binary(ast.BitXor(), self.as_kind(value, INT), integer(-1))
        raise KernelError(f"no operator {type(node.op).__name__}")

    def _write_boolop(self, node: ast.BoolOp) -> Value:
        """`and`, `or` as a value: of truth values only, else the result would not be one."""
        return self._chosen(lambda yes, no: self.branch(node, yes, no, strict=True), lambda: TRUE, lambda: FALSE)

    def _write_compare(self, node: ast.Compare) -> Value:
        if len(node.ops) == 1:
            x = self.value(node.left)
            if isinstance(node.ops[0], ast.In | ast.NotIn):
                return self._contained(x, node.comparators[0], isinstance(node.ops[0], ast.NotIn))
            return self.compare(node.ops[0], x, self.value(node.comparators[0]))
        if any(isinstance(part, ast.Call | ast.Subscript) for other in node.comparators for part in ast.walk(other)):
            return self._chosen(lambda yes, no: self.branch(node, yes, no), lambda: TRUE, lambda: FALSE)
        values = [self.value(node.left), *(self.value(other) for other in node.comparators)]
        truth = TRUE
        for operator, x, y in zip(node.ops, values, values[1:], strict=False):
            both = self.compare(operator, x, y).operand
            truth = Value(BOOL, both if truth is TRUE else self.let(f"and i1 {truth.operand}, {both}"))
        return truth

    def _contained(self, x: Value, members: ast.expr, negated: bool) -> Value:
        """x in (a, b, c)."""
        if isinstance(members, ast.Tuple):
            others = [self.value(member) for member in members.elts]
        else:
            found = self.meaning(members)
            if not isinstance(found, Static) or not isinstance(found.value, tuple):
                raise KernelError("`in` needs a tuple")
            others = [integer(member) for member in found.value]
        truth = "false"
        for other in others:
            truth = self.let(f"or i1 {truth}, {self.compare(ast.Eq(), x, other).operand}")
        return Value(BOOL, self.let(f"xor i1 {truth}, {'true' if negated else 'false'}"))

    def _write_ifexp(self, node: ast.IfExp) -> Value:
        return self._chosen(
            lambda yes, no: self.branch(node.test, yes, no),
            lambda: self.value(node.body),
            lambda: self.value(node.orelse),
        )

    def _chosen(
        self, decide: Callable[[str, str], None], first: Callable[[], Value], second: Callable[[], Value]
    ) -> Value:
        """One of two values; only that one is computed."""
        yes, no, store_yes, store_no, done = (self.label() for _ in range(5))
        decide(yes, no)
        self.begin(yes)
        x = first()
        self.go(store_yes)
        self.begin(no)
        y = second()
        self.go(store_no)
        kind = x.kind if x.kind == y.kind else INT
        kinds = flat(kind)
        slots = [self.slot(llvm) for llvm in kinds]
        for label, value in ((store_yes, x), (store_no, y)):
            self.begin(label)
            for slot, operand in zip(slots, operands(self.as_kind(value, kind)), strict=True):
                self.lines.append(f"  store {operand}, ptr {slot}")
            self.go(done)
        self.begin(done)
        return self.gather(
            kind, [self.let(f"load {llvm}, ptr {slot}") for llvm, slot in zip(kinds, slots, strict=True)]
        )

    def branch(self, node: ast.expr, yes: str, no: str, *, strict: bool = False) -> None:
        """Jump by a condition; `and`, `or` and `not` look at no more than Python does."""
        if isinstance(node, ast.BoolOp):
            conjunction = isinstance(node.op, ast.And)
            for part in node.values[:-1]:
                following = self.label()
                self.branch(part, *((following, no) if conjunction else (yes, following)), strict=strict)
                self.begin(following)
            self.branch(node.values[-1], yes, no, strict=strict)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.branch(node.operand, no, yes)
        elif isinstance(node, ast.Compare) and len(node.ops) > 1:
            x = self.value(node.left)
            for i, (operator, other) in enumerate(zip(node.ops, node.comparators, strict=True)):
                y = self.value(other)
                truth = self.compare(operator, x, y)
                following = self.label() if i + 1 < len(node.ops) else yes
                self.lines.append(f"  br i1 {truth.operand}, label %{following}, label %{no}")
                if following != yes:
                    self.begin(following)
                x = y
        else:
            value = self.value(node)
            if strict and value.kind != BOOL:
                raise KernelError(f"{ast.unparse(node)} is no truth value")
            self.lines.append(f"  br i1 {self.truth(value).operand}, label %{yes}, label %{no}")

    # --- arrays ---

    def element(self, node: ast.Subscript) -> tuple[Array, str]:
        """Kind of an array and the address of its element."""
        array = self.value(node.value)
        index = self.number(node.slice)
        if index.constant is not None and index.constant < 0:
            raise KernelError(f"{ast.unparse(node)}: arrays of kernels have no end to count from")
        address = self.address(array, index)
        return cast(Array, array.kind), address

    def address(self, array: Value, index: Value) -> str:
        """Address of an element."""
        if not isinstance(array.kind, Array):
            raise KernelError(f"{array.kind} is no array")
        return self.let(f"getelementptr inbounds {array.kind.element}, ptr {array.operand}, i64 {index.operand}")

    def _write_subscript(self, node: ast.Subscript) -> Value:
        if isinstance(node.slice, ast.Slice):
            return self.view(node)
        if isinstance(node.slice, ast.Constant) and not isinstance(node.value, ast.Name):
            whole = self.value(node.value)
            if isinstance(whole.kind, Tuple):
                return whole.parts[int(node.slice.value)]  # type: ignore[arg-type]
        kind, address = self.element(node)
        return self.load_element(kind, address)

    def load_element(self, kind: Array, address: str) -> Value:
        """An element, zero-extended."""
        loaded = self.let(f"load {kind.element}, ptr {address}")
        return Value(INT, loaded if kind.element == "i64" else self.let(f"zext {kind.element} {loaded} to i64"))

    def store_element(self, kind: Array, address: str, value: Value) -> None:
        """Set an element; what does not fit is cut off."""
        operand = self.as_kind(value, INT).operand
        if kind.element != "i64":
            operand = self.let(f"trunc i64 {operand} to {kind.element}")
        self.lines.append(f"  store {kind.element} {operand}, ptr {address}")

    def view(self, node: ast.Subscript) -> Value:
        """array[start:end], which shares its memory."""
        array = self.value(node.value)
        if not isinstance(node.slice, ast.Slice) or node.slice.lower is None or node.slice.step is not None:
            raise KernelError(f"{ast.unparse(node)}: a view is array[start:end]")
        return Value(array.kind, self.address(array, self.number(node.slice.lower)))

    # --- calls ---

    def gather(self, kind: Kind, registers: list[str]) -> Value:
        """A value from the registers that hold it; takes them from the list."""
        if isinstance(kind, Tuple):
            return Value(kind, parts=tuple(self.gather(part, registers) for part in kind.parts))
        return Value(kind, registers.pop(0))

    def _write_call(self, node: ast.Call) -> Value:
        return write_call(self, node)
