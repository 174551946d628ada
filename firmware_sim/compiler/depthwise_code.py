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

from firmware_sim.compiler.assembly import Assembly, advance
from firmware_sim.compiler.depthwise_channels import Channel
from firmware_sim.compiler.depthwise_sums import DISTANCE, ROWS, Requantised, Sums

MAX_OFFSET = 31  # of STRB
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
        values = Requantised(self)
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
