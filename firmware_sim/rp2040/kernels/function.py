"""A kernel's statements as the blocks of an LLVM function."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware_sim.rp2040.kernels.annotations import parameters, result
from firmware_sim.rp2040.kernels.assignments import Assignments
from firmware_sim.rp2040.kernels.cases import chain_of
from firmware_sim.rp2040.kernels.program import Program
from firmware_sim.rp2040.kernels.values import (
    INT,
    Array,
    KernelError,
    Static,
    Tuple,
    Value,
    flat,
    integer,
    operands,
    returned,
)

# Nothing, but LLVM does not know it: else it joins what a branch without instructions leads to with the jump itself,
# and every jump of the table pays for the values that this one way out needs.
KEPT_APART = 'call void asm sideeffect "", "i"(i64 {}) nounwind memory(inaccessiblemem: readwrite)'
LEAST_BRANCHES = 3  # of a chain of comparisons with constants that becomes a jump table


@functools.cache
def _definitions(path: str) -> dict[int, ast.FunctionDef]:
    """The functions at the top of a file, by the line where they begin, decorators included."""
    tree = ast.parse(Path(path).read_text("utf-8"))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])] = node
    return found


class Function(Assignments):
    """Writes one function."""

    def __init__(self, function: Callable[..., Any], program: Program, wide: frozenset[str] = frozenset()) -> None:
        super().__init__(function, program, wide)
        self.function = function
        self.path = str(inspect.getsourcefile(function))
        self.result = result(function)
        self.open = True  # whether the present block has no end yet
        self.loops: list[tuple[str, str]] = []  # labels of `continue` and `break`

    def text(self, name: str, *, internal: bool) -> str:
        """The definition of the function."""
        node = _definitions(self.path).get(self.function.__code__.co_firstlineno)
        if node is None:
            raise KernelError(f"{self.path}: {self.function.__qualname__} is not at the top of its file")
        assigned = {
            part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
        }
        names: list[str] = []
        for parameter, kind in parameters(self.function).items():
            registers = [f"%a{len(names) + i}" for i in range(len(flat(kind)))]
            names += [f"{llvm} {register}" for llvm, register in zip(flat(kind), registers, strict=True)]
            value = self.gather(kind, registers)
            if parameter in assigned:
                self.assign(parameter, value)
            else:
                self.arguments[parameter] = value
        self.block(node.body)
        if self.open:
            self.lines.append("  ret void" if self.result == Tuple(()) else "  unreachable")
        attributes = "noinline nounwind" if getattr(self.function, "stays_apart", False) else "nounwind"
        start = f"define {'internal ' if internal else ''}{returned(self.result)} {name}"
        head = f"{start}({', '.join(names)}) {attributes} {{"
        return "\n".join([head, "entry:", *self.slots, *self.lines, "}"])

    def begin(self, label: str) -> None:
        """Start a block."""
        super().begin(label)
        self.open = True

    def block(self, statements: list[ast.stmt]) -> None:
        """Write statements; what cannot be reached is left out."""
        for statement in statements:
            if not self.open:
                return
            method = getattr(self, f"_write_{type(statement).__name__.lower()}", None)
            try:
                if method is None:
                    raise KernelError(f"kernels know no {type(statement).__name__}")
                method(statement)
            except KernelError as error:
                if str(error).startswith(self.path):
                    raise
                raise KernelError(f"{self.path}:{statement.lineno}: {error}") from None

    def end(self, instruction: str) -> None:
        """End the block."""
        self.lines.append(f"  {instruction}")
        self.open = False

    # --- statements ---

    def _write_expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.value(node.value)

    def _write_pass(self, node: ast.Pass) -> None:
        """Nothing."""

    def _write_return(self, node: ast.Return) -> None:
        if node.value is None or self.result == Tuple(()):
            return self.end("ret void")
        value = self.value(node.value)
        if not isinstance(self.result, Tuple):
            (operand,) = operands(self.as_kind(value, self.result))
            return self.end(f"ret {operand}")
        if not isinstance(value.kind, Tuple) or len(value.parts) != len(self.result.parts):
            raise KernelError(f"returns {len(self.result.parts)} values")
        whole, number = "undef", 0
        for part, kind in zip(value.parts, self.result.parts, strict=True):
            for operand in operands(self.as_kind(part, kind)):
                whole = self.let(f"insertvalue {returned(self.result)} {whole}, {operand}, {number}")
                number += 1
        return self.end(f"ret {returned(self.result)} {whole}")

    def _write_if(self, node: ast.If) -> None:
        chain = chain_of(self, node)
        no, done = self.label(), self.label()
        branches = [(self.label(), body) for _, body in chain.branches]
        if len(branches) >= LEAST_BRANCHES:
            self.lines.append(f"  switch i64 {self.value(ast.Name(chain.variable)).operand}, label %{no} [")
            for (label, _), (numbers, _) in zip(branches, chain.branches, strict=True):
                self.lines += [f"    i64 {number}, label %{label}" for number in numbers]
            self.lines.append("  ]")
            rest = chain.rest
        else:
            branches = [(self.label(), node.body)]
            self.branch(node.test, branches[0][0], no)
            rest = node.orelse
        reached = False
        for label, body in [*branches, (no, rest)]:
            self.begin(label)
            if len(branches) >= LEAST_BRANCHES:
                self.lines.append("  " + KEPT_APART.format(len(self.lines)))
            self.block(body)
            if self.open:
                self.go(done)
                reached = True
        self.open = False
        if reached:
            self.begin(done)

    def _write_while(self, node: ast.While) -> None:
        """The test stands before the loop and again at its end, where all ways through the body meet: of many jumps to
        the beginning LLVM makes a nest of loops, in which the interpreter ran at half the speed."""
        body, again, end, done = (self.label() for _ in range(4))
        self._repeat(node.test, body, end)
        self._loop(body, node.body, again, done, again)
        self.begin(again)
        self._repeat(node.test, body, end)
        self.begin(end)
        self.block(node.orelse)
        if self.open:
            self.go(done)
        self.begin(done)

    def _repeat(self, test: ast.expr, body: str, end: str) -> None:
        """Jump to the body or the end of a loop."""
        if isinstance(test, ast.Constant) and test.value is True:
            self.go(body)
        else:
            self.branch(test, body, end)

    def _loop(self, label: str, body: list[ast.stmt], again: str, done: str, close: str) -> None:
        """The body of a loop; `again` is where `continue` goes, `close` where its end goes."""
        self.begin(label)
        self.loops.append((again, done))
        self.block(body)
        self.loops.pop()
        if self.open:
            self.go(close)

    def _write_break(self, node: ast.Break) -> None:
        self.end(f"br label %{self.loops[-1][1]}")

    def _write_continue(self, node: ast.Continue) -> None:
        self.end(f"br label %{self.loops[-1][0]}")

    def _write_for(self, node: ast.For) -> None:
        if not isinstance(node.target, ast.Name) or node.orelse:
            raise KernelError("for needs one variable and no else")
        table: Value | None = None
        if isinstance(node.iter, ast.Call) and ast.unparse(node.iter.func) == "range":
            bounds = [self.number(argument) for argument in node.iter.args]
            start, end = (integer(0), bounds[0]) if len(bounds) == 1 else bounds[:2]
            step = bounds[2] if len(bounds) == 3 else integer(1)
        else:
            members = self._members(node.iter)
            table = Value(Array("i64"), self.program.table(members))
            start, end, step = integer(0), integer(len(members)), integer(1)
        counter = self.slot("i64")
        test, body, more, done = (self.label() for _ in range(4))
        self.lines.append(f"  store i64 {start.operand}, ptr {counter}")
        self.go(test)
        self.begin(test)
        at = Value(INT, self.let(f"load i64, ptr {counter}"))
        self.lines.append(f"  br i1 {self._goes_on(at, end, step)}, label %{body}, label %{done}")
        self.begin(body)
        self.assign(node.target.id, self.load_element(Array("i64"), self.address(table, at)) if table else at)
        inside = self.label()
        self.go(inside)
        self._loop(inside, node.body, more, done, more)
        self.begin(more)
        following = self.let(f"add i64 {at.operand}, {step.operand}")
        self.lines.append(f"  store i64 {following}, ptr {counter}")
        self.go(test)
        self.begin(done)

    def _goes_on(self, at: Value, end: Value, step: Value) -> str:
        """Whether a counter has not reached its end."""
        up = self.compare(ast.Lt(), at, end).operand
        if step.constant is not None and step.constant > 0:
            return up
        down = self.compare(ast.Gt(), at, end).operand
        if step.constant is not None:
            return down
        rises = self.compare(ast.Gt(), step, integer(0)).operand
        return self.let(f"select i1 {rises}, i1 {up}, i1 {down}")

    def _members(self, node: ast.expr) -> list[int]:
        """The constants of a tuple."""
        if isinstance(node, ast.Tuple):
            values = [self.number(member).constant for member in node.elts]
        else:
            found = self.meaning(node)
            values = list(found.value) if isinstance(found, Static) and isinstance(found.value, tuple) else [None]
        if any(value is None for value in values):
            raise KernelError("for takes a range or a tuple of constants")
        return [int(value) for value in values if value is not None]
