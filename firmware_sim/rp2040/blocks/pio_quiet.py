"""How long a machine stays quiet: a lower bound of the ticks until it can touch a FIFO or a flag.

Interrupts of the PIO, and of the DMA that serves it, come out exact because the machines are run up to each cycle at
which one could arise. From each address of the program the shortest way to such an instruction is counted, whatever
the data says.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.pio_layout import (
    AUTOPULL,
    AUTOPUSH,
    EXECCTRL,
    INSTRUCTIONS,
    MACHINE,
    MACHINE_STRIDE,
    MACHINES,
    MEMORY,
    PINCTRL,
    QUIET,
    SHIFTCTRL,
    STALE,
)
from firmware_sim.rp2040.blocks.pio_machine import IN, IRQ_OP, JMP, MOV, OUT, PUSH_PULL, WAIT
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import PIO, PIO_STRIDE, State

LONG = 4096  # ticks: longer than anybody asks for


@inner
def is_loud(instruction: int, shiftctrl: int) -> bool:
    """Whether an instruction can touch a FIFO or a flag, or be anything."""
    operation, middle = instruction >> 13, instruction >> 5 & 7
    if operation == IN:
        return shiftctrl & AUTOPUSH != 0
    if operation == OUT:
        return shiftctrl & AUTOPULL != 0 or middle == 7
    if operation == WAIT:
        return middle & 3 == 2
    return operation in (PUSH_PULL, IRQ_OP) or (operation == MOV and middle == 4)


@inner
def quiet_from(S: State, p: int, m: int, q: int, at: int) -> int:
    """Ticks from the instruction at `at`, given those of the others."""
    instruction = S[p + MEMORY + at]
    operation, middle = instruction >> 13, instruction >> 5 & 7
    if is_loud(instruction, S[m + SHIFTCTRL]):
        return 0
    ticks = 1 + ((instruction >> 8 & 31) & ((1 << (5 - min(5, S[m + PINCTRL] >> 29))) - 1))
    if operation in (OUT, MOV) and middle == 5:  # to the program counter
        return ticks
    top, bottom = S[m + EXECCTRL] >> 12 & 31, S[m + EXECCTRL] >> 7 & 31
    follows = S[q + (bottom if at == top else (at + 1) & 31)]
    if operation == JMP:
        follows = S[q + (instruction & 31)] if middle == 0 else min(follows, S[q + (instruction & 31)])
    return min(LONG, ticks + follows)


@inner
def pio_quiet(S: State) -> None:
    """Compute QUIET of all machines anew."""
    for block in range(2):
        p = PIO + block * PIO_STRIDE
        for sm in range(MACHINES):
            m, q = p + MACHINE + sm * MACHINE_STRIDE, p + QUIET + sm * INSTRUCTIONS
            for at in range(INSTRUCTIONS):
                S[q + at] = LONG
            changed = True
            while changed:
                changed = False
                for back in range(1, INSTRUCTIONS + 1):
                    ticks = quiet_from(S, p, m, q, INSTRUCTIONS - back)
                    if ticks != S[q + INSTRUCTIONS - back]:
                        S[q + INSTRUCTIONS - back] = ticks
                        changed = True
    S[STALE] = 0
