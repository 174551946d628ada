"""The two halves of a depthwise loop's body: sums of products, and their requantisation (depthwise_code.py)."""

from __future__ import annotations

from typing import Protocol

from firmware_sim.compiler.assembly import ACCUM0, PEEK_LANE0, SIO_INTERP, Assembly
from firmware_sim.compiler.depthwise_channels import Channel

M, B, K, DISTANCE, ROWS = 36, 40, 44, 48, 52  # places on the stack, behind nine weights


class Loop(Protocol):
    """The function that is being written."""

    code: Assembly
    channel: Channel | None  # whose numbers are immediates; None: they are on the stack
    wide: bool
    free: set[int]  # low registers

    def take(self, count: int = 1) -> list[int]:
        """The lowest free registers."""
        ...


class Sums:
    """The block sums of one or two windows in low registers, drained into high ones."""

    def __init__(self, loop: Loop, windows: int) -> None:
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


class Requantised:
    """The requantisation of prover.py, with its factors in low registers."""

    def __init__(self, loop: Loop) -> None:
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
