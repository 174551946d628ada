"""The emulated core against Unicorn (ARM mode with the Cortex-M0 model) on random instructions.

Every block starts from random registers, flags and memory; afterwards all registers, the flags and the data memory
must be equal. The seed is printed, so that a failure can be repeated. CRUSTWATCH_DIFFERENTIAL_INSTRUCTIONS asks for
more than the default.
"""

from __future__ import annotations

import os
import random
import struct
from dataclasses import dataclass, field

import numpy as np
import pytest
from unicorn import UC_ARCH_ARM, UC_MODE_THUMB, Uc, UcError, arm_const

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.chip import Chip
from firmware_sim.rp2040.decode import OP_SBCS
from firmware_sim.rp2040.machine import run_core

INSTRUCTIONS = int(os.environ.get("CRUSTWATCH_DIFFERENTIAL_INSTRUCTIONS", "1000000"))
CODE, DATA, DATA_BYTES = 0x20001000, 0x20010000, 0x1000
CODE_BYTES = 0xA0  # NOPs fill it behind the block; a BKPT follows for the emulated chip, Unicorn stops by address
NOP = 0xBF00
NOPS = b"\x00\xbf" * (CODE_BYTES // 2) + b"\x00\xbe"  # and the BKPT
REGISTERS = [getattr(arm_const, f"UC_ARM_REG_R{i}") for i in range(13)]
REGISTERS += [arm_const.UC_ARM_REG_SP, arm_const.UC_ARM_REG_LR, arm_const.UC_ARM_REG_PC]
FLAGS = arm_const.UC_ARM_REG_CPSR
THUMB_USER = 0x30


def corner(rng: random.Random) -> int:
    """A word, often one at which carries, signs and shifts change."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x8000, 0xFF, 0x55555555))
    if kind == 1:
        return rng.randrange(64)  # shift amounts around 32
    if kind == 2:
        return (1 << rng.randrange(32)) + rng.randrange(-1, 2) & 0xFFFFFFFF
    return rng.getrandbits(32)


@dataclass
class Block:
    """Code of one comparison and the registers it starts from: r0-r12, SP, LR, PC."""

    code: list[int]
    registers: list[int]
    flags: int
    targets: set[int] = field(default_factory=set)  # halfwords that a branch may reach: never the second one of a BL


def arithmetic(rng: random.Random, low: list[int], high: list[int]) -> list[int]:
    """One instruction that only changes registers of `low` (0-7) and `high` (8-12, 14)."""
    d, n, m = rng.choice(low), rng.randrange(8), rng.randrange(8)
    kind = rng.randrange(12)
    if kind == 0:
        return [rng.randrange(3) << 11 | rng.randrange(32) << 6 | n << 3 | d]  # LSL, LSR, ASR by immediate
    if kind == 1:
        return [0x1800 | rng.randrange(4) << 9 | m << 6 | n << 3 | d]  # ADD, SUB, register and imm3
    if kind == 2:
        return [0x2000 | rng.randrange(4) << 11 | d << 8 | rng.randrange(256)]  # MOV, CMP, ADD, SUB imm8
    if kind in (3, 4, 5, 6):
        return [0x4000 | rng.randrange(16) << 6 | m << 3 | d]  # the sixteen register operations
    if kind == 7:
        target, source = rng.choice(low + high), rng.choice([*range(13), 14])
        operation = rng.choice((0, 2))  # ADD, MOV
        return [0x4400 | operation << 8 | (target & 8) << 4 | source << 3 | target & 7]
    if kind == 8:
        target, source = rng.choice(high), rng.choice([*range(13), 14])  # CMP with a high register
        return [0x4500 | (target & 8) << 4 | source << 3 | target & 7]
    if kind == 9:
        return [0xB200 | rng.randrange(4) << 6 | n << 3 | d]  # SXTH, SXTB, UXTH, UXTB
    if kind == 10:
        return [0xBA00 | rng.choice((0, 1, 3)) << 6 | n << 3 | d]  # REV, REV16, REVSH
    return rng.choice(
        (
            [0xA000 | d << 8 | rng.randrange(32)],  # ADR
            [0xA800 | d << 8 | rng.randrange(256)],  # ADD Rd, SP, #imm
            [0x4800 | d << 8 | rng.randrange(24)],  # LDR literal
            [0x4478 | d],  # ADD Rd, PC
            [0x4678 | d],  # MOV Rd, PC
            [NOP],
        )
    )


def memory_access(rng: random.Random, low: list[int], base: int, index: int) -> list[int]:
    """One load or store through the pointer in `base` with the small multiple of 4 in `index`."""
    t = rng.choice(low)
    kind = rng.randrange(8)
    if kind == 0:
        return [0x5000 | rng.randrange(8) << 9 | index << 6 | base << 3 | t]  # register offset, all eight forms
    if kind in (1, 2, 3):
        form = rng.choice((0x6000, 0x6800, 0x7000, 0x7800, 0x8000, 0x8800))
        return [form | rng.randrange(32) << 6 | base << 3 | t]
    if kind == 4:
        return [rng.choice((0x9000, 0x9800)) | t << 8 | rng.randrange(32)]  # SP relative
    if kind == 5:
        registers = rng.randrange(1, 256)
        return [0xB400 | rng.randrange(2) << 8 | registers]  # PUSH, with or without LR
    registers = sum(1 << r for r in low if rng.randrange(2)) or 1 << low[0]
    if kind == 6:
        return [0xBC00 | registers]  # POP
    return [rng.choice((0xC000, 0xC800)) | base << 8 | registers]  # STM, LDM with write-back


def branch(rng: random.Random, block: Block, room: int, free: list[int]) -> list[int]:
    """One branch to somewhere behind it in the block or in the NOPs that follow; BX and BLX need a `free` register."""
    here, skip, kind = len(block.code), rng.randrange(room), rng.randrange(8)
    if (kind == 5 and here + 1 in block.targets) or (kind > 5 and not free):
        return [NOP]
    block.targets.add(here + 2 + skip)
    if kind < 4:
        return [0xD000 | rng.randrange(14) << 8 | skip]
    if kind == 4:
        return [0xE000 | skip]
    if kind == 5:
        return [0xF000, 0xF800 | skip]  # BL
    register = rng.choice(free)
    block.registers[register] = CODE + 4 + 2 * skip | 1
    return [(0x4700 if kind == 6 else 0x4780) | register << 3]  # BX, BLX: only as the first instruction


def make_block(rng: random.Random) -> Block:
    """A block of 1 to about 20 instructions."""
    registers = [corner(rng) for _ in range(13)] + [DATA + 0x400 + 4 * rng.randrange(64), corner(rng), CODE]
    block = Block([], registers, rng.randrange(16) << 28)
    low = list(range(8))
    rng.shuffle(low)
    base, index = low.pop(), low.pop()
    registers[base] = DATA + 0x800 + 4 * rng.randrange(64)
    registers[index] = 4 * rng.randrange(16)
    high = [8, 9, 10, 11, 12, 14]
    if rng.randrange(4) == 0:
        block.code += branch(rng, block, 6, [*low, 12])
    for _ in range(rng.randrange(1, 20)):
        if rng.randrange(3) == 0:
            block.code += memory_access(rng, low, base, index)
        else:
            block.code += arithmetic(rng, low, high)
        if rng.randrange(8) == 0:
            block.code += branch(rng, block, 6, [])
    if rng.randrange(4) == 0:
        block.code += [0xC800 | base << 8 | 1 << base | rng.randrange(256)]  # LDM that loads its own base
    return block


class Reference:
    """Unicorn with the same memory."""

    def __init__(self) -> None:
        self.uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB, arm_const.UC_CPU_ARM_CORTEX_M0)
        self.uc.mem_map(layout.SRAM_BASE, layout.SRAM_SIZE)

    def run(self, block: Block, code: bytes, data: bytes) -> tuple[list[int], int, bytes]:
        """Registers r0-r12, SP, LR, PC, flags (4 bits) and data memory after the block."""
        uc = self.uc
        uc.mem_write(CODE, code)
        uc.ctl_remove_cache(CODE, CODE + CODE_BYTES + 2)
        uc.mem_write(DATA, data)
        uc.reg_write(FLAGS, block.flags | THUMB_USER)  # first: it selects the banked SP and LR
        uc.reg_write_batch(list(zip(REGISTERS, block.registers, strict=True)))
        uc.emu_start(CODE | 1, CODE + CODE_BYTES)
        *values, flags = uc.reg_read_batch([*REGISTERS, FLAGS])
        return values, flags >> 28, bytes(uc.mem_read(DATA, DATA_BYTES))


class Emulated:
    """The chip without firmware: registers and memory are set directly."""

    def __init__(self) -> None:
        self.chip = Chip()
        self.chip.link()
        self.chip.S[layout.VTOR] = DATA & ~0xFFFF | 0x20000  # zeros: no handler

    def put(self, address: int, data: bytes) -> None:
        """Store like a debugger."""
        offset = address - layout.SRAM_BASE + layout.SRAM_OFFSET
        self.chip.mem.bytes[offset : offset + len(data)] = np.frombuffer(data, np.uint8)
        self.chip.mem.decoded[offset // 2 : (offset + len(data)) // 2] = 0

    def run(self, block: Block, code: bytes, data: bytes) -> tuple[list[int], int, bytes]:
        """As Reference.run."""
        S = self.chip.S
        self.put(CODE, code)
        self.put(DATA, data)
        S[:16] = block.registers
        flags = block.flags >> 28
        S[layout.NZ] = (flags >> 3) << 32 if flags & 4 else (0x80000000 if flags & 8 else 1)
        S[layout.CARRY], S[layout.OVERFLOW] = (flags >> 1 & 1) << 32, (flags & 1) << 31
        assert run_core(S) == layout.EXIT_BKPT, f"stopped by {S[layout.EXIT]} at {S[layout.PC]:#x}"
        nz, carry, overflow = S[layout.NZ], S[layout.CARRY], S[layout.OVERFLOW]
        after = (nz >> 31 != 0) << 3 | (nz & 0xFFFFFFFF == 0) << 2 | (carry >> 32 & 1) << 1 | overflow >> 31 & 1
        start = DATA - layout.SRAM_BASE + layout.SRAM_OFFSET
        return [int(v) for v in S[:16]], int(after), self.chip.mem.bytes[start : start + DATA_BYTES].tobytes()


def code_bytes(block: Block) -> bytes:
    """The block's halfwords, then NOPs to the end of the code area."""
    return struct.pack(f"<{len(block.code)}H", *block.code) + NOPS[2 * len(block.code) :]


def compare(rng: random.Random, reference: Reference, emulated: Emulated) -> int:
    """One block on both; the number of instructions that ran, not counting the NOPs behind it."""
    block = make_block(rng)
    code, data = code_bytes(block), rng.randbytes(DATA_BYTES)
    before = int(emulated.chip.S[layout.INSTRUCTIONS])
    expected = reference.run(block, code, data)
    actual = emulated.run(block, code, data)
    if expected != actual:
        listing = " ".join(f"{half:04x}" for half in block.code)
        start = " ".join(f"{value:x}" for value in block.registers)
        wanted = " ".join(f"{value:x}" for value in expected[0])
        got = " ".join(f"{value:x}" for value in actual[0])
        pytest.fail(
            f"code {listing}\nstart {start} flags {block.flags >> 28:x}\n"
            f"want  {wanted} flags {expected[1]:x}\ngot   {got} flags {actual[1]:x}\n"
            f"memory equal: {expected[2] == actual[2]}"
        )
    return int(emulated.chip.S[layout.INSTRUCTIONS]) - before - (CODE_BYTES // 2 - len(block.code))


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_random_blocks_equal_unicorn(seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 pytest shows it when the test fails
    rng = random.Random(seed)
    reference, emulated = Reference(), Emulated()
    done = 0
    while done < INSTRUCTIONS // 4:
        done += compare(rng, reference, emulated)
    assert done >= INSTRUCTIONS // 4


class Mutant(Emulated):
    """A core that takes SBCS for ADCS, the kind of slip that the comparison is for."""

    def put(self, address: int, data: bytes) -> None:
        if address == CODE:
            halves = [int.from_bytes(data[i : i + 2], "little") for i in range(0, len(data), 2)]
            halves = [half ^ 0x00C0 if half & 0xFFC0 == 0x4180 else half for half in halves]
            data = b"".join(half.to_bytes(2, "little") for half in halves)
        super().put(address, data)


class MutantCore(Emulated):
    """A core whose decoded ADCS are SBCS: the code in memory is right, what is executed is not."""

    def put(self, address: int, data: bytes) -> None:
        super().put(address, data)
        if address == CODE:
            first = (CODE - layout.SRAM_BASE + layout.SRAM_OFFSET) // 2
            for i in range(0, len(data), 2):
                half = int.from_bytes(data[i : i + 2], "little")
                if half & 0xFFC0 == 0x4140:
                    d, m = half & 7, half >> 3 & 7
                    self.chip.mem.decoded[first + i // 2] = OP_SBCS | d << 8 | d << 16 | m << 24


@pytest.mark.parametrize("kind", [Mutant, MutantCore])
def test_a_wrong_instruction_is_caught(kind: type[Emulated]) -> None:
    rng = random.Random(5)
    reference, mutant = Reference(), kind()

    def compare_many() -> None:
        for _ in range(2000):
            compare(rng, reference, mutant)

    with pytest.raises(pytest.fail.Exception, match="want"):
        compare_many()


# (size, halfword): LDR, LDRH, LDRB, STR, STRH, STRB of r1 through r0.
SINGLE = [(4, 0x6801), (2, 0x8801), (1, 0x7801), (4, 0x6001), (2, 0x8001), (1, 0x7001)]


def test_valid_and_invalid_addresses() -> None:
    """Unicorn refuses what is not mapped; both leave registers and memory alone. Alignment is the architecture's."""
    rng = random.Random(9)
    reference, emulated = Reference(), Emulated()
    S = emulated.chip.S
    for _ in range(1500):
        size, half = rng.choice(SINGLE)
        address = rng.choice((DATA, DATA, 0x30000000, 0x20042000, 0x20041FF0, 0x1FFFFFF0)) + rng.randrange(32)
        block = Block([half], [address, corner(rng)] + [0] * 11 + [DATA + 0x800, 0, CODE], 0)
        code, data = code_bytes(block), rng.randbytes(DATA_BYTES)
        mapped = layout.SRAM_BASE <= address <= layout.SRAM_END - size
        emulated.put(CODE, code)
        emulated.put(DATA, data)
        if mapped and address % size == 0:
            assert reference.run(block, code, data) == emulated.run(block, code, data)
            continue
        S[:16] = block.registers
        S[layout.IPSR] = S[layout.ACTIVE] = S[layout.SLEEPING] = 0
        S[layout.EXECUTION_PRIORITY] = layout.THREAD_PRIORITY
        assert run_core(S) == layout.EXIT_LOCKUP  # the vector table holds no handler
        kind = layout.FAULT_UNALIGNED if address % size else layout.FAULT_UNMAPPED
        assert (S[layout.FAULT_KIND], S[layout.FAULT_PC], S[layout.FAULT_ADDRESS]) == (kind, CODE, address)
        assert [int(v) for v in S[layout.FAULT_REGISTERS : layout.FAULT_REGISTERS + 2]] == block.registers[:2]
        if not mapped:
            with pytest.raises(UcError):
                reference.run(block, code, data)
            assert reference.uc.mem_read(DATA, DATA_BYTES) == data
        S[layout.SLEEPING] = 0
