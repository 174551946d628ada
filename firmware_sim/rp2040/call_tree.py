"""From records of instructions to a tree of calls with its cycles, compiled because it follows every instruction.

A call is BL or BLX. It ends where the PC comes back to the return address with the stack pointer of the call. A jump
to another function (known from symbols) that is no return is a tail call: the callee takes the caller's place, as in
the chip. Exceptions are calls made by the interrupted code; a chained one replaces the one before.
"""

from __future__ import annotations

from firmware_sim.rp2040 import decode as d
from firmware_sim.rp2040.compiled import entry_point, inner
from firmware_sim.rp2040.layout import SRAM_BASE, SRAM_END, IntArray
from firmware_sim.rp2040.memory_map import memory_offset
from firmware_sim.rp2040.record import (
    ASLEEP,
    AT,
    CORE,
    ENTERED,
    ENTRY,
    JUMPED,
    KIND,
    NEXT,
    RAN,
    RECORD_WORDS,
    RETURNED,
    SP_AFTER,
    SP_BEFORE,
    STACKED,
    TOOK,
)
from firmware_sim.rp2040.shortcuts import ENTRY_CYCLES

# One node: a function called from one place by one chain of callers.
PARENT, FUNCTION, SITE, CHILD, SIBLING, SELF, CALLS, EXECUTED = range(8)  # SELF in cycles, EXECUTED instructions
NODE_WORDS = 8
MAX_NODES = 1 << 16
ROOTS = (0, 1)  # the node of each core
ASLEEP_FUNCTION = -2  # FUNCTION of the time that a core slept

# One frame of a core's stack of calls.
NODE, RETURN, FRAME_SP, INTERRUPT = range(4)
FRAME_WORDS = 4
MAX_DEPTH = 2048

# Tree: counters, then nodes, then the frames of both cores.
TREE_NODES = 0  # nodes in use
TREE_DEPTH = 1  # [2]
TREE_LOST = 3  # calls beyond MAX_DEPTH or MAX_NODES: their cycles are their caller's
TREE_LOWEST_SP = 4  # [2] lowest stack pointer in SRAM, since MSR last moved MSP to another stack
TREE_HIGHEST_SP = 6  # [2]
NODES = 16
FRAMES = NODES + MAX_NODES * NODE_WORDS
TREE_WORDS = FRAMES + 2 * MAX_DEPTH * FRAME_WORDS
MSP = 8  # SYSm of MSR
SLEEP_CYCLES = 2  # of WFI and WFE themselves
NEAR = 1024  # bytes behind a call within which code without symbols counts as its caller's


@inner
def child(tree: IntArray, parent: int, function: int, site: int) -> int:
    """The node for a call, made at its first; the parent itself when there is no room."""
    p = NODES + parent * NODE_WORDS
    node = tree[p + CHILD]
    while node:
        n = NODES + node * NODE_WORDS
        if tree[n + FUNCTION] == function and tree[n + SITE] == site:
            return node
        node = tree[n + SIBLING]
    node = tree[TREE_NODES]
    if node == MAX_NODES:
        tree[TREE_LOST] += 1
        return parent
    tree[TREE_NODES] += 1
    n = NODES + node * NODE_WORDS
    tree[n + PARENT], tree[n + FUNCTION], tree[n + SITE] = parent, function, site
    tree[n + SIBLING], tree[p + CHILD] = tree[p + CHILD], node
    return node


@inner
def function_start(functions: IntArray, address: int) -> int:
    """Address of the function around an address; -1 where no symbol says."""
    offset = memory_offset(address)
    return functions[offset >> 1] if offset >= 0 else -1


@inner
def push(
    tree: IntArray, functions: IntArray, core: int, target: int, site: int, back: int, sp: int, interrupt: int
) -> None:
    """A call of `target` from `site`."""
    depth = tree[TREE_DEPTH + core]
    if depth == MAX_DEPTH:
        tree[TREE_LOST] += 1
        return
    start = function_start(functions, target)
    f = FRAMES + (core * MAX_DEPTH + depth) * FRAME_WORDS
    parent = tree[f - FRAME_WORDS + NODE] if depth else core
    node = child(tree, parent, start if start >= 0 else target, site)
    tree[NODES + node * NODE_WORDS + CALLS] += 1
    tree[f + NODE], tree[f + RETURN], tree[f + FRAME_SP], tree[f + INTERRUPT] = node, back, sp, interrupt
    tree[TREE_DEPTH + core] = depth + 1


@inner
def replace(tree: IntArray, functions: IntArray, core: int, target: int) -> None:
    """A tail call: the callee returns to where its caller would have."""
    depth = tree[TREE_DEPTH + core]
    if depth == MAX_DEPTH:
        return
    f = FRAMES + (core * MAX_DEPTH + depth - 1) * FRAME_WORDS
    old = NODES + tree[f + NODE] * NODE_WORDS
    start = function_start(functions, target)
    node = child(tree, tree[old + PARENT], start if start >= 0 else target, tree[old + SITE])
    tree[NODES + node * NODE_WORDS + CALLS] += 1
    tree[f + NODE] = node


@inner
def leave(tree: IntArray, functions: IntArray, core: int, at: int, target: int, sp: int, computed: bool) -> None:
    """The PC went from `at` to `target` by BX, POP or MOV PC (computed), with the stack pointer `sp` then."""
    depth = tree[TREE_DEPTH + core]
    base = FRAMES + core * MAX_DEPTH * FRAME_WORDS
    for level in range(depth - 1, 0, -1):
        f = base + level * FRAME_WORDS
        if tree[f + RETURN] == target and tree[f + FRAME_SP] == sp:
            tree[TREE_DEPTH + core] = level
            return
        if tree[f + INTERRUPT]:
            break
    while depth > 1:  # calls whose stack is gone ended with a longjmp
        f = base + (depth - 1) * FRAME_WORDS
        if tree[f + FRAME_SP] >= sp or tree[f + INTERRUPT]:
            break
        depth -= 1
    tree[TREE_DEPTH + core] = depth
    f = base + (depth - 1) * FRAME_WORDS
    here, there = function_start(functions, at), function_start(functions, target)
    if there >= 0:
        top = tree[NODES + tree[f + NODE] * NODE_WORDS + FUNCTION]
        if there == top:
            return
        site = tree[NODES + tree[f + NODE] * NODE_WORDS + SITE]
        if depth > 1 and not tree[f + INTERRUPT] and function_start(functions, site) == there:
            tree[TREE_DEPTH + core] = depth - 1  # a switch helper returns into its caller, behind the table
            return
        replace(tree, functions, core, target)
    elif depth > 1 and 0 < target - tree[f + RETURN] < NEAR and tree[f + FRAME_SP] == sp:
        tree[TREE_DEPTH + core] = depth - 1
    elif not computed or here >= 0:
        replace(tree, functions, core, target)


@inner
def leave_handler(tree: IntArray, core: int) -> int:
    """An exception returned: what it interrupted goes on. The PC at which it was entered; -1 if nobody saw that."""
    base = FRAMES + core * MAX_DEPTH * FRAME_WORDS
    for level in range(tree[TREE_DEPTH + core] - 1, 0, -1):
        f = base + level * FRAME_WORDS
        if tree[f + INTERRUPT]:
            tree[TREE_DEPTH + core] = level
            return tree[f + RETURN]
    return -1


@inner
def follow(tree: IntArray, functions: IntArray, record: IntArray, target: int) -> None:
    """Calls and returns of an instruction that led to `target`."""
    core, at, op, c = record[CORE], record[AT], record[ENTRY] & 0xFF, (record[ENTRY] >> 24) & 31
    sp = record[SP_BEFORE]
    if op == d.OP_BL:
        push(tree, functions, core, target, at, at + 4, sp, 0)
    elif op == d.OP_BLX:
        push(tree, functions, core, target, at, at + 2, sp, 0)
    elif op == d.OP_BX or op == d.OP_ROM_CALL:
        leave(tree, functions, core, at, target, sp, False)
    elif op == d.OP_POP:
        if (record[ENTRY] >> 32) & 0x8000:
            leave(tree, functions, core, at, target, sp + 4 * c, False)
    elif op == d.OP_WRITE_PC:
        leave(tree, functions, core, at, target, sp, True)
    else:
        there = function_start(functions, target)
        if there >= 0 and there != function_start(functions, at):
            replace(tree, functions, core, target)


@inner
def digest_one(tree: IntArray, functions: IntArray, cycles: IntArray, counts: IntArray, record: IntArray) -> None:
    """Charge one record and follow where it led."""
    core, kind, at, took = record[CORE], record[KIND], record[AT], record[TOOK]
    if kind & JUMPED and kind & ASLEEP:  # core 1 was launched: what it did before is over
        tree[TREE_DEPTH + core] = 0
        return
    if tree[TREE_DEPTH + core] == 0:
        push(tree, functions, core, at, 0, -1, record[SP_BEFORE], 0)
    f = FRAMES + (core * MAX_DEPTH + tree[TREE_DEPTH + core] - 1) * FRAME_WORDS
    node = tree[f + NODE]
    offset = memory_offset(at)
    sp = record[SP_AFTER]
    op = record[ENTRY] & 0xFF
    if SRAM_BASE <= sp <= SRAM_END:
        other_stack = sp < record[SP_BEFORE] or sp > tree[TREE_HIGHEST_SP + core]
        if kind & RAN and op == d.OP_MSR and record[ENTRY] >> 32 == MSP and other_stack:
            tree[TREE_LOWEST_SP + core] = tree[TREE_HIGHEST_SP + core] = sp
        tree[TREE_LOWEST_SP + core] = min(tree[TREE_LOWEST_SP + core], sp)
        tree[TREE_HIGHEST_SP + core] = max(tree[TREE_HIGHEST_SP + core], sp)
    entered = kind & ENTERED != 0 and not kind & RETURNED
    entry_cost = min(ENTRY_CYCLES, took) if entered else 0
    asleep = took - entry_cost if kind & ASLEEP else 0
    if kind & RAN and (op == d.OP_WFI or op == d.OP_WFE):  # the sleep begins in the instruction's own record
        asleep = max(0, took - entry_cost - SLEEP_CYCLES)
    if asleep:
        tree[NODES + child(tree, node, ASLEEP_FUNCTION, at) * NODE_WORDS + SELF] += asleep
    own = took - entry_cost - asleep
    tree[NODES + node * NODE_WORDS + SELF] += own
    tree[NODES + node * NODE_WORDS + EXECUTED] += 1 if kind & RAN else 0
    if offset >= 0:
        cycles[offset >> 1] += own
        counts[offset >> 1] += 1 if kind & RAN else 0
    if kind & RETURNED:
        back = leave_handler(tree, core)
        if kind & ENTERED:
            push(tree, functions, core, record[NEXT], back, back, record[SP_AFTER], 1)
    elif kind & RAN:
        follow(tree, functions, record, record[STACKED] if entered else record[NEXT])
    elif kind & JUMPED and not 0 <= record[NEXT] - at <= 4:
        leave(tree, functions, core, at, record[NEXT], sp, False)
    if entered:
        push(tree, functions, core, record[NEXT], record[STACKED], record[STACKED], record[SP_BEFORE], 1)
        f = FRAMES + (core * MAX_DEPTH + tree[TREE_DEPTH + core] - 1) * FRAME_WORDS
        tree[NODES + tree[f + NODE] * NODE_WORDS + SELF] += entry_cost
        handler = memory_offset(record[NEXT])
        if handler >= 0:
            cycles[handler >> 1] += entry_cost


@entry_point
def digest(
    tree: IntArray,
    functions: IntArray,
    cycles: IntArray,
    counts: IntArray,
    ring: IntArray,
    capacity: int,
    first: int,
    end: int,
) -> None:
    """Take the records `first` to `end` of a ring into the tree.

    functions: int64 [MEMORY_BYTES / 2], start of the function of each halfword, or -1. cycles, counts: int64
    [MEMORY_BYTES / 2], cycles and executions of the instruction at each halfword.
    """
    for i in range(first, end):
        at = i % capacity * RECORD_WORDS
        digest_one(tree, functions, cycles, counts, ring[at : at + RECORD_WORDS])
