"""Kinds of parameters and results, from a function's annotations as they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from firmware_sim.rp2040.kernels.values import BOOL, FLOAT, INT, NOTHING, Array, KernelError, Kind, Tuple
from firmware_sim.rp2040.layout import Memory

LONGS = Array("i64")
NAMED: dict[str, Kind] = {
    "int": INT,
    "bool": BOOL,
    "float": FLOAT,
    "None": NOTHING,
    "Bytes": Array("i8"),
    "Halves": Array("i16"),
    "Words": Array("i32"),
    **dict.fromkeys(("State", "Decoded", "IntArray"), LONGS),
}
NAMED["Memory"] = MEMORY = Tuple(
    tuple(NAMED[part.__forward_arg__] for part in Memory.__annotations__.values()), Memory._fields
)


def kind_of(annotation: str) -> Kind:
    """The kind that an annotation names."""
    text = annotation.strip()
    if text.startswith("tuple[") and text.endswith("]"):
        return Tuple(tuple(kind_of(part) for part in text[6:-1].split(",")))
    kind = NAMED.get(text.rsplit(".", 1)[-1])
    if kind is None:
        raise KernelError(f"kernels know no {text}")
    return kind


def parameters(function: Callable[..., Any]) -> dict[str, Kind]:
    """Kinds of a function's parameters, in order."""
    kinds = dict(function.__annotations__)
    kinds.pop("return", None)
    return {name: kind_of(text) for name, text in kinds.items()}


def result(function: Callable[..., Any]) -> Kind:
    """Kind of what a function returns."""
    return kind_of(function.__annotations__["return"])
