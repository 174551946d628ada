"""Translated code against the interpreter: the same registers, flags, memory and cycles whenever a translation comes.

The programs are random: loops, calls, loads and stores of all kinds, SysTick interrupts and faults in mid loop,
registers of the chip, and stores into the program's own code.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest

from firmware_sim.rp2040 import Board, bench, decode, layout
from firmware_sim.rp2040.core import WARM_UP
from firmware_sim.rp2040.native import enter, function, instructions, objects, worker
from firmware_sim.rp2040.native.region import Instruction, Region
from firmware_sim.rp2040.native.translator import Ask, Sampling, Translator
from firmware_sim.rp2040.native.worker import Done, Kind

BASE, CODE, DATA, STACK = 0x20000000, 0x20000100, 0x20008000, 0x20010000
SYST_CSR, TIMERAWL, SIO_SPINLOCK = 0xE000E010, 0x40054028, 0xD0000100
DENSE = Sampling(first_cycles=211, last_cycles=977, samples=16, least=1)
NOP = 0xBF00


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUSTWATCH_CACHE", str(tmp_path))
    monkeypatch.setattr(worker, "_made", {})


class Assembler:
    """Halfwords from `base` + CODE on, labels, and one pool of literals at the end."""

    def __init__(self, base: int = 0) -> None:
        self.base = base  # for core 1: what is added to every address
        self.halves: list[int] = []
        self.labels: dict[str, int] = {}
        self.branches: list[tuple[int, str, int]] = []  # (index, label, condition; 14: B, 15: BL)
        self.literals: list[tuple[int, int | str, int]] = []  # (index, value or label, register)

    def put(self, *halves: int) -> None:
        self.halves += halves

    def label(self, name: str) -> None:
        self.labels[name] = len(self.halves)

    def branch(self, name: str, condition: int = 14) -> None:
        self.branches.append((len(self.halves), name, condition))
        self.put(*([0, 0] if condition == 15 else [0]))

    def load(self, register: int, value: int | str) -> None:
        """LDR register, =value."""
        self.literals.append((len(self.halves), value, register))
        self.put(0)

    def address(self, name: str) -> int:
        return CODE + self.base + 2 * self.labels[name]

    def image(self) -> bytes:
        """Vector table and code."""
        for at, name, condition in self.branches:
            distance = self.labels[name] - at - 2
            if condition == 15:
                high = distance >> 11 & 0x7FF
                self.halves[at : at + 2] = [0xF000 | high, 0xF800 | distance & 0x7FF]
            elif condition == 14:
                self.halves[at] = 0xE000 | distance & 0x7FF
            else:
                assert -128 <= distance < 128
                self.halves[at] = 0xD000 | condition << 8 | distance & 0xFF
        if len(self.halves) % 2:
            self.put(NOP)
        for at, value, register in self.literals:
            distance = (len(self.halves) - (at & ~1) - 2) // 2
            assert distance < 256
            self.halves[at] = 0x4800 | register << 8 | distance
            word = self.address(value) if isinstance(value, str) else value
            self.put(word & 0xFFFF, word >> 16)
        handlers = {1: "start", 3: "fault", 15: "tick"}
        vectors = [STACK + self.base, *(self.address(handlers[n]) | 1 if n in handlers else 0 for n in range(1, 16))]
        return struct.pack("<16I", *vectors).ljust(CODE - BASE, b"\0") + struct.pack(
            f"<{len(self.halves)}H", *self.halves
        )


def arithmetic(rng: random.Random) -> int:
    """One instruction on r0-r3 and r8-r11 that touches neither memory nor the PC."""
    d, n, m = rng.randrange(4), rng.randrange(8), rng.randrange(8)
    high = rng.randrange(8, 12)
    return rng.choice(
        (
            rng.randrange(3) << 11 | rng.randrange(32) << 6 | n << 3 | d,
            0x1800 | rng.randrange(4) << 9 | m << 6 | n << 3 | d,
            0x2000 | rng.randrange(4) << 11 | d << 8 | rng.randrange(256),
            *(0x4000 | rng.randrange(16) << 6 | m << 3 | d for _ in range(4)),
            0x4400 | rng.choice((0, 2)) << 8 | 0x80 | m << 3 | high & 7,
            0x4400 | rng.choice((0, 2)) << 8 | high << 3 | d,
            0x4500 | 0x80 | m << 3 | high & 7,
            0xB200 | rng.randrange(4) << 6 | n << 3 | d,
            0xBA00 | rng.choice((0, 1, 3)) << 6 | n << 3 | d,
            rng.choice((0xA000 | d << 8 | 3, 0xA800 | d << 8 | 5, 0x4478 | d, 0x4678 | d, NOP)),
        )
    )


def access(rng: random.Random) -> list[int]:
    """A load or store through r4 (data, aligned) with r5 (small, aligned) or an immediate, or on the stack."""
    t, kind = rng.randrange(4), rng.randrange(8)
    if kind < 2:
        return [0x5000 | rng.randrange(8) << 9 | 5 << 6 | 4 << 3 | t]
    if kind < 4:
        form = rng.choice((0x6000, 0x6800, 0x7000, 0x7800, 0x8000, 0x8800))
        return [form | rng.randrange(32) << 6 | 4 << 3 | t]
    if kind == 4:
        return [rng.choice((0x9000, 0x9800)) | t << 8 | rng.randrange(8)]
    if kind == 5:
        registers = rng.randrange(1, 16)
        return [0xB400 | registers, arithmetic(rng), 0xBC00 | registers]  # PUSH, POP
    return [rng.choice((0xC000, 0xC800)) | 4 << 8 | rng.randrange(1, 16)]  # STM, LDM with write-back


def piece(rng: random.Random, asm: Assembler, number: int, depth: int) -> None:
    """A few instructions of one kind; `number` keeps labels apart."""
    kind = rng.randrange(14)
    name = f"p{number}"
    if kind < 4:
        asm.put(*(arithmetic(rng) for _ in range(rng.randrange(1, 8))))
    elif kind < 7:
        asm.put(*(half for _ in range(rng.randrange(1, 6)) for half in access(rng)))
    elif kind == 7 and depth == 0:
        asm.put(0x2600 | rng.randrange(1, 40))  # movs r6, #n
        asm.label(name)
        for k in range(rng.randrange(1, 4)):
            piece(rng, asm, 100 * number + k, 1)
        asm.put(0x3E01)  # subs r6, #1
        asm.branch(name, 1)
    elif kind == 8:
        asm.put(arithmetic(rng))
        asm.branch(name, rng.randrange(14))
        asm.put(*(arithmetic(rng) for _ in range(rng.randrange(1, 4))))
        asm.label(name)
    elif kind == 9:
        asm.branch(rng.choice(("leaf", "nested")), 15)
    elif kind == 10:
        asm.load(3, rng.choice((TIMERAWL, SIO_SPINLOCK, SYST_CSR + 8)))
        asm.put(0x6818 | rng.randrange(3))  # ldr r0..r2, [r3]
    elif kind == 11:
        asm.load(3, rng.choice((DATA + asm.base + 1, 0x30000000, DATA + asm.base + 2)))
        asm.put(rng.choice((0x6818, 0x6018, 0xC803 | 3 << 8)))  # ldr, str, ldm: unaligned or unmapped
    elif kind == 12:  # a store into the code: the immediate of `movs r1, #n`
        asm.load(3, name)
        if rng.randrange(3):
            asm.put(0x07D2 | rng.randrange(2))  # lsls r2, r2, #31 ...: few different values
        asm.put(0x701A)  # strb r2, [r3]
        asm.put(*(arithmetic(rng) & 0xFFF8 | 0 if rng.randrange(2) else NOP for _ in range(2)))
        asm.label(name)
        asm.put(0x2100)  # movs r1, #0
    else:
        asm.put(*rng.choice(([0xF3EF, 0x8200], [0xB672, NOP, 0xB662], [0xF3BF, 0x8F5F], [0xF380, 0x8800])))


def program(seed: int, base: int = 0) -> bytes:
    """A random program that never ends; `base` more than the usual addresses."""
    rng = random.Random(seed)
    asm = Assembler(base)
    asm.label("start")
    asm.load(0, SYST_CSR)
    asm.load(1, rng.choice((499, 1777, 12499)))
    asm.put(0x6041, 0x2107, 0x6001)  # RVR = r1; CSR = 7
    for register in range(8, 12):
        asm.load(0, rng.getrandbits(32))
        asm.put(0x4680 | register & 7)
    asm.load(0, 0)
    asm.branch("again")
    asm.label("leaf")
    asm.put(*(arithmetic(rng) for _ in range(3)), 0x4770)
    asm.label("nested")
    asm.put(0xB510, *(arithmetic(rng) for _ in range(2)))  # push {r4, lr}
    asm.branch("leaf", 15)
    asm.put(0x3401, 0xBD10)  # adds r4, #1; pop {r4, pc}
    asm.label("again")
    for number in range(rng.randrange(6, 14)):
        if len(asm.halves) > 330:
            break
        asm.load(4, DATA + base + 4 * rng.randrange(64))
        asm.put(0x2500 | 4 * rng.randrange(16))  # movs r5, #
        piece(rng, asm, number, 0)
    asm.branch("again")
    asm.label("fault")  # goes on behind the instruction
    asm.put(0x9806, 0x3002, 0x9006, 0x4770)  # ldr r0, [sp, #24]; adds r0, #2; str; bx lr
    asm.label("tick")
    asm.load(1, DATA + base + 0x400)
    asm.put(0x6808, 0x3001, 0x6008, 0x4770)
    return asm.image()


def state(board: Board) -> tuple[object, ...]:
    """Everything that a program could see, and the cycle and instruction count."""
    S = board.chip.S
    nz, carry, overflow = (int(S[n]) for n in (layout.NZ, layout.CARRY, layout.OVERFLOW))
    flags = (nz >> 31 != 0, nz & layout.WORD == 0, carry >> 32 & 1, overflow >> 31 & 1)
    whole = S[: layout.ADDRESSES].copy()
    whole[[layout.NZ, layout.CARRY, layout.OVERFLOW, layout.SLICE, layout.END]] = 0
    return flags, whole.tolist(), board.chip.mem.bytes.tobytes()


def loaded(image: bytes, ask: Ask | None, sampling: Sampling = DENSE) -> Board:
    """A board with the program, translated as `ask` says."""
    board = Board(native=False)
    if ask is not None:
        board.native = Translator(board.chip, ask, sampling)
    board.load(image, address=BASE)
    board.write_memory(DATA, random.Random(0).randbytes(0x800))
    return board


def at_once(region: Region, kind: Kind, done: Done) -> None:
    done(region, kind, worker.translate(region, kind))


def same(seed: int, ask: Ask, rounds: int = 12) -> Board:
    """Run both ways, stop at random cycles and compare. The translated board."""
    image, rng = program(seed), random.Random(seed)
    plain, native = loaded(image, None), loaded(image, ask)
    for _ in range(rounds):
        cycle = plain.cycles + rng.choice((1, 50, 3000, 20_000))
        reasons = [board.run(until_cycle=cycle).reason for board in (plain, native)]
        assert reasons[0] == reasons[1], f"seed {seed}"
        if state(plain) != state(native):
            differ = np.flatnonzero(np.array(state(plain)[1]) != np.array(state(native)[1]))
            pytest.fail(f"seed {seed} at cycle {plain.cycles}: {plain.registers} {native.registers}, words {differ}")
    return native


@pytest.mark.parametrize("part", range(4))
def test_random_programs_translated_at_once(part: int) -> None:
    gained = 0
    total = 0
    for seed in range(10 * part, 10 * part + 10):
        board = same(seed, at_once)
        total += board.cycles
        gained += int(board.chip.mem.natives.reshape(-1, layout.NATIVE_ROW)[1:, enter.CYCLES_GAINED].sum())
    assert gained > total // 8  # of these programs' cycles


SECOND = 0x20000  # what core 1's program is moved by


def both(seed: int, fast: bool, ask: Ask | None) -> Board:
    """A board whose cores run different random programs in different memory; they share the chip's registers."""
    board = Board(native=False, fast=fast)
    if ask is not None:
        board.native = Translator(board.chip, ask, DENSE)
    board.load(program(seed), address=BASE)
    board.write_memory(BASE + SECOND, program(seed + 1000, SECOND))
    S, core = board.chip.S, layout.CORE_STRIDE
    S[core : core + 16] = 0
    S[core + layout.VTOR] = BASE + SECOND
    S[core + layout.SP], S[core + layout.PC] = struct.unpack("<2I", board.read_memory(BASE + SECOND, 8))
    S[core + layout.PC] &= -2
    S[core + layout.SLEEPING], S[core + layout.LINE], S[core + layout.CYCLES] = 0, -1, S[layout.CYCLES]
    return board


def state_of_both(board: Board) -> tuple[object, ...]:
    """Registers, flags, cycles and instructions of both cores, and the memory."""
    S = board.chip.S
    cores = []
    for core in (0, layout.CORE_STRIDE):
        nz, carry, overflow = (int(S[core + n]) for n in (layout.NZ, layout.CARRY, layout.OVERFLOW))
        flags = (nz >> 31 != 0, nz & layout.WORD == 0, carry >> 32 & 1, overflow >> 31 & 1)
        counts = [int(S[core + n]) for n in (layout.CYCLES, layout.INSTRUCTIONS, layout.IPSR)]
        cores.append((S[core : core + layout.NZ].tolist(), flags, counts))
    return cores, board.chip.mem.bytes.tobytes()


@pytest.mark.parametrize("part", range(3))
def test_the_fast_mode_of_two_cores_is_in_step_with_the_exact_one(part: int) -> None:
    """Bank contention included: what the leader notes is what the follower waits for."""
    for seed in range(5 * part, 5 * part + 5):
        boards = [both(seed, False, None), both(seed, True, None)]
        rng = random.Random(seed)
        for wait in (WARM_UP + 1000, *(rng.choice((1, 300, 20_000)) for _ in range(7))):
            cycle = boards[0].cycles + wait
            for board in boards:
                board.run(until_cycle=cycle)
            states = [state_of_both(board) for board in boards]
            assert states[0] == states[1], f"seed {seed}"


class First:
    """Translates the first so many regions, at once; the programs that change themselves ask for hundreds."""

    def __init__(self, most: int) -> None:
        self.left = most

    def __call__(self, region: Region, kind: Kind, done: Done) -> None:
        self.left -= 1
        if self.left >= 0:
            at_once(region, kind, done)


@pytest.mark.parametrize("part", range(3))
def test_translated_code_for_two_cores_is_in_step_with_the_exact_mode(part: int) -> None:
    """No two cores ever wait for each other: the core counts that, and would go on in exact order."""
    gained = total = 0
    for seed in range(5 * part, 5 * part + 5):
        boards = [both(seed, False, None), both(seed, True, First(12))]
        rng = random.Random(seed)
        for wait in (WARM_UP + 1000, *(rng.choice((1, 300, 20_000)) for _ in range(7)), 20_000):
            cycle = boards[0].cycles + wait
            for board in boards:
                board.run(until_cycle=cycle)
            states = [state_of_both(board) for board in boards]
            assert states[0] == states[1], f"seed {seed}"
            assert boards[1].chip.S[layout.FAST_STALLS] == 0, f"seed {seed}"
        rows = boards[1].chip.mem.natives.reshape(-1, layout.NATIVE_ROW)[1:]
        gained += int(rows[:, enter.CYCLES_OF_TWO].sum())
        total += 2 * (boards[1].cycles - WARM_UP)
    assert gained > total // 10  # of these programs' cycles


class Later:
    """Translates at some later moment, in any order."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.waiting: list[tuple[Region, Kind, Done]] = []

    def __call__(self, region: Region, kind: Kind, done: Done) -> None:
        self.waiting.append((region, kind, done))
        while self.waiting and self.rng.randrange(2):
            at_once(*self.waiting.pop(self.rng.randrange(len(self.waiting))))


def test_random_programs_translated_at_random_moments() -> None:
    for seed in range(100, 112):
        rng = random.Random(seed)
        same(seed, Later(rng))


def test_a_store_into_translated_code_drops_it() -> None:
    asm = Assembler()
    asm.label("start")
    asm.load(0, "slot")
    asm.put(0x2300)  # movs r3, #0
    asm.label("again")
    asm.load(2, 3000)
    asm.label("inner")
    asm.label("slot")
    asm.put(0x3301)  # adds r3, #1: the immediate counts up
    asm.put(0x3A01)  # subs r2, #1
    asm.branch("inner", 1)
    asm.put(0x7801, 0x3101, 0x7001)  # ldrb r1, [r0]; adds r1, #1; strb r1, [r0]
    asm.branch("again")
    asm.label("fault")
    asm.label("tick")
    asm.put(0x4770)
    image = asm.image()
    boards = [loaded(image, None), loaded(image, at_once)]
    for board in boards:
        board.run(until_cycle=3_000_000)
    assert state(boards[0]) == state(boards[1])
    natives = boards[1].chip.mem.natives
    assert natives[enter.DROPS] > 0
    assert boards[0].registers["r3"] > 256  # rounds with several immediates


@pytest.mark.parametrize("base", [0xD0000080, 0xD0000040, DATA, 0x40058000])
def test_a_word_may_go_to_an_interpolator_or_to_memory(base: int) -> None:
    """INTERP1, INTERP0, SRAM, and what is neither: store at base + 64, load at base + 96, one cycle each in the SIO."""
    asm = Assembler()
    asm.label("start")
    asm.load(0, SYST_CSR)
    asm.load(1, 1777)
    asm.put(0x6041, 0x2107, 0x6001)  # RVR = r1; CSR = 7: an interrupt now and then
    asm.load(0, base)
    asm.load(1, 7 | 24 << 10 | 1 << 15 | 1 << 22)  # shift 7, mask up to bit 24, SIGNED, CLAMP
    asm.put(0x66C1 if base != 0x40058000 else NOP)  # str r1, [r0, #108]: CTRL_LANE0 of INTERP1 for the first base
    for bound, store in ((-500, 0x6481), (500, 0x64C1)):  # str r1, [r0, #72] and #76: BASE0, BASE1
        asm.load(1, bound & 0xFFFFFFFF)
        asm.put(store if base != 0x40058000 else NOP)
    asm.put(0x2300, 0x2400)  # movs r3, #0; movs r4, #0
    asm.label("again")
    asm.load(2, 3000)
    asm.label("inner")
    asm.put(0x3B4D)  # subs r3, #77
    asm.put(0x6403)  # str r3, [r0, #64]
    asm.put(0x6E05)  # ldr r5, [r0, #96]
    asm.put(0x1964)  # adds r4, r4, r5
    asm.put(0x3A01)  # subs r2, #1
    asm.branch("inner", 1)
    asm.branch("again")
    asm.label("fault")
    asm.label("tick")
    asm.put(0x4770)
    image = asm.image()
    plain, native = loaded(image, None), loaded(image, at_once)
    for cycle in (5_000, 5_001, 77_777, 400_000):
        assert [board.run(until_cycle=cycle).reason for board in (plain, native)] == ["max_cycles"] * 2
        assert state(plain) == state(native)
    gained = int(native.chip.mem.natives.reshape(-1, layout.NATIVE_ROW)[1:, enter.CYCLES_GAINED].sum())
    assert gained > 200_000 or base == 0x40058000
    assert plain.registers["r4"] != 0 or base != 0xD0000080


def test_breakpoints_stop_inside_translated_code() -> None:
    image = bench.image(bench.DOT_PRODUCT)
    board = loaded(image, at_once)
    board.run(max_cycles=500_000)
    assert board.native is not None
    assert board.native.installed
    tap = BASE + bench.CODE + 18
    for _ in range(3):
        point = board.breakpoint(tap)
        assert board.run(max_cycles=100_000).reason == "breakpoint"
        assert board.pc == tap
        point.remove()
        board.run(max_cycles=100_000)
    assert board.native.installed  # translated again


def test_snapshots_keep_translations_of_unchanged_code() -> None:
    image = bench.image(bench.DOT_PRODUCT)
    board = loaded(image, at_once)
    board.run(max_cycles=500_000)
    snapshot = board.snapshot()
    board.run(max_cycles=70_000)
    ahead = state(board)
    board.restore(snapshot)
    assert board.native is not None
    assert board.native.installed
    board.run(max_cycles=70_000)
    assert state(board) == ahead
    other = Board(native=False)
    other.restore(snapshot)
    other.run(max_cycles=70_000)
    assert state(other) == ahead


def test_translation_in_the_background_ends() -> None:
    board, plain = (loaded(bench.image(bench.DOT_PRODUCT), None) for _ in range(2))
    board.native = Translator(board.chip)
    for _ in range(1000):  # some milliseconds each
        board.run(max_cycles=1_000_000)
        if board.native.installed:
            break
    assert board.native.installed
    end = board.cycles + 20_000_000
    board.run(until_cycle=end)
    plain.run(until_cycle=end)
    assert state(board) == state(plain)


def test_objects_are_kept_and_damaged_ones_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, compiled = program(1), []
    real = objects.compile_region

    def counted(region: Region, name: str, kind: Kind) -> bytes:
        compiled.append(region)
        return real(region, name, kind)

    monkeypatch.setattr(objects, "compile_region", counted)
    loaded(image, at_once).run(max_cycles=100_000)
    files = sorted((tmp_path / "translated").iterdir())
    assert len(files) == len(set(compiled)) > 0
    worker._made.clear()
    loaded(image, at_once).run(max_cycles=100_000)
    assert len(files) == len(set(compiled))
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    worker._made.clear()
    again = len(compiled)
    loaded(image, at_once).run(max_cycles=100_000)
    assert len(compiled) == again + len(files)
    assert [file.read_bytes() for file in files] == contents
    (tmp_path / "translated").chmod(0o777)  # machine code that others could have written is not run
    assert objects.private_folder("translated") is None


def forgotten(self: function.FunctionWriter, addresses: list[str], i: Instruction) -> None:
    """In place of the check whether a store hits code."""


@pytest.mark.parametrize(
    ("owner", "name", "replacement"),
    [
        (instructions.Arithmetic, "_bit", lambda self, x, bit: self.w.write("c", "false")),
        (function, "cost", lambda i, cost=function.cost: cost(i) + (i.op == decode.OP_MULS)),
        (function, "SIGNED", ()),
        (function.FunctionWriter, "_check_page", forgotten),
    ],
)
def test_a_wrong_translation_is_caught(
    owner: object, name: str, replacement: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost carry, a wrong cost, an unsigned load, a store into code that nobody noticed."""
    monkeypatch.setattr(owner, name, replacement)
    monkeypatch.setattr(objects, "region_key", lambda region, kind: f"{name}{hash(region) & 0xFFFFFFFF:x}")

    def many() -> None:
        for seed in range(40):
            same(seed, at_once)

    with pytest.raises(pytest.fail.Exception, match="seed"):
        many()
