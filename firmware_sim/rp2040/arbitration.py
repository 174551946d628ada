"""Who gets a bank of the SRAM in a cycle when the DMA runs beside the cores. RP2040 datasheet 2.1.1.

A master of high priority (BUSCTRL.BUS_PRIORITY) goes first; among equals whoever had the bank less recently, as
round-robin does. The DMA has been brought up to the cycle in question, so its next read and its next write are known.
Between the cores, core.py decides. See docs/decisions/0087.
"""

from __future__ import annotations

from firmware_sim.rp2040.banks import BITS, CORE_SHIFT, DMA_MASTER, bank_of, in_banks, log_bank
from firmware_sim.rp2040.blocks.dma_layout import (
    HEAD,
    NEXT_ACTION,
    Q_ADDRESS,
    Q_DONE,
    QUEUE,
    QUEUE_WORDS,
    QUEUED,
    READ_AT,
    READ_BANK,
)
from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.far import call_far, longs_at
from firmware_sim.rp2040.layout import (
    BANK_CYCLES,
    BANKS,
    BUS_PRIORITY,
    CORE_STRIDE,
    FAR_ADVANCE,
    LOADED,
    STATE_WORDS,
    State,
)

MEMORY = 16  # cycles for which it is remembered who had a bank last
DMA_R_SHIFT, DMA_W_SHIFT = 8, 12  # in BUS_PRIORITY; PROC0 is bit 0, PROC1 bit 4
FOLLOWS, LENGTH_SHIFT = 1 << 16, 8  # of the first argument of `far_grant`


@inner
def bank_log(S: State, cycle: int) -> int:
    """Who uses which bank in a cycle, as banks.py logs it."""
    word = S[BANKS + (cycle & (BANK_CYCLES - 1))]
    return word & ((1 << BITS) - 1) if word >> BITS == cycle else 0


@inner
def dma_wants(S: State, bank: int, cycle: int) -> int:
    """0: the DMA does not want the bank in this cycle; 1: it does; 2: it does, with high priority."""
    wants = 0
    if S[READ_AT] == cycle and S[READ_BANK] == bank:
        wants = 1 + (S[BUS_PRIORITY] >> DMA_R_SHIFT & 1)
    q = QUEUE + S[HEAD] * QUEUE_WORDS
    if S[QUEUED] and S[q + Q_DONE] - 1 == cycle and in_banks(S[q + Q_ADDRESS]) and bank_of(S[q + Q_ADDRESS]) == bank:
        wants = max(wants, 1 + (S[BUS_PRIORITY] >> DMA_W_SHIFT & 1))
    return wants


@inner
def core_wins(S: State, core: int, bank: int, cycle: int, wants: int) -> bool:
    """Whether the core goes first on a bank that the DMA wants too."""
    high = 1 + (S[BUS_PRIORITY] >> (4 * (core >> CORE_SHIFT)) & 1)
    if high != wants:
        return high > wants
    for before in range(1, MEMORY + 1):
        used = bank_log(S, cycle - before) >> bank
        if used >> (6 * (core >> CORE_SHIFT)) & 1:
            return False
        if used >> DMA_MASTER & 1:
            return True
    return True


@far
def far_grant(state: int, who: int, address: int, cycle: int, known: int) -> int:
    """Give a core the banks of an access, a word a cycle from `cycle` on: the cycle of the last word.

    who: core | words << LENGTH_SHIFT, with FOLLOWS where the other core goes first. known: the cycle that the other
    core has reached; an access at or behind it changes nothing and gives the negated cycle that it has to reach.
    """
    S = longs_at(state, STATE_WORDS)
    core, length, follows = who & 0xFF, who >> LENGTH_SHIFT & 0xFF, who & FOLLOWS
    other = 6 * ((CORE_STRIDE - core) >> CORE_SHIFT)
    at = cycle
    for i in range(length):
        bank = bank_of(address + 4 * i)
        while True:
            if at >= known:
                for j in range(i):  # as if nothing had been asked
                    taken = S[core + LOADED + j]
                    used = 1 << (bank_of(address + 4 * j) + 6 * (core >> CORE_SHIFT))
                    S[BANKS + (taken & (BANK_CYCLES - 1))] &= ~used
                return -(at + 1)
            if S[NEXT_ACTION] < at:
                call_far(S, FAR_ADVANCE, at, 0, 0, 0)
            used = bank_log(S, at) >> bank
            if not used >> DMA_MASTER & 1 and not (follows and used >> other & 1):
                wants = dma_wants(S, bank, at)
                if wants == 0 or core_wins(S, core, bank, at, wants):
                    break
            at += 1
        log_bank(S, core, bank, at)
        S[core + LOADED + i] = at
        at += 1
    return at - 1
