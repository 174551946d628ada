"""Chains of `if`, `elif` that compare a variable with constants: LLVM does not always see that they are one choice."""

from __future__ import annotations

import ast
from typing import NamedTuple

from firmware_sim.rp2040.kernels.expressions import Expressions
from firmware_sim.rp2040.kernels.values import INT, Value

MOST_CASES = 64  # of a range


class Chain(NamedTuple):
    """What each number of the variable leads to."""

    variable: str
    branches: list[tuple[list[int], list[ast.stmt]]]
    rest: list[ast.stmt]


def constants(code: Expressions, nodes: list[ast.expr]) -> list[int] | None:
    """The numbers that expressions stand for; None when not all are constants."""
    numbers = []
    for node in nodes:
        names = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
        if any(code.is_local(name) for name in names) or any(isinstance(part, ast.Call) for part in ast.walk(node)):
            return None
        value = code.meaning(node)
        if not isinstance(value, Value) or value.constant is None:
            return None
        numbers.append(value.constant)
    return numbers


def cases(code: Expressions, test: ast.expr) -> tuple[str, list[int]] | None:
    """(variable, numbers) of `variable == c`, `variable in (c, d)`, `c <= variable <= d`, `or` of these; else None."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        parts = [cases(code, part) for part in test.values]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts) or len({variable for variable, _ in known}) > 1:
            return None
        return known[0][0], [number for _, numbers in known for number in numbers]
    if not isinstance(test, ast.Compare):
        return None
    operators = [type(operator) for operator in test.ops]
    variable, others = test.left, test.comparators
    between = operators == [ast.LtE, ast.LtE]
    if between:
        variable, others = others[0], [test.left, others[1]]
    elif operators == [ast.In] and isinstance(others[0], ast.Tuple):
        others = others[0].elts
    elif operators != [ast.Eq]:
        return None
    if not isinstance(variable, ast.Name) or not code.is_local(variable.id, INT):
        return None
    numbers = constants(code, others)
    if numbers is None or not between:
        return None if numbers is None else (variable.id, numbers)
    if numbers[1] - numbers[0] >= MOST_CASES:
        return None
    return variable.id, list(range(numbers[0], numbers[1] + 1))


def chain_of(code: Expressions, node: ast.If) -> Chain:
    """The branches at the beginning of a chain that compare one variable with constants: the first match counts."""
    variable = ""
    branches: list[tuple[list[int], list[ast.stmt]]] = []
    rest: list[ast.stmt] = [node]
    seen: set[int] = set()
    while len(rest) == 1 and isinstance(rest[0], ast.If):
        found = cases(code, rest[0].test)
        if found is None or found[0] != (variable or found[0]):
            break
        variable = found[0]
        branches.append(([number for number in found[1] if number not in seen], rest[0].body))
        seen.update(found[1])
        rest = rest[0].orelse
    return Chain(variable, branches, rest)
