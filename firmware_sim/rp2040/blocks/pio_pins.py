"""The pins of the PIO: input synchronisers, output mappings, OUT_STICKY. RP2040 datasheet 3.5.6.

A change of a pad is stamped with the first cycle of the new level: what a machine drives at a cycle is there one cycle
later, and behind the two flip-flops of an input it is seen two cycles after that.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.pins import pins_update
from firmware_sim.rp2040.blocks.pio_fifo import tick_from
from firmware_sim.rp2040.blocks.pio_layout import (
    BLOCKS,
    EXECCTRL,
    MACHINE,
    MACHINE_STRIDE,
    MACHINES,
    NEXT,
    OUT_STICKY,
    PHASE,
    STALL,
    STALLED,
    STICKY,
    STICKY_DATA,
    STICKY_MASK,
    SYNC_BYPASS,
    WAIT_GPIO,
    WAIT_LEVEL,
    WAIT_PIN,
    WAITED,
)
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import (
    PIN_FUNCTION,
    PIN_HISTORY,
    PIN_HISTORY_COUNT,
    PIN_HISTORY_ENTRIES,
    PIN_IN,
    PIN_OE,
    PIN_OUT,
    PIO,
    WORD,
    State,
)

SYNCHRONISER_CYCLES = 2
FUNCTION_PIO0 = 6


@inner
def levels_at(S: State, cycle: int) -> int:
    """PIN_IN at a cycle of the recent past."""
    levels, count = S[PIN_IN], S[PIN_HISTORY_COUNT]
    for back in range(1, min(count, PIN_HISTORY_ENTRIES) + 1):
        entry = PIN_HISTORY + 2 * ((count - back) & (PIN_HISTORY_ENTRIES - 1))
        if S[entry] <= cycle:
            break
        levels = S[entry + 1]
    return levels


@inner
def pio_inputs(S: State, p: int, cycle: int) -> int:
    """What the machines of a block see of the pins at a cycle."""
    levels = levels_at(S, cycle - SYNCHRONISER_CYCLES)
    if S[p + SYNC_BYPASS]:
        levels = (levels & ~S[p + SYNC_BYPASS]) | (levels_at(S, cycle) & S[p + SYNC_BYPASS])
    return levels


@inner
def rotate(value: int, left: int) -> int:
    """A word rotated to the left by 0 to 32 bits."""
    return ((value << left) | (value >> (32 - left))) & WORD


@inner
def wait_for_pin(S: State, p: int, m: int) -> None:
    """Set NEXT of a stalled WAIT: the first tick at which the pin's recent past has the wanted level."""
    bit, lag = 1 << S[m + WAIT_PIN], SYNCHRONISER_CYCLES
    if S[p + SYNC_BYPASS] & bit:
        lag = 0
    seen = (S[m + PHASE] >> 8) - lag
    wanted = bit if S[m + WAIT_LEVEL] else 0
    levels, count, found = S[PIN_IN], S[PIN_HISTORY_COUNT], -1
    for back in range(1, min(count, PIN_HISTORY_ENTRIES) + 1):
        entry = PIN_HISTORY + 2 * ((count - back) & (PIN_HISTORY_ENTRIES - 1))
        if S[entry] <= seen:
            break
        if levels & bit == wanted:
            found = S[entry]
        levels = S[entry + 1]
    S[WAITED] |= bit
    S[m + NEXT] = STALLED if found < 0 else tick_from(S, m, found + lag)


@inner
def look_at_pins(S: State) -> None:
    """Pins have changed: look at all machines that wait for one."""
    S[WAITED] = 0
    for p in BLOCKS:
        for sm in range(MACHINES):
            m = p + MACHINE + sm * MACHINE_STRIDE
            if S[m + STALL] == WAIT_GPIO:
                wait_for_pin(S, p, m)


@inner
def put(S: State, word: int, mask: int, data: int) -> int:
    """Set the bits of `mask` in a word to `data`; the bits that changed."""
    old = S[word]
    S[word] = (old & ~mask) | (data & mask)
    return old ^ S[word]


@inner
def put_sticky(S: State, p: int, first: int, last: int, drive: int) -> int:
    """Let the machines [first, last) that hold pins by OUT_STICKY win over others; the bits that changed."""
    changed = 0
    for sm in range(first, last):
        m = p + MACHINE + sm * MACHINE_STRIDE
        if S[m + EXECCTRL] & OUT_STICKY:
            changed |= put(S, PIN_OUT + drive, S[m + STICKY_MASK], S[m + STICKY_DATA])
            changed |= put(S, PIN_OE + drive, S[m + STICKY_MASK + 1], S[m + STICKY_DATA + 1])
    return changed


@inner
def pio_drive(S: State, p: int, sm: int, mask: int, data: int, directions: int, towards: int, cycle: int) -> None:
    """A machine writes levels `data` under `mask` and directions `towards` under `directions` at a cycle."""
    drive = FUNCTION_PIO0 + (1 if p > PIO else 0)
    changed = put(S, PIN_OUT + drive, mask, data) | put(S, PIN_OE + drive, directions, towards)
    sticky = S[STICKY] >> (MACHINES if p > PIO else 0) & 15
    if sticky >> (sm + 1):
        changed |= put_sticky(S, p, sm + 1, MACHINES, drive)
    if changed & S[PIN_FUNCTION + drive]:
        pins_update(S, cycle + 1)
    if sticky & ((1 << sm) - 1) and not sticky >> sm & 1:  # lower ones hold their pins again in the next cycle
        changed = put_sticky(S, p, 0, sm, drive)
        if changed & S[PIN_FUNCTION + drive]:
            pins_update(S, cycle + 2)
