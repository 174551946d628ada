"""Generates Cortex-M0+ assembly for a 3x3 DEPTHWISE_CONV_2D layer: loops over the windows of packed channels.

A channel's rows lie packed in pairs, in the work area (depthwise_code.c) or in planes that the layer before wrote
(planes.py), so a window gives two outputs; two windows beside each other share words and weights. A block of products
is summed in one register while the exact bound of its weights keeps the first pixel's half within 16 signed bits, then
drained (dense_code.py says how). Two kinds of function:

- of one channel: its weights and its requantisation are immediates, zero weights cost nothing, blocks are its own;
- of a layer: numbers come from the stack, for any channel whose weights allow the blocks of one of SPLITS.

Each does one channel after another. Of planes it first fills what the layer before does not know (plane_filling.py).

Registers: r0 packed row, r1-r7 words, sums, weights and results as they become free, r8 and r10 sums of H of both
windows, r9 and r11 sums of words, r12 first pixel's output, lr end of its row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from firmware_sim.compiler.assembly import Assembly, advance
from firmware_sim.compiler.depthwise_channels import Channel, Kind
from firmware_sim.compiler.depthwise_sums import DISTANCE, ROWS, D, Sums, requantise
from firmware_sim.compiler.plane_filling import fill_plane
from firmware_sim.compiler.planes import Plane

MAX_OFFSET = 31  # of STRB
MAX_WORDS = 31  # of LDR and STR
NUMBERS, OUT, ALL_ROWS = 64, 68, 72  # places on the stack
FRAME_BYTES = 76
COPIED = 12  # numbers of a channel that lie on the stack: weights, m, k, b
ARGUMENT = 36 + FRAME_BYTES  # place on the stack of the fifth argument, the distance; the sixth is the count
UNROLLED = 2  # pairs of windows of a row
NEAR = 240  # bytes that a conditional branch reaches


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a loop is written for."""

    width: int  # words of a packed row
    stride_h: int
    stride_w: int
    out_w: int
    channels: int
    plane: Plane | None = None  # what the layer before wrote
    words: bool = False  # the outputs are words of both pixels, for a layer that reads pairs of rows

    @property
    def step(self) -> int:
        """Bytes from an output to the next one of its channel."""
        return (4 if self.words else 1) * self.channels

    @property
    def name(self) -> str:
        """Layers of one geometry share their loops."""
        plane = f"_{self.plane.name}" if self.plane else ""
        words = "_words" if self.words else ""
        return f"depthwise_{self.width}_{self.out_w}_{self.channels}_{self.stride_h}_{self.stride_w}{plane}{words}"


def layer_code(name: str, split: tuple[int, ...], geometry: Geometry, kind: Kind) -> Assembly:
    """The function `name` for any channel of a kind that allows `split`."""
    return _function(name, _Loop(Assembly(name), name, geometry, split, None, kind))


def channel_code(name: str, channel: Channel, geometry: Geometry) -> Assembly:
    """The function `name` for one channel."""
    return _function(name, _Loop(Assembly(name), name, geometry, channel.blocks, channel, channel.kind))


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
    kind: Kind
    free: set[int] = field(default_factory=lambda: set(range(1, 8)))

    def write(self) -> None:
        """The whole function; afterwards `code.cycles` are those of one packed row of windows, `code.start_cycles`
        those of beginning a channel."""
        code, geometry = self.code, self.geometry
        self._prologue()
        code.cycles = 0
        code.lines.append(f".Lchannel_{self.name}:")
        self._begin_channel()
        if geometry.plane is not None:
            fill_plane(code, self.name, geometry.plane)
            code.place_pool(self.name, 600)
        begun = code.cycles
        code.cycles = 0
        pairs = geometry.out_w // 2 if geometry.stride_w <= 2 else 0
        singles = geometry.out_w - 2 * pairs
        short = pairs <= UNROLLED and singles <= 1  # so few windows that they need no loop, and lr is free
        if short:
            code.emit(f"ldr r7, [sp, #{ROWS}]", 2)
            code.emit("mov lr, r7")
        begun += code.cycles
        code.cycles = 0
        code.lines.append(f".Lrow_{self.name}:")
        for number in range(pairs if short else min(pairs, 1)):
            self._windows(f"pair_{number}", 1 if short else pairs, 2)
        if singles:
            self._windows("single", singles, 1)
        advance(code, "r0", 4 * (geometry.stride_h * geometry.width - geometry.out_w * geometry.stride_w))
        if short:
            code.emit("mov r7, lr")
            code.emit("subs r7, #1")
            code.emit("mov lr, r7")
        else:
            code.emit(f"ldr r7, [sp, #{ROWS}]", 2)
            code.emit("subs r7, #1")
            code.emit(f"str r7, [sp, #{ROWS}]", 2)
        code.emit(f"beq .Ldone_{self.name}")
        code.emit(f"b .Lrow_{self.name}", 2)
        code.lines.append(f".Ldone_{self.name}:")
        row = code.cycles
        code.cycles = 0
        if self.channel is None:
            if geometry.plane is not None:
                advance(code, "r0", 4 * (3 - geometry.stride_h) * geometry.width)
            code.emit(f"ldr r7, [sp, #{ARGUMENT + 4}]", 2)
            code.emit("subs r7, #1")
            code.emit(f"str r7, [sp, #{ARGUMENT + 4}]", 2)
            code.emit(f"beq .Lend_{self.name}")
            code.emit(f"b .Lchannel_{self.name}", 2)
            code.lines.append(f".Lend_{self.name}:")
        code.start_cycles = begun + code.cycles
        self._epilogue()
        code.cycles = row

    def _prologue(self) -> None:
        code = self.code
        code.emit("push {r4-r7, lr}", 6)
        for high in (8, 9, 10, 11):
            code.emit(f"mov r{high - 4}, r{high}")
        code.emit("push {r4-r7}", 5)
        code.emit(f"sub sp, #{FRAME_BYTES}")
        code.emit(f"str r1, [sp, #{NUMBERS}]", 2)
        code.emit(f"str r2, [sp, #{OUT}]", 2)
        code.emit(f"str r3, [sp, #{ALL_ROWS}]", 2)
        code.emit(f"ldr r4, [sp, #{ARGUMENT}]", 2)
        code.emit(f"str r4, [sp, #{DISTANCE}]", 2)

    def _begin_channel(self) -> None:
        code = self.code
        code.emit(f"ldr r2, [sp, #{OUT}]", 2)
        if self.channel is None:
            code.emit(f"ldr r1, [sp, #{NUMBERS}]", 2)
            code.emit("mov r7, sp")
            for _ in range(COPIED // 4):
                code.emit("ldm r1!, {r3-r6}", 5)
                code.emit("stm r7!, {r3-r6}", 5)
            code.emit("ldm r1!, {r3-r6}", 5)  # channel, whether there are ties, d, after
            if self.kind.ties:
                code.emit(f"str r5, [sp, #{D}]", 2)
                code.emit(f"str r6, [sp, #{D + 4}]", 2)
            code.emit(f"str r1, [sp, #{NUMBERS}]", 2)
            if self.geometry.words:
                code.emit("lsls r3, r3, #2")
        else:
            code.load("r3", (4 if self.geometry.words else 1) * self.channel.index)
        code.emit("adds r2, r2, r3")
        code.emit("mov r12, r2")
        code.emit(f"ldr r3, [sp, #{ALL_ROWS}]", 2)
        code.emit(f"str r3, [sp, #{ROWS}]", 2)

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
            code.load("r7", times * windows * self.geometry.step)
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
        sums = Sums(self, windows)
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
            onward = self.geometry.width if row < 2 else stride * windows - 2 * self.geometry.width
            advance(code, "r0", 4 * (onward - loaded))
        return sums.finish()

    def _outputs(self, sums: list[tuple[int, int]]) -> int:
        """Requantise and store; of each window the second pixel first: with distance 0 the first one overwrites it.

        Returns the register that holds the next output's place, as r12 does.
        """
        code, step = self.code, self.geometry.step
        values = [register for pair in sums for register in pair]
        self.free = set(range(1, 8)) - set(values)
        requantise(self, values)
        if self.geometry.words:
            (first,) = self.take()
            code.emit(f"mov r{first}, r12")
            offset = 0
            for window, (low, high) in enumerate(sums):
                code.emit(f"lsls r{high}, r{high}, #16")
                code.emit(f"adds r{low}, r{low}, r{high}")
                if window and step <= 4 * MAX_WORDS:
                    offset = step
                elif window:
                    advance(code, f"r{first}", step)
                code.emit(f"str r{low}, [r{first}, #{offset}]", 2)
            advance(code, f"r{first}", offset + step)
            code.emit(f"mov r12, r{first}")
            return first
        second, first = self.take(2)
        code.emit(f"mov r{first}, r12")
        code.emit(f"ldr r{second}, [sp, #{DISTANCE}]", 2)
        code.emit(f"adds r{second}, r{second}, r{first}")
        offset = 0
        for window, (low, high) in enumerate(sums):
            if window and step <= MAX_OFFSET:
                offset = step
            elif window:
                advance(code, f"r{second}", step)
                advance(code, f"r{first}", step)
            code.emit(f"strb r{high}, [r{second}, #{offset}]", 2)
            code.emit(f"strb r{low}, [r{first}, #{offset}]", 2)
        advance(code, f"r{first}", offset + step)
        code.emit(f"mov r12, r{first}")
        return first
