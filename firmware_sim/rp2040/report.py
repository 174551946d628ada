"""What a run gives back: why it stopped, breakpoints passed, faults with their registers."""

from __future__ import annotations

from dataclasses import dataclass, field

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.layout import State
from firmware_sim.rp2040.memory_map import block_at
from firmware_sim.rp2040.points import WatchHit

KINDS = {
    layout.FAULT_UNALIGNED: "unaligned access",
    layout.FAULT_UNMAPPED: "access to unmapped memory",
    layout.FAULT_UNDEFINED: "undefined instruction",
    layout.FAULT_FLASH_WRITE: "write to flash",
    layout.FAULT_EXECUTE_NEVER: "execution from an execute-never region",
    layout.FAULT_ROM_WRITE: "write to the boot ROM",
    layout.FAULT_NOT_THUMB: "branch to a non-Thumb address",
    layout.FAULT_SVC_PRIORITY: "SVC where its priority does not suffice",
    layout.FAULT_EXCEPTION_RETURN: "invalid exception return",
    layout.FAULT_VECTOR: "exception without a usable handler",
    layout.FAULT_STACKING: "stack pointer outside SRAM at an exception",
    layout.FAULT_XIP_OFF: "read from flash while it is being written or its interface is not in XIP mode",
}
REGISTER_NAMES = (*(f"r{i}" for i in range(13)), "sp", "lr", "pc", "xpsr")


@dataclass(frozen=True)
class FaultReport:
    """One fault: its kind, the address that caused it, and the registers before the instruction."""

    kind: str
    pc: int
    address: int
    cycle: int
    registers: dict[str, int]
    handled: bool  # False: no usable HardFault handler, or a fault inside it: the core locked up
    core: int = 0

    def __str__(self) -> str:
        block = block_at(self.address)
        where = f" ({block.name}+0x{self.address - block.base:x})" if block else ""
        lines = [
            f"fault: {self.kind}, pc 0x{self.pc:08x}, address 0x{self.address:08x}{where}, cycle {self.cycle}"
            + (f", core {self.core}" if self.core else "")
            + ("" if self.handled else "; locked up")
        ]
        items = [f"{name:>4} {value:08x}" for name, value in self.registers.items()]
        lines += ["  " + "  ".join(items[i : i + 6]) for i in range(0, len(items), 6)]
        return "\n".join(lines)


def read_fault(S: State, cycle: int, handled: bool, core: int) -> FaultReport:
    """The fault that the core recorded last."""
    registers = {name: int(S[layout.FAULT_REGISTERS + i]) for i, name in enumerate(REGISTER_NAMES)}
    kind = KINDS[int(S[layout.FAULT_KIND])]
    return FaultReport(kind, int(S[layout.FAULT_PC]), int(S[layout.FAULT_ADDRESS]), cycle, registers, handled, core)


@dataclass(frozen=True)
class Breakpoint:
    """A BKPT that was passed: its immediate, r0 and the cycle."""

    immediate: int
    r0: int
    cycle: int


@dataclass(frozen=True)
class Stop:
    """Why `Board.run` returned.

    reason: bkpt, breakpoint, hook, watchpoint (with `hit`), max_cycles, timeout, text, condition, fault (the HardFault
    handler loops), lockup, idle (asleep with nothing scheduled), reset (watchdog or AIRCR), usb_boot. `fault` is the
    first fault of this run, `faults` all (at most MAX_FAULTS).
    """

    reason: str
    immediate: int | None
    r0: int
    r1: int
    r2: int
    r3: int
    pc: int
    cycles: int
    instructions: int
    events: list[Breakpoint] = field(default_factory=list)
    faults: list[FaultReport] = field(default_factory=list)
    hit: WatchHit | None = None  # reason "watchpoint"
    core: int = 0  # 0 or 1: whose doing the reason is, and whose r0 to r3 and pc these are

    @property
    def fault(self) -> FaultReport | None:
        """The first fault of this run."""
        return self.faults[0] if self.faults else None
