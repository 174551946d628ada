"""Code that fills what a plane's writer does not know, before a depthwise loop reads it.

These are the columns beside the rows, the rows above the first and below the last, which are rows of the other half,
and second rows that do not exist (planes.py).
"""

from __future__ import annotations

from firmware_sim.compiler.assembly import Assembly, advance
from firmware_sim.compiler.planes import Plane, Source

MAX_WORDS = 31  # of LDR and STR


def fill_plane(code: Assembly, name: str, plane: Plane) -> None:
    """The words of a plane that the layer before did not write: r0 stays, r1-r7 are lost."""
    pitch = plane.pitch
    outside = plane.zero_point + (plane.zero_point << 16)
    right = pitch - plane.left - plane.columns
    code.load("r7", outside)
    code.emit("movs r1, r0")
    if plane.left or right:
        # the right columns of a row and the left ones of the next lie side by side
        for _ in range(plane.left):
            code.emit("stm r1!, {r7}", 2)
        between = plane.left + right
        rows = len(plane.rows)
        advance(code, "r1", 4 * plane.columns)
        for row in range(rows):
            count = between if row < rows - 1 else right
            assert count <= MAX_WORDS + 1  # noqa: S101
            for i in range(count):
                code.emit(f"str r7, [r1, #{4 * i}]", 2)
            if row < rows - 1:
                advance(code, "r1", 4 * pitch)
    for row, source in enumerate(plane.rows):
        if source.kind != "written":
            _fill_row(code, name, row, source, plane)


def _fill_row(code: Assembly, name: str, row: int, source: Source, plane: Plane) -> None:
    """One row of a plane from another one, or of zero points."""
    pitch = plane.pitch
    code.emit("movs r1, r0")
    _step(code, "r1", 4 * (row * pitch + plane.left))
    if source.kind != "outside":
        code.emit("movs r2, r0")
        _step(code, "r2", 4 * (source.row * pitch + plane.left))
    # what is added: the other half
    zero = plane.zero_point
    code.load("r7", {"low": zero, "high": zero << 16, "alone": zero << 16, "outside": zero + (zero << 16)}[source.kind])
    groups, rest = divmod(plane.columns, 3)
    loop = groups > 3
    if loop:
        code.emit("movs r6, r1")
        _step(code, "r6", 12 * groups, scratch="r3")
        code.lines.append(f".Lfill_{name}_{row}:")
    before = code.cycles
    for _ in range(1 if loop else groups):
        _fill_words(code, source.kind, ("r3", "r4", "r5"))
    if loop:
        code.emit("cmp r1, r6")
        code.emit(f"bne .Lfill_{name}_{row}", 2)
        code.cycles += (groups - 1) * (code.cycles - before) - 1
    if rest:
        _fill_words(code, source.kind, ("r3", "r4", "r5")[:rest])


def _fill_words(code: Assembly, kind: str, registers: tuple[str, ...]) -> None:
    listed = "{" + ", ".join(registers) + "}"
    if kind == "outside":
        for register in registers:
            code.emit(f"movs {register}, r7")
    else:
        code.emit(f"ldm r2!, {listed}", 1 + len(registers))
    for register in registers:
        if kind == "low":  # the first pixel of that row is the second here
            code.emit(f"lsls {register}, {register}, #16")
            code.emit(f"adds {register}, {register}, r7")
        elif kind == "alone":
            code.emit(f"sxth {register}, {register}")
            code.emit(f"adds {register}, {register}, r7")
        elif kind == "high":  # and its second the first; the borrow is bit 15
            code.emit(f"asrs {register}, {register}, #16")
            code.emit(f"adcs {register}, r7")
    code.emit(f"stm r1!, {listed}", 1 + len(registers))


def _step(code: Assembly, register: str, distance: int, scratch: str = "r6") -> None:
    """Move a pointer forward by any distance."""
    if distance <= 510:
        advance(code, register, distance)
    else:
        code.load(scratch, distance)
        code.emit(f"adds {register}, {register}, {scratch}")
