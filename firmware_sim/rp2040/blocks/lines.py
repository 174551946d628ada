"""The interrupt lines between the blocks and the NVICs of both cores. ARMv6-M Architecture Reference Manual B3.4.

An NVIC latches: a line that rises makes its interrupt pending until the handler is entered or NVIC_ICPR clears it, also
when the line falls again before that, or rises while the handler runs. What a line that is high does is in ppb.py.
"""

from __future__ import annotations

from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import CORE_STRIDE, LATCHED, LINES, NMI_MASK, OWN_LINES, State

NMI = 2


@inner
def latch(S: State, core: int, risen: int) -> None:
    """Lines that rose (bit = IRQ number) make their interrupts, and NMI, pending for a core."""
    S[core + LATCHED] |= risen << 16 | (1 << NMI if risen & S[core + NMI_MASK] else 0)


@inner
def set_lines(S: State, mask: int, high: int) -> None:
    """Drive the lines of `mask` that both cores see; `high`: those of them that are high."""
    risen = high & ~S[LINES]
    S[LINES] = (S[LINES] & ~mask) | high
    if risen:
        latch(S, 0, risen)
        latch(S, CORE_STRIDE, risen)


@inner
def set_own_lines(S: State, core: int, mask: int, high: int) -> None:
    """Drive lines that one core alone sees."""
    risen = high & ~S[core + OWN_LINES]
    S[core + OWN_LINES] = (S[core + OWN_LINES] & ~mask) | high
    if risen:
        latch(S, core, risen)


def set_line(S: State, number: int, level: bool, *, core: int | None = None) -> None:
    """As the above for callers in Python: one line of both cores, or of one."""
    word = LINES if core is None else core + OWN_LINES
    bit = 1 << number
    if level and not S[word] & bit:
        for each in (0, CORE_STRIDE) if core is None else (core,):
            S[each + LATCHED] |= bit << 16 | (1 << NMI if bit & S[each + NMI_MASK] else 0)
    S[word] = S[word] | bit if level else S[word] & ~bit
