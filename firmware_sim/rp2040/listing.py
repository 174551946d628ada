"""`crustwatch emu disasm`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from firmware_sim.rp2040.disassembly import Instruction, listing
from firmware_sim.rp2040.image import Image, as_linked, load_image
from firmware_sim.rp2040.symbols import Symbols
from shared.errors import BadInputError


def ranges(image: Image, symbols: Symbols, names: list[str], address: str | None, size: int) -> list[tuple[int, int]]:
    """[first, end) of what is asked for. Raises BadInputError."""
    found = []
    for name in names:
        start = symbols.address(name)
        holder = symbols.symbol_at(start)
        length = symbols.size_of(name) or (holder.address + holder.size - start if holder else 2)
        found.append((start, start + length))
    if address is not None:
        try:
            start = int(address, 0)
        except ValueError:
            raise BadInputError(f"{address!r} is no address: write it as 0x10000100") from None
        found.append((start, start + size))
    for start, _ in found:
        if not image.holds(start & ~1):
            raise BadInputError(f"the file has nothing at {start:#010x}")
    if found:
        return found
    code = [(s.address, s.address + s.size) for s in symbols.sections if s.kind == "code"]
    return code or [(start, start + len(data)) for start, data in image.chunks]


def instructions(image: Image, symbols: Symbols, wanted: list[tuple[int, int]]) -> Iterator[Instruction]:
    """All of several ranges."""
    for first, end in wanted:
        yield from listing(image, symbols, first, end)


def print_listing(
    path: Path, names: list[str], address: str | None, size: int, elf: Path | None, as_json: bool
) -> None:
    """Disassemble for machines or for people. Raises BadInputError."""
    image = as_linked(load_image(path))
    symbols = Symbols(load_image(elf).elf if elf is not None else image.elf)
    found = instructions(image, symbols, ranges(image, symbols, names, address, size))
    if as_json:
        rows = [
            {
                "address": item.address,
                "bytes": item.data.hex(),
                "text": item.text,
                "cycles": item.cycles,
                "symbol": item.symbol,
                "line": line.line if (line := symbols.line_at(item.address)) else 0,
                "file": line.file if line else "",
            }
            for item in found
        ]
        print(json.dumps(rows))  # noqa: T201
        return
    shown = None
    for item in found:
        if item.symbol:
            print(f"\n{item.symbol}:")  # noqa: T201
        line = symbols.line_at(item.address)
        if line is not None and item.cycles and (line.file, line.line) != shown:
            shown = (line.file, line.line)
            print(f"{'':>30}{line.file}:{line.line}")  # noqa: T201
        print(item)  # noqa: T201
