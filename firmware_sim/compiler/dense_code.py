"""Generates Cortex-M0+ assembly for one dense convolution: straight-line code for all output channels of a pixel pair.

The windows of two pixels lie in words, value of the first + (value of the second << 16), so one multiplication by a
weight serves both (pair.h). Weights are immediates; zero weights cost nothing; two output channels share each load.

A block of products is summed in one register as long as the exact bound of its weights keeps the first pixel's half
within 16 signed bits. Then it is drained: ASRS by 16 leaves bit 15 in the carry, which ADCS adds, so the second
pixel's sum H is exact, and the words themselves are summed modulo 2^32; in the end the first pixel's sum is that less
H << 16. Then comes the requantisation that prover.py found; the interpolator (INTERP1) shifts and clamps.

Registers while summing: r0 window, r1 and r3 block sums of both channels, r4 and r5 sums of H, r2 product, r6 and r7
words, r9 and r11 sums of words, r8 INTERP1, r12 start of the window, lr and r10 outputs of the first and second pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.assembly import SIO_INTERP, Assembly, Block, advance
from firmware_sim.compiler.bands import WindowLayout
from firmware_sim.compiler.dense_outputs import PlaneWriter, write_constants, write_outputs
from firmware_sim.compiler.planes import Plane
from firmware_sim.compiler.prover import EXACT, Requantisation

CHUNK = 2  # words of an LDM
MAX_WORDS = 31  # of LDR
COUNT = 48  # place on the stack of pairs left, the fifth argument
Signed = NDArray[np.int8]


def dense_code(
    name: str,
    weights: Signed,
    forms: Requantisation,
    constants: NDArray[np.int64],
    channels: tuple[int, int] | None = None,
    unread: NDArray[np.bool_] | None = None,
    rows: WindowLayout | None = None,
    plane: Plane | None = None,
) -> Assembly:
    """The function `name`, an nn_code of nn.h; its cycles are those of one pair.

    `weights` int8 [O, K]; `constants` int64 [O]: the output of channels without weights. The sums of the channels
    whose form is exact go to `exact`, first and second pixel's, channel by channel. `channels`: only the first of these
    to before the second. `unread` [O]: of channels without weights those whose output may be anything. `rows`: how
    a window lies; without it, word behind word. `plane`: the outputs go there, both pixels in a word; no form is exact.
    """
    code = Assembly(name)
    code.lines += [f'    .section .text.{name}, "ax"', f"    .global {name}", f"    .type {name}, %function"]
    code.lines += ["    .balign 4", "    .thumb_func", f"{name}:"]
    layout = rows or WindowLayout(weights.shape[1], 0, weights.shape[1])
    _prologue(code, name, plane)
    code.cycles = 0
    writer = PlaneWriter(code, plane) if plane is not None else None
    begin, end = channels or (0, len(weights))
    mine = (np.arange(len(weights)) >= begin) & (np.arange(len(weights)) < end)  # [O]
    empty = mine & ~weights.any(axis=1)  # [O]
    exact_index = {int(c): i for i, c in enumerate(np.flatnonzero(mine & (forms.form == EXACT)))}
    live = [int(c) for c in np.flatnonzero(mine & ~empty)]
    for at in range(0, len(live), 2):
        group = live[at : at + 2]
        code.place_pool(name, 14 * weights.shape[1] + 200)
        _sums(code, [weights[c].astype(int).tolist() for c in group], layout)
        write_outputs(code, group, forms, exact_index, writer)
    if unread is not None:
        empty &= ~unread
    code.place_pool(name, (20 if writer else 6) * int(empty.sum()) + 64)
    if writer is None:
        write_constants(code, [int(c) for c in np.flatnonzero(empty)], constants)
    else:
        writer.constants([int(c) for c in np.flatnonzero(empty)], constants)
    _again(code, name, layout, len(weights), writer)
    cycles = code.cycles
    _epilogue(code)
    code.cycles = cycles
    code.lines += ["    .ltorg", f"    .size {name}, . - {name}"]
    return code


def _prologue(code: Assembly, name: str, plane: Plane | None) -> None:
    code.emit("push {r3-r7, lr}", 7)
    for high in (8, 9, 10, 11):
        code.emit(f"mov r{high - 4}, r{high}")
    code.emit("push {r4-r7}", 5)
    # overlays move: the loop's address is found where the code is
    code.emit(f"adr r4, .Lpair_{name}")
    code.emit("adds r4, #1")
    code.emit("push {r3, r4}", 3)  # [sp] exact sums, [sp, #4] the loop
    if plane is None:
        code.emit("mov r10, r2")
    else:
        code.load("r4", 4 * plane.words)
        code.emit("mov r10, r4")
    code.load("r4", SIO_INTERP)
    code.emit("mov r8, r4")
    code.emit("mov r12, r0")
    code.emit("mov lr, r1")
    code.lines += ["    .balign 4", f".Lpair_{name}:"]
    code.bytes += 2


def _again(code: Assembly, name: str, layout: WindowLayout, channels: int, writer: PlaneWriter | None) -> None:
    """The next pair, if there is one."""
    code.emit(f"ldr r1, [sp, #{COUNT}]", 2)
    code.emit("subs r1, #1")
    code.emit(f"beq .Ldone_{name}")
    code.emit(f"str r1, [sp, #{COUNT}]", 2)
    code.emit("mov r0, r12")
    _skip(code, 4 * layout.step)
    code.emit("mov r12, r0")
    if writer is None:
        code.emit("mov r1, lr")
        advance(code, "r1", channels)
        code.emit("mov lr, r1")
        code.emit("mov r1, r10")
        advance(code, "r1", channels)
        code.emit("mov r10, r1")
    else:
        writer.next_pair()
    code.emit("ldr r0, [sp, #4]", 2)
    code.emit("bx r0", 2)
    code.lines.append(f".Ldone_{name}:")


def _epilogue(code: Assembly) -> None:
    code.emit("add sp, #8")
    code.emit("pop {r4-r7}", 5)
    for high in (8, 9, 10, 11):
        code.emit(f"mov r{high}, r{high - 4}")
    code.emit("pop {r3-r7, pc}", 9)


def _sums(code: Assembly, rows: list[list[int]], layout: WindowLayout) -> None:
    """The dot products of one or two channels: afterwards L and H of the first in r1, r2, of the second in r3, r5."""
    accumulators, highs, wholes = ("r1", "r3"), ("r4", "r5"), ("r9", "r11")
    blocks = [Block() for _ in rows]
    code.emit("mov r0, r12")
    for high in highs[: len(rows)]:
        code.emit(f"movs {high}, #0")

    def drain(i: int) -> None:
        code.emit(f"asrs r2, {accumulators[i]}, #16")
        code.emit(f"adcs {highs[i]}, r2")
        code.emit(f"{'add' if blocks[i].drained else 'mov'} {wholes[i]}, {accumulators[i]}")
        blocks[i].drain()

    def product(i: int, weight: int, word: str) -> None:
        if not blocks[i].takes(weight):
            drain(i)
        first, size = blocks[i].products == 0, abs(weight)
        target = accumulators[i] if first else "r2"
        shift = size.bit_length() - 1
        if size == 1 and not first:
            target = word
        elif size == 1 << shift:
            code.emit(f"lsls {target}, {word}, #{shift}" if shift else f"movs {target}, {word}")
        else:
            code.emit(f"movs {target}, #{size}")
            code.emit(f"muls {target}, {word}")
        if not first:
            code.emit(f"{'adds' if weight > 0 else 'subs'} {accumulators[i]}, {accumulators[i]}, {target}")
        elif weight < 0:
            code.emit(f"rsbs {target}, {target}, #0")
        blocks[i].add(weight)

    position = 0
    needed = [k for k in range(len(rows[0])) if any(row[k] for row in rows)]
    while needed:
        run = [needed[0]]
        while len(run) < min(CHUNK, len(needed)) and layout.place(needed[len(run)]) == layout.place(run[0]) + len(run):
            run.append(needed[len(run)])
        needed = needed[len(run) :]
        words = {k: f"r{6 + i}" for i, k in enumerate(run)}
        distance = layout.place(run[0]) - position
        if len(run) == 1 and distance <= MAX_WORDS:
            code.emit(f"ldr {words[run[0]]}, [r0, #{4 * distance}]", 2)  # alone: no step of the pointer
        else:
            _skip(code, 4 * distance)
            code.emit("ldm r0!, {" + ", ".join(words.values()) + "}", 1 + len(run))
            position = layout.place(run[0]) + len(run)
        for i, row in enumerate(rows):
            # a block had better begin with a positive weight
            for k in sorted(run, key=lambda k: (row[k] < 0, k)) if blocks[i].products == 0 else run:
                if row[k]:
                    product(i, row[k], words[k])
    for i, block in enumerate(blocks):
        low = accumulators[i]
        high, rest = ("r2", "r4") if i == 0 else ("r5", "r6")
        code.emit(f"asrs {'r2' if i == 0 else 'r6'}, {low}, #16")
        code.emit(f"adcs {high}, {rest}")
        if not block.drained:
            code.emit(f"sxth {low}, {low}")
            continue
        code.emit(f"add {low}, {wholes[i]}")
        code.emit(f"lsls r6, {high}, #16")
        code.emit(f"subs {low}, {low}, r6")


def _skip(code: Assembly, distance: int) -> None:
    """Move r0 forward; r2 is lost. No literal: the code may be far from the next pool."""
    if distance <= 3 * 252:
        advance(code, "r0", distance)
        return
    zeros = (distance & -distance).bit_length() - 1
    if distance >> zeros <= 255:
        code.emit(f"movs r2, #{distance >> zeros}")
        code.emit(f"lsls r2, r2, #{zeros}")
    else:
        code.emit(f"movs r2, #{distance >> 8}")  # below 2^16: a work area's words
        code.emit("lsls r2, r2, #8")
        code.emit(f"adds r2, #{distance & 255}")
    code.emit("adds r0, r0, r2")
