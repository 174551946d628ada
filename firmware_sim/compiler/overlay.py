"""Generated code that does not fit SRAM: cut by channels into chunks that DMA brings from flash into two slots.

While one chunk runs, the next is loaded into the other slot. Each chunk is a layer of its own to the firmware: it packs
its windows again, which is what the cut costs besides the wait for a chunk that runs faster than it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from firmware_sim.compiler.assembly import Assembly
from firmware_sim.compiler.candidates import Candidate, Dense, generated_of
from firmware_sim.compiler.generated_layer import Chunk

BYTE_CYCLES = 8.3  # of DMA through the XIP cache: a line of 8 bytes in 64 cycles, and the words' own
ENTER_CYCLES = 400.0  # of a chunk: one more layer, its tile loop begun anew
ALIGNMENT = 8  # a cache line
FILLED = 0.94  # of a slot, as channels differ in size


@dataclass(frozen=True, slots=True)
class Cost:
    """What a layer takes whose code goes through slots."""

    chunks: int
    running: float  # cycles without waits
    load: float  # cycles of DMA

    @property
    def cycles(self) -> float:
        """With the waits of a layer that nothing surrounds; the first chunk is loaded behind the layers before."""
        return max(self.running, self.load * (self.chunks - 0.5) / self.chunks)


def overlay_cost(made: Candidate, slot_bytes: int) -> Cost:
    """Of slots of that size."""
    assert made.source is not None  # noqa: S101
    source = made.source
    chunks = -(-made.bytes // int(slot_bytes * FILLED))
    again = (chunks - 1) * -(-source.pairs // source.cores) * source.repacking
    return Cost(chunks, made.cycles + again + chunks * ENTER_CYCLES, BYTE_CYCLES * made.bytes)


def cut(made: Candidate, slot_bytes: int) -> Candidate:
    """The layer as chunks of code in flash."""
    assert made.source is not None  # noqa: S101
    pieces = list(_pieces(made.source, made.bytes, slot_bytes))
    assembly = tuple(code for _, codes in pieces for code in codes)
    chunks = tuple(chunk for chunk, _ in pieces)
    return Candidate(
        generated_of(made.source, chunks), assembly, overlay_cost(made, slot_bytes).cycles, made.bytes, made.source
    )


def _pieces(source: Dense, whole_bytes: int, slot_bytes: int) -> Iterator[tuple[Chunk, list[Assembly]]]:
    products = np.count_nonzero(source.rows, axis=1) + 12.0  # [O]
    size = products / products.sum() * whole_bytes
    first, channels = 0, len(source.rows)
    while first < channels:
        end = first + 1
        while end < channels and size[first : end + 1].sum() <= slot_bytes * FILLED:
            end += 1
        end -= (end - first) % 2 if end < channels and end - first > 1 else 0  # channels share loads by twos
        while True:
            chunk, codes, _ = source.code(first, end)
            placed = _in_flash(chunk, list(codes))
            total = sum(code.bytes for code in placed)
            if total <= slot_bytes or end - first == 1:
                break
            end -= min(2, end - first - 1)
        yield replace(chunk, overlay_bytes=total), placed
        first = end


def _in_flash(chunk: Chunk, codes: list[Assembly]) -> list[Assembly]:
    """The same functions in flash, the last one filled up to whole cache lines."""
    section = f'    .section .flash_tables.{chunk.names[0]}, "ax"'
    total = sum(code.bytes + ALIGNMENT for code in codes)
    total += -total % ALIGNMENT
    for i, code in enumerate(codes):
        head = [section, "    .balign 8"] if i == 0 else [section]
        code.lines[:1] = head
    codes[-1].lines.append(f"    .org {chunk.names[0]} + {total}")  # fails when there is more code than that
    codes[-1].bytes += total - sum(code.bytes for code in codes)
    return codes
