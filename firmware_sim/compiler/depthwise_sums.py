"""The two halves of a depthwise loop's body: sums of products, and their requantisation (depthwise_code.py)."""

from __future__ import annotations

from typing import Protocol

from firmware_sim.compiler.assembly import ACCUM0, PEEK_LANE0, SIO_INTERP, Assembly
from firmware_sim.compiler.depthwise_channels import Channel, Kind
from firmware_sim.compiler.prover import PLAIN_SHIFT

M, K, B, D, AFTER, DISTANCE, ROWS = 36, 40, 44, 48, 52, 56, 60  # places on the stack, behind nine weights


class Loop(Protocol):
    """The function that is being written."""

    code: Assembly
    channel: Channel | None  # whose numbers are immediates; None: they are on the stack
    kind: Kind
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


def requantise(loop: Loop, sums: list[int]) -> int:
    """Make the outputs of the sums in low registers, by the forms of prover.py; returns INTERP1's register.

    Constants are loaded once for all of them; two registers besides INTERP1's are lost.
    """
    code, channel, kind = loop.code, loop.channel, loop.kind

    def load(register: int, place: int, value: int | None) -> None:
        if value is None:
            code.emit(f"ldr r{register}, [sp, #{place}]", 2)
        else:
            code.load(f"r{register}", value)

    one, two, temporary = loop.take(3)
    load(one, M, channel.m if channel else None)
    if kind.plain:
        for x in sums:
            code.emit(f"muls r{x}, r{one}")
    else:
        k, shift = channel.k if channel else None, PLAIN_SHIFT
        while k and k % 2 == 0 and k > 255:
            k, shift = k >> 1, shift - 1
        load(two, K, k)
        for x in sums:
            code.emit(f"movs r{temporary}, r{x}")
            code.emit(f"muls r{temporary}, r{two}")
            code.emit(f"asrs r{temporary}, r{temporary}, #{shift}")
            code.emit(f"muls r{x}, r{one}")
            code.emit(f"adds r{x}, r{x}, r{temporary}")
    load(two, B, channel.b if channel else None)
    for x in sums:
        code.emit(f"adds r{x}, r{x}, r{two}")
    if kind.ties:
        load(one, D, None if channel is None else channel.d)
        load(two, AFTER, None if channel is None else channel.after)
        for x in sums:
            code.emit(f"asrs r{temporary}, r{x}, #31")
            code.emit(f"lsls r{temporary}, r{one}")
            code.emit(f"adds r{x}, r{x}, r{temporary}")
            code.emit(f"adds r{x}, r{x}, r{two}")
    code.load(f"r{one}", SIO_INTERP)
    for x in sums:
        code.emit(f"str r{x}, [r{one}, #{ACCUM0}]")
        code.emit(f"ldr r{x}, [r{one}, #{PEEK_LANE0}]")
    loop.free |= {one, two, temporary}
    return one
