"""Generates Cortex-M0+ assembly for a 3x3 DEPTHWISE_CONV_2D layer: one loop over the windows of any channel.

A channel's rows lie packed in pairs (depthwise.c), so a window gives two outputs. Five weights are held in high
registers and four on the stack; the loop is written for the layer's width and strides, the channel comes as numbers.
Variants differ in what a channel's weights allow between two drains (dense_code.py) and in its requantisation.

Registers: r0 packed row, r1 INTERP1, r2 first pixel's output, r3 sum of H, r4-r6 words, r7 weight and scratch,
r8-r12 weights 0-4, lr sum of words. On the stack: weights 5-8, m, b, k, distance, end of the row, rows left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.dense_code import ACCUM0, PEEK_LANE0, SIO_INTERP, Assembly, Block, advance
from firmware_sim.compiler.prover import F1, F2, F2X, Requantisation

TAPS = 9
SPLITS = ((9,), (3, 3, 3), (2, 2, 2, 2, 1))  # products between drains, the cheapest first
WHOLE, ROWS, PAIRS = range(3)
NO_VARIANT = 255  # a channel for the kernels on pairs
FRAME = {"w5": 0, "m": 16, "b": 20, "k": 24, "distance": 28, "end": 32, "rows": 36}
FRAME_BYTES = 40


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the loop is written for."""

    width: int  # words of a packed row
    stride_h: int
    stride_w: int
    out_w: int
    channels: int


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel's numbers; `variant` is 2 * split + 1 if k counts, or NO_VARIANT."""

    variant: int
    m: int
    k: int
    b: int


def channels_of(weights: NDArray[np.int8], forms: Requantisation) -> list[Channel]:
    """The numbers of each channel of weights int8 [9, O]."""
    return [_channel(weights[:, c].astype(int).tolist(), forms, c) for c in range(weights.shape[1])]


def _channel(taps: list[int], forms: Requantisation, c: int) -> Channel:
    split = next((i for i, sizes in enumerate(SPLITS) if _allowed(taps, sizes)), None)
    form, m, k, b = int(forms.form[c]), int(forms.m[c]), int(forms.k[c]), int(forms.b[c])
    if form == F1 and m < 2**16:
        form, m = F2, m << 8  # the same function
    if split is None or form not in (F2, F2X):
        return Channel(NO_VARIANT, 0, 0, 0)
    return Channel(2 * split + (form == F2X and k != 0), m, k, b)


def _allowed(taps: list[int], sizes: tuple[int, ...]) -> bool:
    """Whether every run of that many products keeps within a block's bound."""
    start = 0
    for size in sizes:
        block = Block()
        for weight in taps[start : start + size]:
            if not block.takes(weight):
                return False
            block.add(weight)
        start += size
    return True


def depthwise_code(name: str, variant: int, geometry: Geometry) -> Assembly:
    """The function `name`: void (const int32_t *x, const int32_t *channel, int8_t *out, uint32_t rows).

    `channel` is w[9], m, b, k, and the bytes from the first pixel's output to the second's.
    """
    sizes, wide = SPLITS[variant // 2], bool(variant % 2)
    code = Assembly()
    code.lines += [f'    .section .text.{name}, "ax"', f"    .global {name}", f"    .type {name}, %function"]
    code.lines += ["    .balign 4", "    .thumb_func", f"{name}:"]
    _prologue(code)
    row_bytes = geometry.out_w * geometry.channels
    code.lines.append(f".Lrow_{name}:")
    code.load("r7", row_bytes)
    code.emit("adds r7, r7, r2")
    _store(code, "r7", "end")
    code.lines.append(f".Lwindow_{name}:")
    before = code.cycles
    if sizes == SPLITS[PAIRS]:
        _sums_one_by_one(code, sizes, geometry)
    else:
        _sums_by_rows(code, sizes, geometry)
    _outputs(code, wide)
    advance(code, "r2", geometry.channels)
    _load(code, "r7", "end")
    code.emit("cmp r2, r7")
    code.emit(f"beq .Lend_{name}")
    code.emit(f"b .Lwindow_{name}", 2)
    window_cycles = code.cycles - before
    code.lines.append(f".Lend_{name}:")
    advance(code, "r0", 4 * (geometry.stride_h * geometry.width - geometry.out_w * geometry.stride_w))
    _load(code, "r7", "rows")
    code.emit("subs r7, #1")
    _store(code, "r7", "rows")
    code.emit(f"beq .Ldone_{name}")
    code.emit(f"b .Lrow_{name}", 2)
    code.lines.append(f".Ldone_{name}:")
    _epilogue(code)
    code.lines += ["    .ltorg", f"    .size {name}, . - {name}"]
    code.cycles = window_cycles
    return code


def _load(code: Assembly, register: str, what: str, more: int = 0) -> None:
    code.emit(f"ldr {register}, [sp, #{FRAME[what] + more}]", 2)


def _store(code: Assembly, register: str, what: str) -> None:
    code.emit(f"str {register}, [sp, #{FRAME[what]}]", 2)


def _prologue(code: Assembly) -> None:
    code.emit("push {r4-r7, lr}", 6)
    for high in (8, 9, 10, 11):
        code.emit(f"mov r{high - 4}, r{high}")
    code.emit("push {r4-r7}", 5)
    code.emit(f"sub sp, #{FRAME_BYTES}")
    _store(code, "r3", "rows")
    code.emit("ldm r1!, {r3-r7}", 6)
    for i in range(5):
        code.emit(f"mov r{8 + i}, r{3 + i}")
    code.emit("mov r7, sp")
    for _ in range(2):  # weights 5 to 8; m, b, k, distance
        code.emit("ldm r1!, {r3-r6}", 5)
        code.emit("stm r7!, {r3-r6}", 5)
    code.load("r1", SIO_INTERP)


def _epilogue(code: Assembly) -> None:
    code.emit(f"add sp, #{FRAME_BYTES}")
    code.emit("pop {r4-r7}", 5)
    for high in (8, 9, 10, 11):
        code.emit(f"mov r{high}, r{high - 4}")
    code.emit("pop {r4-r7, pc}", 8)


def _weight(code: Assembly, tap: int) -> None:
    """Weight `tap` in r7."""
    if tap < 5:
        code.emit(f"mov r7, r{8 + tap}")
    else:
        _load(code, "r7", "w5", 4 * (tap - 5))


def _drain(code: Assembly, *, first: bool, last: bool) -> None:
    """Move the block in r4 into r3 and lr; after the last, L is in r4 and H in r3."""
    if first:
        code.emit("movs r3, #0")
    code.emit("asrs r7, r4, #16")
    code.emit("adcs r3, r7")
    if first and last:
        code.emit("sxth r4, r4")
    elif last:
        code.emit("add r4, lr")
        code.emit("lsls r7, r3, #16")
        code.emit("subs r4, r4, r7")
    else:
        code.emit("mov lr, r4" if first else "add lr, r4")


def _sums_by_rows(code: Assembly, sizes: tuple[int, ...], geometry: Geometry) -> None:
    """Three words an LDM; a drain behind each row, or one behind all."""
    whole = len(sizes) == 1
    for row in range(3):
        # r4 holds the block when it goes on over the rows: then each row's words are r5 and r6
        if not whole or row == 0:
            code.emit("ldm r0!, {r4, r5, r6}", 4)
            words = ("r4", "r5", "r6")
        else:
            code.emit("ldm r0!, {r5, r6}", 3)
            words = ("r5", "r6", "r5")
        for column, word in enumerate(words):
            if whole and row and column == 2:
                code.emit("ldm r0!, {r5}", 2)
            _weight(code, 3 * row + column)
            code.emit(f"muls {word}, r7")
            if word != "r4":
                code.emit(f"adds r4, r4, {word}")
        if not whole or row == 2:
            _drain(code, first=whole or row == 0, last=row == 2)
        back = 4 * (2 * geometry.width - geometry.stride_w)
        advance(code, "r0", (4 * geometry.width if row < 2 else -back) - 12)


def _sums_one_by_one(code: Assembly, sizes: tuple[int, ...], geometry: Geometry) -> None:
    """One word a load; drains where `sizes` says."""
    tap = 0
    for i, size in enumerate(sizes):
        for product in range(size):
            word = "r5" if product else "r4"
            code.emit(f"ldm r0!, {{{word}}}", 2)
            _weight(code, tap)
            code.emit(f"muls {word}, r7")
            if product:
                code.emit("adds r4, r4, r5")
            if tap % 3 == 2:
                back = 4 * (2 * geometry.width - geometry.stride_w)
                advance(code, "r0", (4 * geometry.width if tap < 8 else -back) - 12)
            tap += 1
        _drain(code, first=i == 0, last=i == len(sizes) - 1)


def _outputs(code: Assembly, wide: bool) -> None:
    """The second pixel first: with distance 0 the first then overwrites it."""
    _load(code, "r5", "m")
    if not wide:
        _load(code, "r6", "b")
    for x in ("r3", "r4"):
        code.emit(f"asrs r7, {x}, #8")
        code.emit(f"uxtb {x}, {x}")
        code.emit(f"muls {x}, r5")
        if wide:
            _load(code, "r6", "k")
            code.emit("muls r6, r7")
            code.emit(f"adds {x}, {x}, r6")
            code.emit(f"asrs {x}, {x}, #8")
        else:
            code.emit(f"lsrs {x}, {x}, #8")
        code.emit("muls r7, r5")
        code.emit(f"adds r7, r7, {x}")
        if wide:
            _load(code, "r6", "b")
        code.emit("adds r7, r7, r6")
        code.emit(f"str r7, [r1, #{ACCUM0}]")
        code.emit(f"ldr r7, [r1, #{PEEK_LANE0}]")
        if x == "r3":
            _load(code, "r3", "distance")
            code.emit("strb r7, [r2, r3]", 2)
        else:
            code.emit("strb r7, [r2]", 2)
