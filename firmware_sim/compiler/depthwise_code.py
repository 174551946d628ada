"""Generates Cortex-M0+ assembly for a 3x3 DEPTHWISE_CONV_2D layer: loops over the windows of a packed channel.

A channel's rows lie packed in pairs (depthwise_code.c), so a window gives two outputs; two windows beside each other
share words and weights. A block of products is summed in one register while the exact bound of its weights keeps the
first pixel's half within 16 signed bits, then drained (dense_code.py says how). Two kinds of loop:

- of one channel: its weights and its requantisation are immediates, zero weights cost nothing, blocks are its own;
- of a layer: weights come from the stack, for any channel whose weights allow the blocks of one of SPLITS.

Registers: r0 packed row, r1-r7 words, sums, weights and results as they become free, r8 and r10 sums of H of both
windows, r9 and r11 sums of words, r12 first pixel's output, lr end of its row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.dense_code import ACCUM0, PEEK_LANE0, SIO_INTERP, Assembly, Block, advance
from firmware_sim.compiler.prover import F1, F2, F2X, Requantisation

TAPS = 9
SPLITS: tuple[tuple[int, ...], ...] = (
    (9,),
    (3, 6),
    (6, 3),
    (4, 5),
    (5, 4),
    (3, 3, 3),
    (2, 1, 2, 1, 2, 1),
    (2, 2, 2, 2, 1),
)
MAX_OFFSET = 31  # of STRB
M, B, K, DISTANCE, ROWS = 36, 40, 44, 48, 52  # places on the stack, behind nine weights
ARGUMENT = 36 + 56  # place on the stack of the fifth argument
FRAME_BYTES = 56
NEAR = 240  # bytes that a conditional branch reaches


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a loop is written for."""

    width: int  # words of a packed row
    stride_h: int
    stride_w: int
    out_w: int
    channels: int

    @property
    def name(self) -> str:
        """Layers of one geometry share their loops."""
        return f"depthwise_{self.width}_{self.out_w}_{self.channels}_{self.stride_h}_{self.stride_w}"


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel's numbers: weights [9], the products between drains, and the requantisation F2, or F2x when k > 0."""

    index: int
    taps: tuple[int, ...]
    blocks: tuple[int, ...]
    m: int
    k: int
    b: int


def channels_of(weights: NDArray[np.int8], forms: Requantisation) -> list[Channel]:
    """The channels of weights int8 [9, O] that generated code can do."""
    found = (_channel(weights[:, c].astype(int).tolist(), forms, c) for c in range(weights.shape[1]))
    return [channel for channel in found if channel is not None]


def _channel(taps: list[int], forms: Requantisation, c: int) -> Channel | None:
    form, m, k, b = int(forms.form[c]), int(forms.m[c]), int(forms.k[c]), int(forms.b[c])
    if form == F1 and m < 2**16:
        form, m = F2, m << 8  # the same function
    if form not in (F2, F2X):
        return None
    blocks, block, start = [], Block(), 0
    for tap, weight in enumerate(taps):
        if not block.takes(weight):
            blocks.append(tap - start)
            block, start = Block(), tap
        if not block.takes(weight):
            return None  # -128, which no block takes
        block.add(weight)
    return Channel(c, tuple(taps), (*blocks, TAPS - start), m, k if form == F2X else 0, b)


def splits_of(channel: Channel) -> list[tuple[int, ...]]:
    """Those of SPLITS whose blocks the channel's weights allow, the cheapest first."""
    return [split for split in SPLITS if _allowed(channel.taps, split)]


def _allowed(taps: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
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


def layer_code(name: str, split: tuple[int, ...], geometry: Geometry, *, wide: bool) -> Assembly:
    """The function `name` for any channel that allows `split`; `wide`: whose k counts (nn.h, nn_depthwise_channel)."""
    return _function(name, _Loop(Assembly(name), name, geometry, split, None, wide))


def channel_code(name: str, channel: Channel, geometry: Geometry) -> Assembly:
    """The function `name` for one channel."""
    return _function(name, _Loop(Assembly(name), name, geometry, channel.blocks, channel, channel.k > 0))


def _function(name: str, loop: _Loop) -> Assembly:
    code = loop.code
    code.lines += [f'    .section .text.{name}, "ax"', f"    .global {name}", f"    .type {name}, %function"]
    code.lines += ["    .balign 4", "    .thumb_func", f"{name}:"]
    loop.write()
    code.lines += ["    .ltorg", f"    .size {name}, . - {name}"]
    return code


@dataclass(slots=True)
class _Loop:
    """One function while it is written."""

    code: Assembly
    name: str
    geometry: Geometry
    split: tuple[int, ...]
    channel: Channel | None
    wide: bool
    free: set[int] = field(default_factory=lambda: set(range(1, 8)))

    def write(self) -> None:
        """The whole function; afterwards `code.cycles` are those of one packed row of windows."""
        code, geometry = self.code, self.geometry
        self._prologue()
        code.cycles = 0
        pairs = geometry.out_w // 2 if geometry.stride_w <= 2 else 0
        singles = geometry.out_w - 2 * pairs
        code.lines.append(f".Lrow_{self.name}:")
        if pairs:
            self._windows("pair", pairs, 2)
        if singles:
            self._windows("single", singles, 1)
        advance(code, "r0", 4 * (geometry.stride_h * geometry.width - geometry.out_w * geometry.stride_w))
        code.emit(f"ldr r7, [sp, #{ROWS}]", 2)
        code.emit("subs r7, #1")
        code.emit(f"str r7, [sp, #{ROWS}]", 2)
        code.emit(f"beq .Ldone_{self.name}")
        code.emit(f"b .Lrow_{self.name}", 2)
        code.lines.append(f".Ldone_{self.name}:")
        cycles = code.cycles
        self._epilogue()
        code.cycles = cycles

    def _prologue(self) -> None:
        code = self.code
        code.emit("push {r4-r7, lr}", 6)
        for high in (8, 9, 10, 11):
            code.emit(f"mov r{high - 4}, r{high}")
        code.emit("push {r4-r7}", 5)
        code.emit(f"sub sp, #{FRAME_BYTES}")
        code.emit(f"str r3, [sp, #{ROWS}]", 2)
        code.emit("mov r12, r2")
        if self.channel is None:
            code.emit("mov r2, sp")
            for _ in range(3):
                code.emit("ldm r1!, {r3-r6}", 5)
                code.emit("stm r2!, {r3-r6}", 5)
        code.emit(f"ldr r4, [sp, #{ARGUMENT}]", 2)
        code.emit(f"str r4, [sp, #{DISTANCE}]", 2)

    def _epilogue(self) -> None:
        code = self.code
        code.emit(f"add sp, #{FRAME_BYTES}")
        code.emit("pop {r4-r7}", 5)
        for high in (8, 9, 10, 11):
            code.emit(f"mov r{high}, r{high - 4}")
        code.emit("pop {r4-r7, pc}", 8)

    def _windows(self, label: str, times: int, windows: int) -> None:
        """`times` times so many windows."""
        code = self.code
        if times > 1:
            code.load("r7", times * windows * self.geometry.channels)
            code.emit("add r7, r12")
            code.emit("mov lr, r7")
            code.lines.append(f".L{label}_{self.name}:")
        before, bytes_before = code.cycles, code.bytes
        last = self._outputs(self._sums(windows))
        if times > 1:
            code.emit(f"cmp r{last}, lr")
            if code.bytes - bytes_before < NEAR:
                code.emit(f"bne .L{label}_{self.name}", 2)
            else:
                code.emit(f"beq .Lafter_{label}_{self.name}")
                code.emit(f"b .L{label}_{self.name}", 2)
                code.lines.append(f".Lafter_{label}_{self.name}:")
            code.cycles += (times - 1) * (code.cycles - before)
        self.free = set(range(1, 8))

    def take(self, count: int = 1) -> list[int]:
        """The lowest free registers."""
        taken = sorted(self.free)[:count]
        assert len(taken) == count  # noqa: S101
        self.free -= set(taken)
        return taken

    def _sums(self, windows: int) -> list[tuple[int, int]]:
        """Dot products: the registers of L and H of each window."""
        code, stride = self.code, self.geometry.stride_w
        sums = _Sums(self, windows)
        ends, position = set(), 0
        for size in self.split[:-1]:
            position += size
            ends.add(position - 1)
        for row in range(3):
            first = 4 if (windows, stride) == (2, 1) else 3
            words = self.take(first)
            code.emit("ldm r0!, {" + ", ".join(f"r{word}" for word in words) + "}", 1 + first)
            loaded = first
            for column in range(3):
                if (windows, stride, column) == (2, 2, 1):
                    more = self.take(2)
                    code.emit("ldm r0!, {" + ", ".join(f"r{word}" for word in more) + "}", 3)
                    words, loaded = words + more, 5
                used = [words[column + stride * window] for window in range(windows)]
                # does the second window's word serve the first again?
                sums.products(3 * row + column, used, keeps=windows == 2 and column + stride < 3)
                if 3 * row + column in ends:
                    sums.drain()
            advance(code, "r0", 4 * (self.geometry.width - loaded if row < 2 else stride * windows - loaded))
            if row == 2:
                advance(code, "r0", -8 * self.geometry.width)
        return sums.finish()

    def _outputs(self, sums: list[tuple[int, int]]) -> int:
        """Requantise and store: the second pixels first, with distance 0 the first ones then overwrite them.

        Returns the register that holds the next output's place, as r12 does.
        """
        code, step = self.code, self.geometry.channels
        lows, highs = [low for low, _ in sums], [high for _, high in sums]
        self.free = set(range(8)) - set(lows + highs)
        code.emit("mov r8, r0")
        values = _Requantised(self)
        place = 0
        for pixel, registers in ((1, highs), (0, lows)):
            offset = 0
            for window, x in enumerate(registers):
                value = values.of(x)
                if window == 0:
                    place = x
                    if pixel:
                        code.emit(f"ldr r{x}, [sp, #{DISTANCE}]", 2)
                        code.emit(f"add r{x}, r12")
                    else:
                        code.emit(f"mov r{x}, r12")
                elif step > MAX_OFFSET:
                    advance(code, f"r{place}", step)
                else:
                    offset = step
                code.emit(f"strb r{value}, [r{place}, #{offset}]" if offset else f"strb r{value}, [r{place}]", 2)
            if not pixel:
                advance(code, f"r{place}", offset + step)
        code.emit(f"mov r12, r{place}")
        code.emit("mov r0, r8")
        return place


class _Sums:
    """The block sums of one or two windows in low registers, drained into high ones."""

    def __init__(self, loop: _Loop, windows: int) -> None:
        self._loop, self._code = loop, loop.code
        self._block: list[int | None] = [None] * windows
        self._drained = False

    def products(self, tap: int, words: list[int], *, keeps: bool) -> None:
        """Weight `tap` times a word a window; the words are free afterwards, the last one unless it `keeps`."""
        code, channel, free = self._code, self._loop.channel, self._loop.free
        weight = channel.taps[tap] if channel else None
        size = abs(weight) if weight is not None else 0
        shift = size.bit_length() - 1 if size and size == 1 << (size.bit_length() - 1) else None
        held: int | None = None
        if weight is None or (weight and shift is None):
            (held,) = self._loop.take()
            if weight is None:
                code.emit(f"ldr r{held}, [sp, #{4 * tap}]", 2)
            else:
                code.emit(f"movs r{held}, #{size}")
        for window, word in enumerate(words):
            stays = keeps and window == len(words) - 1
            if weight == 0:
                if not stays:
                    free.add(word)
                continue
            product = self._product(word, held, shift, stays=stays)
            self._add(window, product, negative=weight is not None and weight < 0)
            if held is not None and product == held:
                held = None
        if held is not None:
            free.add(held)

    def _product(self, word: int, held: int | None, shift: int | None, *, stays: bool) -> int:
        """The register of word times weight: the word's own unless it stays."""
        code = self._code
        if held is None:  # a power of two
            (target,) = self._loop.take() if stays else (word,)
            if shift:
                code.emit(f"lsls r{target}, r{word}, #{shift}")
            elif stays:
                code.emit(f"movs r{target}, r{word}")
            return target
        if stays:
            code.emit(f"muls r{held}, r{word}")
            return held
        code.emit(f"muls r{word}, r{held}")
        return word

    def _add(self, window: int, product: int, *, negative: bool) -> None:
        block = self._block[window]
        if block is None:
            if negative:
                self._code.emit(f"rsbs r{product}, r{product}, #0")
            self._block[window] = product
            return
        self._code.emit(f"{'subs' if negative else 'adds'} r{block}, r{block}, r{product}")
        self._loop.free.add(product)

    def drain(self) -> None:
        """Move the blocks into the high registers: H into r8 and r10, the words into r9 and r11."""
        code = self._code
        zero, high = self._loop.take(2)
        code.emit(f"movs r{zero}, #0")
        verb = "add" if self._drained else "mov"
        for window, block in enumerate(self._block):
            if block is None:
                block = zero
            code.emit(f"asrs r{high}, r{block}, #16")
            code.emit(f"adcs r{high}, r{zero}")
            code.emit(f"{verb} r{8 + 2 * window}, r{high}")
            code.emit(f"{verb} r{9 + 2 * window}, r{block}")
            if block != zero:
                self._loop.free.add(block)
            self._block[window] = None
        self._drained = True
        self._loop.free |= {zero, high}

    def finish(self) -> list[tuple[int, int]]:
        """The registers of L and H of each window."""
        code, loop = self._code, self._loop
        (zero,) = loop.take()
        code.emit(f"movs r{zero}, #0")
        found = []
        for window, block in enumerate(self._block):
            low = block
            if low is None:
                (low,) = loop.take()
                code.emit(f"movs r{low}, #0")
            (high,) = loop.take()
            code.emit(f"asrs r{high}, r{low}, #16")
            code.emit(f"adcs r{high}, r{zero}")
            found.append((low, high))
            if not self._drained:
                code.emit(f"sxth r{low}, r{low}")
                continue
            (whole,) = loop.take()
            code.emit(f"add r{high}, r{8 + 2 * window}")
            code.emit(f"add r{low}, r{9 + 2 * window}")
            code.emit(f"lsls r{whole}, r{high}, #16")
            code.emit(f"subs r{low}, r{low}, r{whole}")
            loop.free.add(whole)
        return found


class _Requantised:
    """The requantisation of prover.py, with its factors in low registers."""

    def __init__(self, loop: _Loop) -> None:
        self._loop, self._code = loop, loop.code
        self._value, self._m, self._interpolator, self._other = loop.take(4)
        channel = loop.channel
        self._plain = channel is not None and channel.k == 0 and channel.m % 256 == 0  # F1
        self._code.load(f"r{self._interpolator}", SIO_INTERP)
        self._load(self._m, M, channel.m >> 8 if channel and self._plain else channel.m if channel else 0)
        if not loop.wide:
            self._load(self._other, B, channel.b if channel else 0)

    def _load(self, register: int, place: int, value: int) -> None:
        if self._loop.channel is None:
            self._code.emit(f"ldr r{register}, [sp, #{place}]", 2)
        else:
            self._code.load(f"r{register}", value)

    def of(self, x: int) -> int:
        """The register of the output for the sum in register `x`, which is lost."""
        code, value, m, other, channel = self._code, self._value, self._m, self._other, self._loop.channel
        if self._plain:
            code.emit(f"muls r{x}, r{m}")
            code.emit(f"adds r{value}, r{x}, r{other}")
        else:
            code.emit(f"asrs r{value}, r{x}, #8")
            code.emit(f"uxtb r{x}, r{x}")
            code.emit(f"muls r{x}, r{m}")
            if self._loop.wide:
                self._load(other, K, channel.k if channel else 0)
                code.emit(f"muls r{other}, r{value}")
                code.emit(f"adds r{x}, r{x}, r{other}")
                code.emit(f"asrs r{x}, r{x}, #8")
                self._load(other, B, channel.b if channel else 0)
            else:
                code.emit(f"lsrs r{x}, r{x}, #8")
            code.emit(f"muls r{value}, r{m}")
            code.emit(f"adds r{value}, r{value}, r{x}")
            code.emit(f"adds r{value}, r{value}, r{other}")
        code.emit(f"str r{value}, [r{self._interpolator}, #{ACCUM0}]")
        code.emit(f"ldr r{value}, [r{self._interpolator}, #{PEEK_LANE0}]")
        return value
