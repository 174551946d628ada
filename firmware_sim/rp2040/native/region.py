"""A piece of guest code to translate: instructions that were executed, and the addresses where it may be entered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from firmware_sim.rp2040 import decode as d

CONDITIONAL = range(d.OP_BEQ, d.OP_BLE + 1)
WIDE = (d.OP_BL, d.OP_BARRIER, d.OP_MRS, d.OP_MSR)
# Left to the interpreter: they change what the chip does next, not only registers and memory.
UNUSUAL = (
    d.OP_UNKNOWN,
    d.OP_B_SELF,
    d.OP_CPS,
    d.OP_MRS,
    d.OP_MSR,
    d.OP_SEV,
    d.OP_WFE,
    d.OP_WFI,
    d.OP_SVC,
    d.OP_BKPT,
    d.OP_ROM_CALL,
    d.OP_REFETCH,
    d.OP_UNDEFINED,
    d.OP_WRITE_PC,
)
# No instruction behind these is reached by falling through.
FINAL = (d.OP_B, d.OP_BX, d.OP_BL, d.OP_BLX)


@dataclass(frozen=True)
class Instruction:
    """One entry of the decoded table, unpacked (see decode.py)."""

    address: int
    op: int
    a: int
    b: int
    c: int
    imm: int

    @property
    def following(self) -> int:
        """Address behind it."""
        return self.address + (4 if self.op in WIDE else 2)

    @property
    def target(self) -> int:
        """Where B, BL and conditional branches go."""
        return self.address + self.imm

    @property
    def leaves_block(self) -> bool:
        """Whether nothing follows it in its block."""
        returns = self.op == d.OP_POP and self.imm & 0x8000
        return self.op in CONDITIONAL or self.op in FINAL or self.op in UNUSUAL or bool(returns)


def unpack(address: int, entry: int) -> Instruction:
    """The instruction of a table entry."""
    return Instruction(address, entry & 0xFF, (entry >> 8) & 31, (entry >> 16) & 31, (entry >> 24) & 31, entry >> 32)


@dataclass(frozen=True)
class Region:
    """Executed instructions by address, all in SRAM, and where the interpreter may enter (numbered in this order)."""

    entries: tuple[int, ...]
    table: tuple[tuple[int, int], ...]  # (address, entry of the decoded table), sorted
    words: bytes  # uint16 [instructions, 2], the first two halfwords at each address

    @cached_property
    def code(self) -> dict[int, Instruction]:
        """Instructions by address."""
        return {address: unpack(address, entry) for address, entry in self.table}

    @property
    def start(self) -> int:
        """First address."""
        return self.table[0][0]

    @property
    def end(self) -> int:
        """Behind the last instruction."""
        return self.code[self.table[-1][0]].following

    def key_bytes(self) -> bytes:
        """All that the translation depends on, apart from the translator."""
        return np.array([len(self.entries), *self.entries, *(v for pair in self.table for v in pair)], "<i8").tobytes()

    @cached_property
    def blocks(self) -> dict[int, list[Instruction]]:
        """Basic blocks by the address of their first instruction."""
        leaders = set(self.entries)
        for instruction in self.code.values():
            if instruction.op in CONDITIONAL or instruction.op in (d.OP_B, d.OP_BL):
                leaders.add(instruction.target)
            if instruction.leaves_block:
                leaders.add(instruction.following)
        blocks: dict[int, list[Instruction]] = {}
        for leader in sorted(leaders & self.code.keys()):
            block: list[Instruction] = []
            at = leader
            while at in self.code and (at == leader or at not in leaders):
                block.append(self.code[at])
                if block[-1].leaves_block:
                    break
                at = block[-1].following
            blocks[leader] = block
        return blocks

    @cached_property
    def return_sites(self) -> list[int]:
        """Where calls that may stay inside the region come back to."""
        calls = (i for i in self.code.values() if i.op == d.OP_BLX or (i.op == d.OP_BL and i.target in self.code))
        return sorted({i.following for i in calls} & self.blocks.keys())

    @cached_property
    def functions(self) -> list[int]:
        """Where calls through registers may lead: entry points that no branch leads to."""
        branches = {i.target for i in self.code.values() if i.op in CONDITIONAL or i.op == d.OP_B}
        return sorted(set(self.entries) - branches - set(self.return_sites))
