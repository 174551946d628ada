"""Which memory accesses of a block share one range check.

A block runs to its end once it has begun (or leaves before an instruction), so accesses whose addresses differ from
each other by constants are checked together, at the first of them. Where the common check fails the block leaves
before that first one: never wrong, only slower.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_sim.rp2040 import decode as d
from firmware_sim.rp2040.layout import ZERO
from firmware_sim.rp2040.native.region import Instruction

LOADS = {d.OP_LDR: 4, d.OP_LDRH: 2, d.OP_LDRSH: 2, d.OP_LDRB: 1, d.OP_LDRSB: 1}
STORES = {d.OP_STR: 4, d.OP_STRH: 2, d.OP_STRB: 1}
SIZES = LOADS | STORES
MULTIPLE = (d.OP_LDM, d.OP_STM, d.OP_POP, d.OP_PUSH)
NO_RESULT = (*STORES, d.OP_CMP, d.OP_CMP_IMM, d.OP_CMN, d.OP_TST, d.OP_NOP, d.OP_BARRIER, d.OP_STM, d.OP_PUSH)


@dataclass
class Group:
    """Bytes [low, high) from a common root that one check covers."""

    low: int
    high: int
    align: int


@dataclass(frozen=True)
class Access:
    """One instruction's access: `distance` of its base register from the root of its group."""

    group: Group
    distance: int


def _note(groups: dict[object, Group], root: object, first: int, size: int, align: int) -> Group:
    """Widen the group of `root` by [first, first + size)."""
    group = groups.setdefault(root, Group(first, first + size, align))
    group.low, group.high = min(group.low, first), max(group.high, first + size)
    group.align = max(group.align, align)
    return group


def group_accesses(block: list[Instruction], alone: set[int]) -> dict[int, Access]:
    """The accesses of a block by address of the instruction; those of `alone` are checked by themselves."""
    accesses: dict[int, Access] = {}
    groups: dict[object, Group] = {}
    known: dict[int, tuple[object, int]] = {}  # register -> (root, distance)

    def place(number: int, fresh: object) -> tuple[object, int]:
        return known.setdefault(number, ((number, fresh), 0))

    for i in block:
        fresh = i.address
        if i.op in SIZES:
            size = SIZES[i.op]
            if i.address in alone:
                accesses[fresh] = Access(Group(i.imm, i.imm + size, size), 0)
            elif i.c == ZERO:
                root, distance = place(i.b, fresh)
                if (distance + i.imm) % size:
                    root, distance = object(), 0
                accesses[fresh] = Access(_note(groups, root, distance + i.imm, size, size), distance)
            else:
                accesses[fresh] = Access(Group(0, size, size), 0)
        elif i.op in MULTIPLE:
            root, distance = place(i.a, fresh)
            if distance % 4:
                root, distance = (i.a, object()), 0
            first = distance - 4 * i.c if i.op == d.OP_PUSH else distance
            accesses[fresh] = Access(_note(groups, root, first, 4 * i.c, 4), distance)
            known[i.a] = (root, first if i.op == d.OP_PUSH else distance + 4 * i.c)
            if i.op == d.OP_LDM or i.op == d.OP_POP:
                for number in range(8):
                    if i.imm >> number & 1:
                        known.pop(number, None)
            continue
        moved = _moved(i, known)
        if moved is not None:
            known[i.a] = moved
        elif i.op == d.OP_ADD_SP:
            known.pop(13, None)
        elif i.op not in NO_RESULT:
            known.pop(i.a, None)
    return accesses


def _moved(i: Instruction, known: dict[int, tuple[object, int]]) -> tuple[object, int] | None:
    """Place of the result when it is a known register plus a constant."""
    if i.b not in known or i.c != ZERO:
        return None
    root, distance = known[i.b]
    if i.op in (d.OP_ADDS_IMM, d.OP_ADD):
        return root, distance + i.imm
    if i.op == d.OP_SUBS_IMM:
        return root, distance - i.imm
    if i.op == d.OP_MOVS:
        return root, distance
    return None
