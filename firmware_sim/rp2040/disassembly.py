"""Instructions as text: capstone's mnemonics, our decoder's judgement of what the Cortex-M0+ has, and its cycles."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from firmware_sim.rp2040 import decode as d
from firmware_sim.rp2040.image import Image
from firmware_sim.rp2040.record import decode_one
from firmware_sim.rp2040.symbols import Symbols
from shared.errors import BadInputError

MEMORY_CYCLES = "2"  # of SRAM and of flash in the cache; SIO 1, APB 4 to read and 5 to write
TARGET = re.compile(r"#(0x[0-9a-f]+)$")


@dataclass(frozen=True)
class Instruction:
    """One line of a disassembly. `cycles`: of the Cortex-M0+ without wait states; not taken/taken for branches."""

    address: int
    data: bytes
    text: str
    cycles: str
    symbol: str  # the function or object that begins here

    def __str__(self) -> str:
        halves = " ".join(f"{self.data[i + 1]:02x}{self.data[i]:02x}" for i in range(0, len(self.data) - 1, 2))
        return f"{self.address:08x}:  {halves:<10}  {self.cycles:>4}  {self.text}"


@cache
def _capstone() -> Any:
    import capstone

    return capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)


def is_wide(half: int) -> bool:
    """Whether a halfword begins a 32-bit instruction."""
    return half >> 11 in (29, 30, 31)


def cycles_of(entry: int) -> str:
    """Cycles of a decoded instruction as text; empty for what is no instruction."""
    op, count, registers = entry & 0xFF, (entry >> 24) & 31, entry >> 32
    if op == d.OP_UNDEFINED:
        return ""
    if d.OP_LDR <= op <= d.OP_STRB:
        return MEMORY_CYCLES
    if d.OP_LDM <= op <= d.OP_PUSH:
        return str(1 + count + (2 if op == d.OP_POP and registers & 0x8000 else 0))
    if d.OP_BEQ <= op <= d.OP_BLE:
        return "1/2"
    if op in (d.OP_B, d.OP_B_SELF, d.OP_BX, d.OP_BLX, d.OP_WRITE_PC, d.OP_WFI, d.OP_WFE):
        return "2"
    return "3" if op in (d.OP_BL, d.OP_MRS, d.OP_MSR, d.OP_BARRIER) else "1"


def disassemble(read: Callable[[int, int], bytes], address: int, symbols: Symbols) -> Instruction:
    """The instruction at an address; `read(address, size)` gives its bytes or raises BadInputError."""
    try:
        data = read(address, 2)
    except BadInputError:
        return Instruction(address, b"", "(no memory)", "", "")
    half = int.from_bytes(data, "little")
    second = 0
    if is_wide(half):
        try:
            data += read(address + 2, 2)
            second = int.from_bytes(data[2:], "little")
        except BadInputError:
            pass
    symbol = symbols.symbol_at(address)
    name = symbol.name if symbol is not None and symbol.address == address else ""
    entry = decode_one(half, second, address)
    if entry & 0xFF == d.OP_ROM_CALL:
        return Instruction(address, data, f"function {entry >> 32} of the emulated boot ROM", "", name)
    found = next(_capstone().disasm_lite(data, address), None)
    if found is None or entry & 0xFF == d.OP_UNDEFINED:
        wide = len(data) == 4
        text = f".short 0x{half:04x}" + (f", 0x{second:04x}" if wide else "") + "  ; not an instruction of ARMv6-M"
        if half >> 8 == 0xDE:
            text = f"udf #0x{half & 255:x}"
        return Instruction(address, data, text, "", name)
    _, _, mnemonic, operands = found
    text = f"{mnemonic:<7}{operands}".rstrip()
    return Instruction(address, data, text + _comment(read, entry, address, operands, symbols), cycles_of(entry), name)


def _comment(read: Callable[[int, int], bytes], entry: int, address: int, operands: str, symbols: Symbols) -> str:
    """Where a branch goes, or what a literal is."""
    op = entry & 0xFF
    if op == d.OP_LDR_LITERAL:
        place = (address & ~3) + (entry >> 32)
        try:
            value = int.from_bytes(read(place, 4), "little")
        except BadInputError:
            return ""
        name = symbols.describe(value & ~1) if value >= 0x10000000 else ""
        return f"  ; 0x{value:08x}" + (f" {name}" if name else "")
    target = TARGET.search(operands)
    if target and (d.OP_BEQ <= op <= d.OP_B_SELF or op == d.OP_BL):
        name = symbols.describe(int(target[1], 16))
        return f"  ; {name}" if name else ""
    return ""


def listing(image: Image, symbols: Symbols, first: int, end: int) -> Iterator[Instruction]:
    """Instructions of [first, end) of a file; data between code (known from an ELF file's symbols) as words."""

    def read(address: int, size: int) -> bytes:
        for start, data in image.chunks:
            if start <= address and address + size <= start + len(data):
                return data[address - start : address - start + size]
        raise BadInputError(f"the file has nothing at 0x{address:08x}")

    at = first & ~1
    kinds = symbols.mapping
    position = 0
    while at < end:
        while position + 1 < len(kinds) and kinds[position + 1][0] <= at:
            position += 1
        is_data = bool(kinds) and kinds[position][0] <= at and kinds[position][1] == "d"
        stop = min(end, kinds[position + 1][0]) if position + 1 < len(kinds) else end
        if not image.holds(at, 2):
            at += 2
        elif is_data:
            size = 4 if at % 4 == 0 and at + 4 <= stop and image.holds(at, 4) else 2
            data = read(at, size)
            value = int.from_bytes(data, "little")
            text = f"{'.word' if size == 4 else '.short':<7}0x{value:0{2 * size}x}"
            pointer = symbols.describe(value & ~1) if size == 4 and value >= 0x10000000 else ""
            symbol = symbols.symbol_at(at)
            name = symbol.name if symbol is not None and symbol.address == at else ""
            yield Instruction(at, data, text + (f"  ; {pointer}" if pointer else ""), "", name)
            at += size
        else:
            instruction = disassemble(read, at, symbols)
            yield instruction
            at += len(instruction.data)
