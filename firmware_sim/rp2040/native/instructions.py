"""What each instruction does to registers and flags, as LLVM IR. Memory and branches are in function.py.

The words are those of core.py: C and V of each instruction must come out as there.
"""

from __future__ import annotations

from firmware_sim.rp2040 import decode as d
from firmware_sim.rp2040.layout import ZERO
from firmware_sim.rp2040.native.region import Instruction
from firmware_sim.rp2040.native.writer import Writer

LOGIC = {d.OP_ANDS: "and", d.OP_ORRS: "or", d.OP_EORS: "xor", d.OP_TST: "and"}
SIGNED_CONDITIONS = {d.OP_BGE: "sge", d.OP_BLT: "slt", d.OP_BGT: "sgt", d.OP_BLE: "sle"}
UNSIGNED_CONDITIONS = {d.OP_BCS: "uge", d.OP_BCC: "ult", d.OP_BHI: "ugt", d.OP_BLS: "ule"}


def register(w: Writer, number: int) -> str:
    """Value of a guest register; ZERO is the constant."""
    return "0" if number == ZERO else w.read(f"r{number}")


class Arithmetic:
    """Writes the instructions that touch neither memory nor the PC."""

    def __init__(self, writer: Writer) -> None:
        self.w = writer
        # Operands of the subtraction that set all four flags last in this block.
        self.compared: tuple[str, str] | None = None

    def begin_block(self) -> None:
        """The flags come from elsewhere."""
        self.compared = None

    def set_nz(self, value: str) -> None:
        """N and Z of a result; a comparison before is no longer what the flags say."""
        self.w.write("nz", value)
        self.compared = None

    def subtract(self, x: str, y: str) -> str:
        """x - y with all flags."""
        w = self.w
        result = w.value(f"sub i32 {x}, {y}")
        self.set_nz(result)
        w.write("c", lambda lines: w.value(f"icmp uge i32 {x}, {y}", lines))

        def overflow(lines: list[str]) -> str:
            different = w.value(f"xor i32 {x}, {y}", lines)
            turned = w.value(f"xor i32 {x}, {result}", lines)
            both = w.value(f"and i32 {different}, {turned}", lines)
            return w.value(f"icmp slt i32 {both}, 0", lines)

        w.write("v", overflow)
        self.compared = (x, y)
        return result

    def add(self, x: str, y: str, carry: str | None = None) -> str:
        """x + y (+ the carry, an i1) with all flags."""
        w = self.w
        if carry is None:
            result = w.value(f"add i32 {x}, {y}")
            w.write("c", lambda lines: w.value(f"icmp ult i32 {result}, {x}", lines))
        else:
            first = w.value(f"add i32 {x}, {y}")
            ones = w.value(f"zext i1 {carry} to i32")
            result = w.value(f"add i32 {first}, {ones}")

            def carry_out(lines: list[str]) -> str:
                one = w.value(f"icmp ult i32 {first}, {x}", lines)
                other = w.value(f"icmp ult i32 {result}, {first}", lines)
                return w.value(f"or i1 {one}, {other}", lines)

            w.write("c", carry_out)

        def overflow(lines: list[str]) -> str:
            one = w.value(f"xor i32 {x}, {result}", lines)
            other = w.value(f"xor i32 {y}, {result}", lines)
            both = w.value(f"and i32 {one}, {other}", lines)
            return w.value(f"icmp slt i32 {both}, 0", lines)

        w.write("v", overflow)
        self.set_nz(result)
        return result

    def _bit(self, x: str, bit: int) -> None:
        """Carry = one bit of x."""
        w = self.w

        def carry(lines: list[str]) -> str:
            shifted = w.value(f"lshr i32 {x}, {bit}", lines)
            return w.value(f"trunc i32 {shifted} to i1", lines)

        w.write("c", carry)

    def shift_by_register(self, i: Instruction) -> str:
        """LSL, LSR, ASR, ROR by the low byte of a register: 0 keeps the carry."""
        w = self.w
        x, amount = register(w, i.b), register(w, i.c)
        old = w.read("c")
        shift = w.value(f"and i32 {amount}, 255")
        none = w.value(f"icmp eq i32 {shift}, 0")
        if i.op == d.OP_ROR:
            result = w.value(f"call i32 @llvm.fshr.i32(i32 {x}, i32 {x}, i32 {shift})")
            bit = w.value(f"icmp slt i32 {result}, 0")
            w.write("c", w.value(f"select i1 {none}, i1 {old}, i1 {bit}"))
            return result
        limit = 32 if i.op == d.OP_ASR else 33
        least = w.value(f"call i32 @llvm.umin.i32(i32 {shift}, i32 {limit})")
        by = w.value(f"zext i32 {least} to i64")
        wide = w.value(f"{'sext' if i.op == d.OP_ASR else 'zext'} i32 {x} to i64")
        if i.op == d.OP_LSL:
            moved = w.value(f"shl i64 {wide}, {by}")
            result = w.value(f"trunc i64 {moved} to i32")
            out = w.value(f"lshr i64 {moved}, 32")
        else:
            kind = "ashr" if i.op == d.OP_ASR else "lshr"
            result = w.value(f"trunc i64 {w.value(f'{kind} i64 {wide}, {by}')} to i32")
            double = w.value(f"shl i64 {wide}, 1")
            out = w.value(f"{kind} i64 {double}, {by}")
        bit = w.value(f"trunc i64 {out} to i1")
        w.write("c", w.value(f"select i1 {none}, i1 {old}, i1 {bit}"))
        return result

    def shift_by_constant(self, i: Instruction) -> str:
        """LSLS, LSRS, ASRS by 1 to 32 (LSLS to 31)."""
        w, x = self.w, register(self.w, i.b)
        self._bit(x, 32 - i.imm if i.op == d.OP_LSL_IMM else i.imm - 1)
        if i.op == d.OP_LSL_IMM:
            return w.value(f"shl i32 {x}, {i.imm}")
        if i.op == d.OP_LSR_IMM:
            return w.value(f"lshr i32 {x}, {i.imm}") if i.imm < 32 else "0"
        return w.value(f"ashr i32 {x}, {min(i.imm, 31)}")

    def emit_flags(self, i: Instruction) -> bool:
        """Instructions that set flags. False: it is none of them."""
        w, op = self.w, i.op
        result: str | None = None
        if op in (d.OP_SUBS, d.OP_CMP):
            result = self.subtract(register(w, i.b), register(w, i.c))
        elif op in (d.OP_SUBS_IMM, d.OP_CMP_IMM):
            result = self.subtract(register(w, i.b), str(i.imm))
        elif op == d.OP_RSBS:
            result = self.subtract("0", register(w, i.c))
        elif op in (d.OP_ADDS, d.OP_CMN):
            result = self.add(register(w, i.b), register(w, i.c))
        elif op == d.OP_ADDS_IMM:
            result = self.add(register(w, i.b), str(i.imm))
        elif op == d.OP_ADCS:
            result = self.add(register(w, i.b), register(w, i.c), w.read("c"))
        elif op == d.OP_SBCS:
            inverse = w.value(f"xor i32 {register(w, i.c)}, -1")
            result = self.add(register(w, i.b), inverse, w.read("c"))
        else:
            result = self._emit_nz(i)
            if result is None:
                return False
            self.set_nz(result)
        if op not in (d.OP_CMP, d.OP_CMP_IMM, d.OP_CMN, d.OP_TST):
            w.write(f"r{i.a}", result)
        return True

    def _emit_nz(self, i: Instruction) -> str | None:
        """Result of an instruction that sets N and Z, and perhaps C."""
        w, op = self.w, i.op
        if op == d.OP_MOVS_IMM:
            return str(i.imm)
        if op == d.OP_MOVS:
            return register(w, i.b)
        if op == d.OP_MULS:
            return w.value(f"mul i32 {register(w, i.b)}, {register(w, i.c)}")
        if op in LOGIC:
            return w.value(f"{LOGIC[op]} i32 {register(w, i.b)}, {register(w, i.c)}")
        if op in (d.OP_BICS, d.OP_MVNS):
            inverse = w.value(f"xor i32 {register(w, i.c)}, -1")
            return inverse if op == d.OP_MVNS else w.value(f"and i32 {register(w, i.b)}, {inverse}")
        if op in (d.OP_LSL_IMM, d.OP_LSR_IMM, d.OP_ASR_IMM):
            return self.shift_by_constant(i)
        if op in (d.OP_LSL, d.OP_LSR, d.OP_ASR, d.OP_ROR):
            return self.shift_by_register(i)
        return None

    def emit_plain(self, i: Instruction) -> bool:
        """Instructions that leave the flags alone. False: it is none of them."""
        w, op = self.w, i.op
        if op == d.OP_ADD:
            result = self._sum(i)
        elif op == d.OP_ADD_SP:
            w.write("r13", w.value(f"and i32 {self._sum(i)}, -4"))
            return True
        elif op == d.OP_ADD_PC:
            result = w.value(f"add i32 {register(w, i.b)}, {i.address + i.imm}")
        elif op == d.OP_ADR:
            result = str((i.address & ~3) + i.imm)
        elif op in (d.OP_SXTB, d.OP_SXTH, d.OP_UXTB, d.OP_UXTH):
            size = "i8" if op in (d.OP_SXTB, d.OP_UXTB) else "i16"
            narrow = w.value(f"trunc i32 {register(w, i.b)} to {size}")
            result = w.value(f"{'sext' if op in (d.OP_SXTB, d.OP_SXTH) else 'zext'} {size} {narrow} to i32")
        elif op in (d.OP_REV, d.OP_REV16, d.OP_REVSH):
            result = w.value(f"call i32 @llvm.bswap.i32(i32 {register(w, i.b)})")
            if op == d.OP_REV16:
                result = w.value(f"call i32 @llvm.fshl.i32(i32 {result}, i32 {result}, i32 16)")
            elif op == d.OP_REVSH:
                result = w.value(f"ashr i32 {result}, 16")
        else:
            return op in (d.OP_NOP, d.OP_BARRIER)
        w.write(f"r{i.a}", result)
        return True

    def _sum(self, i: Instruction) -> str:
        """R[b] + R[c] + imm."""
        w = self.w
        terms = [register(w, n) for n in (i.b, i.c) if n != ZERO]
        if i.imm:
            terms.append(str(i.imm))
        result = terms[0]
        for term in terms[1:]:
            result = w.value(f"add i32 {result}, {term}")
        return result

    def condition(self, op: int) -> str:
        """Whether a conditional branch is taken, an i1."""
        w = self.w
        if op in (d.OP_BEQ, d.OP_BNE):
            return w.value(f"icmp {'eq' if op == d.OP_BEQ else 'ne'} i32 {w.read('nz')}, 0")
        if op in (d.OP_BMI, d.OP_BPL):
            return w.value(f"icmp {'slt' if op == d.OP_BMI else 'sge'} i32 {w.read('nz')}, 0")
        if self.compared is not None:
            x, y = self.compared
            kind = SIGNED_CONDITIONS.get(op) or UNSIGNED_CONDITIONS.get(op)
            if kind:
                return w.value(f"icmp {kind} i32 {x}, {y}")
        if op == d.OP_BCS:
            return w.read("c")
        if op == d.OP_BCC:
            return self._inverted(w.read("c"))
        if op == d.OP_BVS:
            return w.read("v")
        if op == d.OP_BVC:
            return self._inverted(w.read("v"))
        if op in (d.OP_BHI, d.OP_BLS):
            not_zero = w.value(f"icmp ne i32 {w.read('nz')}, 0")
            higher = w.value(f"and i1 {w.read('c')}, {not_zero}")
            return higher if op == d.OP_BHI else self._inverted(higher)
        negative = w.value(f"icmp slt i32 {w.read('nz')}, 0")
        less = w.value(f"xor i1 {negative}, {w.read('v')}")
        if op == d.OP_BLT:
            return less
        if op == d.OP_BGE:
            return self._inverted(less)
        zero = w.value(f"icmp eq i32 {w.read('nz')}, 0")
        at_most = w.value(f"or i1 {less}, {zero}")
        return at_most if op == d.OP_BLE else self._inverted(at_most)

    def _inverted(self, value: str) -> str:
        return self.w.value(f"xor i1 {value}, true")
