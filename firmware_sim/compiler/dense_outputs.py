"""What follows the sums of a dense convolution: requantisation, and where the outputs of a pair of pixels go.

Registers as dense_code.py has them: sums of the first channel in r1 and r2, of the second in r3 and r5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.assembly import ACCUM0, PEEK_LANE0, Assembly, advance
from firmware_sim.compiler.planes import Plane
from firmware_sim.compiler.prover import BASE, EXACT, F1, Requantisation

MAX_OFFSET = 31  # of STRB


@dataclass(slots=True)
class PlaneWriter:
    """Stores words into planes: lr is the pair's place in plane `at`, r10 the bytes of a plane."""

    code: Assembly
    plane: Plane
    at: int = 0

    def store(self, words: list[tuple[int, str]]) -> None:
        """Words of channels in low registers but r6 and r7, which are lost."""
        self.code.emit("mov r6, lr")
        for channel, register in words:
            if (index := self.plane.index[channel]) >= 0:
                self._go("r6", index)
                self.code.emit(f"str {register}, [r6]", 2)
        self.code.emit("mov lr, r6")

    def _go(self, register: str, index: int, scratch: str = "r7") -> None:
        steps, self.at = index - self.at, index
        if 0 <= steps <= 2:
            for _ in range(steps):
                self.code.emit(f"add {register}, r10")
            return
        self._move(register, steps * 4 * self.plane.words, scratch)

    def _move(self, register: str, distance: int, scratch: str) -> None:
        if abs(distance) <= 3 * 255:
            advance(self.code, register, distance)
            return
        self.code.load(scratch, distance)
        self.code.emit(f"adds {register}, {register}, {scratch}")

    def constants(self, channels: list[int], values: NDArray[np.int64]) -> None:
        """Channels without weights."""
        channels = sorted((c for c in channels if self.plane.index[c] >= 0), key=lambda c: self.plane.index[c])
        if not channels:
            return
        self.code.emit("mov r6, lr")
        held = None
        for channel in channels:
            word = (int(values[channel]) + (int(values[channel]) << 16)) & 0xFFFFFFFF
            self._go("r6", self.plane.index[channel])
            if word != held:
                self.code.load("r5", word)
                held = word
            self.code.emit("str r5, [r6]", 2)
        self.code.emit("mov lr, r6")

    def next_pair(self) -> None:
        """Back to the first plane, a word further."""
        self.code.emit("mov r6, lr")
        self._move("r6", 4 - self.at * 4 * self.plane.words, "r7")
        self.code.emit("mov lr, r6")


def write_outputs(
    code: Assembly,
    group: list[int],
    forms: Requantisation,
    exact_index: dict[int, int],
    writer: PlaneWriter | None,
) -> None:
    """Requantise and store both pixels of one or two channels."""
    sums = dict(zip(group, (("r1", "r2"), ("r3", "r5")), strict=False))
    code.emit("mov r0, r8")
    for channel, pair in sums.items():
        if int(forms.form[channel]) == EXACT:
            code.emit("ldr r7, [sp]", 2)
            for pixel, value in enumerate(pair):
                code.load("r6", 8 * exact_index[channel] + 4 * pixel)
                code.emit(f"str {value}, [r7, r6]", 2)
        else:
            _requantise(code, pair, forms, channel)
    proven = {channel: pair for channel, pair in sums.items() if int(forms.form[channel]) != EXACT}
    if not proven:
        return
    if writer is not None:
        for low, high in proven.values():
            code.emit(f"lsls {high}, {high}, #16")
            code.emit(f"adds {low}, {low}, {high}")
        writer.store([(channel, low) for channel, (low, _) in proven.items()])
        return
    for pixel, (register, output) in enumerate((("r6", "lr"), ("r7", "r10"))):
        code.emit(f"mov {register}, {output}")
        at = 0
        for channel, pair in proven.items():
            base = channel - channel % (MAX_OFFSET + 1)
            advance(code, register, base - at)
            at = base
            code.emit(f"strb {pair[pixel]}, [{register}, #{channel - base}]", 2)


def _requantise(code: Assembly, pair: tuple[str, str], forms: Requantisation, channel: int) -> None:
    """Make the outputs of two sums in low registers; r0 is INTERP1; r4, r6 and r7 are lost."""
    form = int(forms.form[channel])
    m, k, a, s, b, d = (int(v[channel]) for v in (forms.m, forms.k, forms.a, forms.s, forms.b, forms.d))
    code.load("r4", m)
    if BASE.get(form, form) == F1:
        code.load("r6", b)
        for x in pair:
            code.emit(f"muls {x}, r4")
            code.emit(f"adds {x}, {x}, r6")
    else:
        while k and k % 2 == 0 and s > 1 and k > 255:
            k, s = k >> 1, s - 1
        code.load("r6", k)
        for x in pair:
            code.emit(f"asrs r7, {x}, #{a}" if a else f"movs r7, {x}")
            code.emit("muls r7, r6")
            code.emit(f"asrs r7, r7, #{s}")
            code.emit(f"muls {x}, r4")
            code.emit(f"adds {x}, {x}, r7")
        code.load("r6", b)
        for x in pair:
            code.emit(f"adds {x}, {x}, r6")
    if form in BASE:
        for x in pair:
            code.emit(f"asrs r7, {x}, #31")
            code.emit(f"lsls r7, r7, #{d}")
            code.emit(f"adds {x}, {x}, r7")
        code.load("r6", forms.after)
        for x in pair:
            code.emit(f"adds {x}, {x}, r6")
    for x in pair:
        code.emit(f"str {x}, [r0, #{ACCUM0}]")
        code.emit(f"ldr {x}, [r0, #{PEEK_LANE0}]")


def write_constants(code: Assembly, channels: list[int], values: NDArray[np.int64]) -> None:
    """Channels whose weights are all zero."""
    if not channels:
        return
    code.emit("mov r1, lr")
    code.emit("mov r2, r10")
    held, base = None, 0
    for channel in channels:
        value = int(values[channel]) & 255
        if value != held:
            code.emit(f"movs r7, #{value}")
            held = value
        step = channel - channel % (MAX_OFFSET + 1) - base
        for register in ("r1", "r2"):
            advance(code, register, step)
        base += step
        for register in ("r1", "r2"):
            code.emit(f"strb r7, [{register}, #{channel - base}]", 2)
