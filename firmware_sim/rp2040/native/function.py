"""LLVM IR of a region: one function that runs guest code until it has to leave, and never changes what comes out.

    i64 name(R, memory, pages, limit, entry, S)

R: the core's slice of the state S; memory, pages: arrays of `Memory`; limit: cycle at which the interpreter looks up;
entry: number of the entry point. It returns why it left (LEFT_*), with the whole state of the core in R as the
interpreter would have it there. A block runs only if all of it fits before `limit`; anything that is not arithmetic,
SRAM or a branch leaves before the instruction.
"""

from __future__ import annotations

from firmware_sim.rp2040 import decode as d
from firmware_sim.rp2040.layout import (
    CARRY,
    CODE_PAGE_SHIFT,
    CYCLES,
    INSTRUCTIONS,
    LINE,
    LR,
    NZ,
    OVERFLOW,
    PC,
    SRAM_BASE,
    SRAM_OFFSET,
    SRAM_SIZE,
    ZERO,
)
from firmware_sim.rp2040.native.accesses import LOADS, MULTIPLE, SIZES, STORES, Access, Group, group_accesses
from firmware_sim.rp2040.native.instructions import Arithmetic, register
from firmware_sim.rp2040.native.interpolated import SAVED, call_interpolator, interpolations, is_interpolator
from firmware_sim.rp2040.native.region import CONDITIONAL, UNUSUAL, Instruction, Region
from firmware_sim.rp2040.native.writer import REGISTERS, TYPES, Writer

LEFT_LIMIT, LEFT_REGION, LEFT_UNUSUAL = 0, 1, 2
EXCEPTION_RETURN = 0xF0000000
UNLIKELY, LIKELY = "!prof !0", "!prof !1"
SIGNED = (d.OP_LDRSB, d.OP_LDRSH)

HEADER = """\
declare i32 @llvm.fshl.i32(i32, i32, i32)
declare i32 @llvm.fshr.i32(i32, i32, i32)
declare i32 @llvm.umin.i32(i32, i32)
declare i32 @llvm.bswap.i32(i32)
!0 = !{!"branch_weights", i32 1, i32 4000}
!1 = !{!"branch_weights", i32 4000, i32 1}
!2 = !{!"branch_weights", i32 1, i32 15}
"""


def cost(i: Instruction) -> int:
    """Cycles of an instruction in SRAM, with its branch taken."""
    if i.op in SIZES or i.op == d.OP_LDR_LITERAL or i.op in CONDITIONAL or i.op in (d.OP_B, d.OP_BX, d.OP_BLX):
        return 2
    if i.op in MULTIPLE:
        return 1 + i.c + (2 if i.op == d.OP_POP and i.imm & 0x8000 else 0)
    return 3 if i.op in (d.OP_BL, d.OP_BARRIER) else 1


class FunctionWriter:
    """Writes one region."""

    may_interpolate = True

    def __init__(self, region: Region, name: str) -> None:
        self.region = region
        self.name = name
        self.w = Writer()
        self.arithmetic = Arithmetic(self.w)
        self.ways_out: set[int] = set()
        self.accesses: dict[int, Access] = {}
        self.checked: list[Group] = []
        self.interpolated: set[int] = set()  # addresses of instructions that may use an interpolator
        self.start = ""  # name of the cycle at the begin of the block
        self.total = 0  # cycles of the block at most
        self.spent = 0  # cycles and instructions of the block so far
        self.done = 0

    def text(self) -> str:
        """The module."""
        for address, block in self.region.blocks.items():
            self._block(address, block)
        w = self.w
        slots = [slot for slot in TYPES if slot in w.used]
        head = [
            HEADER,
            f"define i64 @{self.name}(ptr noalias %R, ptr noalias %memory, ptr noalias %pages, i64 %limit, i64 %entry, "
            "ptr noalias %S)"
            " nounwind {",
            "begin:",
            f"  %sram = getelementptr i8, ptr %memory, i64 {SRAM_OFFSET}",
            f"  %sram_pages = getelementptr i8, ptr %pages, i64 {SRAM_OFFSET >> CODE_PAGE_SHIFT}",
        ]
        head += self._head()
        head += [f"  %{slot} = alloca {TYPES[slot]}" for slot in slots]
        head += ["  %pc = alloca i32", "  %cycle = alloca i64", "  %count = alloca i64", "  %why = alloca i64"]
        head += self._load_state(slots)
        cases = " ".join(f"i64 {n}, label %b{address:x}" for n, address in enumerate(self.region.entries))
        head += [f"  switch i64 %entry, label %refuse [{cases}]", "refuse:", f"  ret i64 {LEFT_UNUSUAL}"]
        w.main += self._dispatch("return", self.region.return_sites)
        w.main += self._dispatch("call", self.region.functions)
        return "\n".join([*head, *w.main, *w.cold, *self._leave(slots), "}"]) + "\n"

    def _head(self) -> list[str]:
        """More lines at the begin of the function."""
        return []

    def _load_state(self, slots: list[str]) -> list[str]:
        """Lines that copy R to the slots; N and Z both set (after MSR) do not fit into a slot, so that is refused."""
        lines = []
        for slot, index in (("cycle", CYCLES), ("count", INSTRUCTIONS)):
            lines += [
                f"  %{slot}.p = getelementptr i64, ptr %R, i64 {index}",
                f"  %{slot}.0 = load i64, ptr %{slot}.p",
                f"  store i64 %{slot}.0, ptr %{slot}",
            ]
        lines += [f"  %pc.p = getelementptr i64, ptr %R, i64 {PC}"]
        for slot in slots:
            index = {"nz": NZ, "c": CARRY, "v": OVERFLOW, "line": LINE}.get(slot) or REGISTERS.index(slot)
            lines += [
                f"  %{slot}.p = getelementptr i64, ptr %R, i64 {index}",
                f"  %{slot}.w = load i64, ptr %{slot}.p",
            ]
            if slot in ("c", "v"):
                lines += [
                    f"  %{slot}.s = lshr i64 %{slot}.w, {32 if slot == 'c' else 31}",
                    f"  %{slot}.0 = trunc i64 %{slot}.s to i1",
                ]
            else:
                lines += [f"  %{slot}.0 = trunc i64 %{slot}.w to i32"]
            lines += [f"  store {TYPES[slot]} %{slot}.0, ptr %{slot}"]
        if "nz" in slots:
            lines += [
                "  %both = icmp ugt i64 %nz.w, 4294967295",
                f"  br i1 %both, label %refuse, label %enter, {UNLIKELY}",
                "enter:",
            ]
        return lines

    def _leave(self, slots: list[str]) -> list[str]:
        """Lines that copy what was changed back to R."""
        lines = ["leave:"]
        for slot in ("cycle", "count"):
            lines += [f"  %{slot}.1 = load i64, ptr %{slot}", f"  store i64 %{slot}.1, ptr %{slot}.p"]
        lines += ["  %pc.1 = load i32, ptr %pc", "  %pc.2 = zext i32 %pc.1 to i64", "  store i64 %pc.2, ptr %pc.p"]
        for slot in slots:
            if slot not in self.w.written:
                continue
            lines += [
                f"  %{slot}.1 = load {TYPES[slot]}, ptr %{slot}",
                f"  %{slot}.2 = zext {TYPES[slot]} %{slot}.1 to i64",
            ]
            if slot in ("c", "v"):
                lines += [f"  %{slot}.3 = shl i64 %{slot}.2, {32 if slot == 'c' else 31}"]
            lines += [f"  store i64 %{slot}.{3 if slot in ('c', 'v') else 2}, ptr %{slot}.p"]
        return [*lines, "  %why.1 = load i64, ptr %why", "  ret i64 %why.1"]

    # --- blocks ---

    def _block(self, address: int, block: list[Instruction]) -> None:
        w = self.w
        w.begin_block(f"b{address:x}")
        self.arithmetic.begin_block()
        self.interpolated = interpolations(block) if self.may_interpolate else set()
        self.accesses, self.checked = group_accesses(block, self.interpolated), []
        self.spent = self.done = 0
        self.total = sum(cost(i) for i in block if i.op not in UNUSUAL)
        self.start = w.value("load i64, ptr %cycle")
        after = w.value(f"add i64 {self.start}, {self.total}")
        fits = w.value(f"icmp sle i64 {after}, %limit")
        self._leave_unless(fits, address, LEFT_LIMIT)
        for i in block:
            self._boundary()
            if i.op in UNUSUAL:
                label = self._leave_at(i.address, LEFT_UNUSUAL)
                w.main.append(f"  br label %{label}")
                return
            ended = self._instruction(i)
            if ended:
                return
        self._spend(self.spent)
        self._go(block[-1].following)

    def _instruction(self, i: Instruction) -> bool:
        """One instruction; whether it ends the block."""
        self._fetch(i)
        if i.op in CONDITIONAL:
            taken = self.arithmetic.condition(i.op)
            self._count(i)
            self._spend(self.spent - 1)
            w = self.w
            jump, on = f"j{i.address:x}", f"n{i.address:x}"
            w.main += [f"  br i1 {taken}, label %{jump}, label %{on}", f"{jump}:"]
            self._spend_cycles(self.spent)
            self._go(i.target)
            w.main.append(f"{on}:")
            self._go(i.following)
            return True
        if i.op in (d.OP_B, d.OP_BL):
            if i.op == d.OP_BL:
                self.w.write("r14", str(i.following | 1))
            self._count(i)
            self._spend(self.spent)
            self._go(i.target)
            return True
        if i.op in (d.OP_BX, d.OP_BLX):
            target = register(self.w, i.b)
            self._check_target(target, i)
            if i.op == d.OP_BLX:
                self.w.write("r14", str(i.following | 1))
            self._count(i)
            self._go_to_register(target, "return" if i.op == d.OP_BX and i.b == LR else "call")
            return True
        if i.op in MULTIPLE:
            return self._multiple(i)
        if i.address in self.interpolated:
            self._interpolate(i)
        elif i.op in LOADS or i.op == d.OP_LDR_LITERAL:
            self._load(i)
        elif i.op in STORES:
            self._store(i)
        elif not (self.arithmetic.emit_flags(i) or self.arithmetic.emit_plain(i)):
            raise ValueError(f"no translation of op {i.op} at 0x{i.address:08x}")
        self._count(i)
        return False

    def _boundary(self) -> None:
        """Between two instructions."""

    def _fetch(self, i: Instruction) -> None:
        """Before an instruction that is translated."""

    def _use_banks(self, address: str, words: int, store: bool, i: Instruction) -> None:
        """Before an access to checked addresses."""

    def _before(self, lines: list[str]) -> str:
        """Cycle at the begin of the block, without what the present instruction added to it; for a way out."""
        return self.start

    def _count(self, i: Instruction) -> None:
        self.spent += cost(i)
        self.done += 1

    def _spend_cycles(self, cycles: int) -> None:
        after = self.w.value(f"add i64 {self.start}, {cycles}")
        self.w.main.append(f"  store i64 {after}, ptr %cycle")

    def _spend(self, cycles: int) -> None:
        """End of the block: store what it changed."""
        w = self.w
        self._spend_cycles(cycles)
        before = w.value("load i64, ptr %count")
        after = w.value(f"add i64 {before}, {self.done}")
        w.main.append(f"  store i64 {after}, ptr %count")
        w.flush(w.main)

    def _go(self, target: int) -> None:
        """To a block of the region, or out of it."""
        if target in self.region.blocks:
            self.w.main.append(f"  br label %b{target:x}")
            return
        if target not in self.ways_out:
            self.ways_out.add(target)
            self.w.cold += [f"o{target:x}:", *self._stop(str(target), LEFT_REGION)]
        self.w.main.append(f"  br label %o{target:x}")

    def _go_to_register(self, target: str, kind: str) -> None:
        """To the block of the region whose address is in `target`, or out of it; kind: "return" or "call"."""
        w = self.w
        address = w.value(f"and i32 {target}, -2")
        self._spend(self.spent)
        w.main += [f"  store i32 {address}, ptr %pc", f"  br label %{kind}"]

    def _dispatch(self, kind: str, addresses: list[int]) -> list[str]:
        """One place from which all returns (or all calls through registers) go on: fewer edges than one for each."""
        cases = " ".join(f"i32 {address}, label %b{address:x}" for address in addresses)
        return [
            f"{kind}:",
            f"  %{kind}.to = load i32, ptr %pc",
            f"  switch i32 %{kind}.to, label %{kind}.out [{cases}]",
            f"{kind}.out:",
            *self._stop(f"%{kind}.to", LEFT_REGION),
        ]

    def _stop(self, pc: str, why: int) -> list[str]:
        return [f"  store i32 {pc}, ptr %pc", f"  store i64 {why}, ptr %why", "  br label %leave"]

    def _leave_at(self, address: int, why: int) -> str:
        """Label of the way out before the instruction at `address`, with the state as it is now."""
        w = self.w
        label = w.name()[1:]
        w.cold.append(f"{label}:")
        start = self._before(w.cold)
        if self.done:
            after = w.value(f"add i64 {start}, {self.spent}", w.cold)
            before = w.value("load i64, ptr %count", w.cold)
            count = w.value(f"add i64 {before}, {self.done}", w.cold)
            w.cold += [f"  store i64 {after}, ptr %cycle", f"  store i64 {count}, ptr %count"]
        w.flush(w.cold)
        w.cold += self._stop(str(address), why)
        return label

    def _leave_unless(self, condition: str, address: int, why: int = LEFT_UNUSUAL) -> None:
        label = self._leave_at(address, why)
        inside = self.w.name()[1:]
        self.w.main += [f"  br i1 {condition}, label %{inside}, label %{label}, {LIKELY}", f"{inside}:"]

    def _check_target(self, target: str, i: Instruction) -> None:
        """Leave before an exception return or a jump out of Thumb state."""
        w = self.w
        odd = w.value(f"trunc i32 {target} to i1")
        plain = w.value(f"icmp ult i32 {target}, {EXCEPTION_RETURN}")
        self._leave_unless(w.value(f"and i1 {odd}, {plain}"), i.address)

    # --- memory ---

    def _check_range(self, base: str, i: Instruction) -> None:
        """Leave unless all accesses of the group are in SRAM and aligned; `base`: what its base register holds."""
        w = self.w
        access = self.accesses[i.address]
        group = access.group
        if any(group is other for other in self.checked):
            return
        self.checked.append(group)
        first = w.value(f"add i32 {base}, {group.low - access.distance - SRAM_BASE}")
        shift = group.align.bit_length() - 1
        if shift:
            first = w.value(f"call i32 @llvm.fshr.i32(i32 {first}, i32 {first}, i32 {shift})")
        most = (SRAM_SIZE - (group.high - group.low)) // group.align
        self._leave_unless(w.value(f"icmp ule i32 {first}, {most}"), i.address)

    def _pointer(self, address: str) -> str:
        """Pointer to a checked SRAM address."""
        w = self.w
        offset = w.value(f"add i32 {address}, {-SRAM_BASE}")
        wide = w.value(f"zext i32 {offset} to i64")
        return w.value(f"getelementptr i8, ptr %sram, i64 {wide}")

    def _address(self, i: Instruction) -> str:
        """Address of a single load or store, checked."""
        w = self.w
        base = register(w, i.b)
        if i.c != ZERO:
            address = w.value(f"add i32 {base}, {register(w, i.c)}")
            if i.imm:
                address = w.value(f"add i32 {address}, {i.imm}")
            self._check_range(address, i)
            return address
        self._check_range(base, i)
        return w.value(f"add i32 {base}, {i.imm}") if i.imm else base

    def _load(self, i: Instruction) -> None:
        w = self.w
        if i.op == d.OP_LDR_LITERAL:
            place = str((i.address & ~3) + i.imm)
            self._use_banks(place, 1, False, i)
            w.write(f"r{i.a}", w.value(f"load i32, ptr {self._pointer(place)}, align 4"))
            return
        size = SIZES[i.op]
        address = self._address(i)
        self._use_banks(address, 1, False, i)
        pointer = self._pointer(address)
        value = w.value(f"load i{8 * size}, ptr {pointer}, align {size}")
        if size < 4:
            value = w.value(f"{'sext' if i.op in SIGNED else 'zext'} i{8 * size} {value} to i32")
        w.write(f"r{i.a}", value)

    def _interpolate(self, i: Instruction) -> None:
        """A word that goes to an accumulator or comes from a lane, or is in SRAM after all."""
        w, store, n = self.w, i.op == d.OP_STR, f"{i.address:x}"
        base = register(w, i.b)
        address = w.value(f"add i32 {base}, {i.imm}") if i.imm else base
        value = register(w, i.a) if store else None
        start = self.start
        use = is_interpolator(w, address, store)
        w.main += [f"  br i1 {use}, label %i{n}, label %p{n}", f"i{n}:"]
        found = call_interpolator(w, address, value)
        sooner = w.value(f"sub i64 {start}, {SAVED}")
        w.main += [f"  br label %m{n}", f"p{n}:"]
        self._check_range(base, i)
        if store:
            self._check_page([address], i)
            w.main.append(f"  store i32 {value}, ptr {self._pointer(address)}, align 4")
        else:
            plain = w.value(f"load i32, ptr {self._pointer(address)}, align 4")
        w.main += [f"  br label %q{n}", f"q{n}:", f"  br label %m{n}", f"m{n}:"]
        self.start = w.value(f"phi i64 [{sooner}, %i{n}], [{start}, %q{n}]")
        if not store:
            w.write(f"r{i.a}", w.value(f"phi i32 [{found}, %i{n}], [{plain}, %q{n}]"))

    def _check_page(self, addresses: list[str], i: Instruction) -> None:
        """Leave before a store to a page that holds code."""
        w = self.w
        flags = "0"
        for address in addresses:
            offset = w.value(f"add i32 {address}, {-SRAM_BASE}")
            page = w.value(f"zext i32 {w.value(f'lshr i32 {offset}, {CODE_PAGE_SHIFT}')} to i64")
            pointer = w.value(f"getelementptr i8, ptr %sram_pages, i64 {page}")
            flag = w.value(f"load i8, ptr {pointer}")
            flags = flag if flags == "0" else w.value(f"or i8 {flags}, {flag}")
        self._leave_unless(w.value(f"icmp eq i8 {flags}, 0"), i.address)

    def _store(self, i: Instruction) -> None:
        w = self.w
        size = SIZES[i.op]
        address = self._address(i)
        self._check_page([address], i)
        self._use_banks(address, 1, True, i)
        value = register(w, i.a)
        if size < 4:
            value = w.value(f"trunc i32 {value} to i{8 * size}")
        w.main.append(f"  store i{8 * size} {value}, ptr {self._pointer(address)}, align {size}")

    def _multiple(self, i: Instruction) -> bool:
        """LDM, STM, PUSH, POP; whether it ends the block."""
        w = self.w
        base = register(w, i.a)
        self._check_range(base, i)
        bottom = w.value(f"add i32 {base}, {-4 * i.c}") if i.op == d.OP_PUSH else base
        numbers = [n for n in range(16) if i.imm >> n & 1]
        pointer = self._pointer(bottom)
        places = [w.value(f"getelementptr i8, ptr {pointer}, i64 {4 * k}") for k in range(i.c)]
        if i.op in (d.OP_STM, d.OP_PUSH):
            ends = [bottom] if i.c == 1 else [bottom, w.value(f"add i32 {bottom}, {4 * i.c - 4}")]
            self._check_page(ends, i)
            self._use_banks(bottom, i.c, True, i)
            for n, place in zip(numbers, places, strict=True):
                w.main.append(f"  store i32 {register(w, n)}, ptr {place}, align 4")
            w.write(f"r{i.a}", bottom if i.op == d.OP_PUSH else w.value(f"add i32 {base}, {4 * i.c}"))
            self._count(i)
            return False
        self._use_banks(bottom, i.c, False, i)
        values = {n: w.value(f"load i32, ptr {place}, align 4") for n, place in zip(numbers, places, strict=True)}
        if 15 in values:
            self._check_target(values[15], i)
        for n, value in values.items():
            if n != 15:
                w.write(f"r{n}", value)
        if i.op == d.OP_POP or i.a not in values:
            w.write(f"r{i.a}", w.value(f"add i32 {base}, {4 * i.c}"))
        self._count(i)
        if 15 in values:
            self._go_to_register(values[15], "return")
            return True
        return False
