"""Running the state machines of both PIO blocks up to a cycle, and when that has to happen next."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma_layout import BUSY_CHANNELS, CHANNEL_STRIDE, CHANNELS, COUNT
from firmware_sim.rp2040.blocks.dma_layout import INTE0 as DMA_INTE0
from firmware_sim.rp2040.blocks.dma_layout import INTE1 as DMA_INTE1
from firmware_sim.rp2040.blocks.pio_layout import (
    DIVIDER,
    ENABLED,
    EXEC,
    EXECCTRL,
    FORCED,
    INSTRUCTIONS,
    INTE0,
    INTE1,
    MACHINE,
    MACHINE_STRIDE,
    MACHINES,
    MEMORY,
    NEXT,
    PC,
    PINCTRL,
    QUIET,
    REQUESTED,
    RUNNING,
    SEEN,
    STALE,
    WAITED,
    WOKEN,
)
from firmware_sim.rp2040.blocks.pio_machine import pio_step
from firmware_sim.rp2040.blocks.pio_pins import FUNCTION_PIO0, look_at_pins, rotate
from firmware_sim.rp2040.blocks.pio_quiet import pio_quiet
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import (
    DMA,
    EVENT_AT,
    EVENT_PWM,
    NEVER,
    PIN_FUNCTION,
    PIN_HISTORY_COUNT,
    PIN_INTE,
    PIN_WATCH,
    PIN_WATCH_PIO,
    PIO,
    PIO_STRIDE,
    WORD,
    State,
)

STEP, LONG_STEP = 64, 2048  # cycles that machines may lag behind when something, or nothing, follows from them
EDGE_STEP = 4  # where pins may interrupt


@inner
def machine_at(index: int) -> int:
    """Where the words of machine `index` (block * 4 + number) begin."""
    return PIO + (index >> 2) * PIO_STRIDE + MACHINE + (index & 3) * MACHINE_STRIDE


@inner
def pio_next(S: State) -> int:
    """Cycle at which a machine executes its next instruction."""
    if S[SEEN] != S[PIN_HISTORY_COUNT]:
        S[SEEN] = S[PIN_HISTORY_COUNT]
        if S[WAITED]:
            look_at_pins(S)
    first = NEVER
    if S[RUNNING]:
        for index in range(2 * MACHINES):
            if S[RUNNING] >> index & 1:
                first = min(first, S[machine_at(index) + NEXT])
    return NEVER if first == NEVER else first >> 8


@inner
def pio_run(S: State, limit: int) -> int:
    """Run up to the cycle `limit`, or to the first change of a request while the DMA is busy; the cycle reached."""
    while True:
        pio_next(S)  # looks at the pins
        first, second, chosen = NEVER, NEVER, 0
        for index in range(2 * MACHINES):
            if S[RUNNING] >> index & 1:
                cycle = S[machine_at(index) + NEXT] >> 8
                if cycle < first:
                    first, second, chosen = cycle, first, index
                elif cycle < second:
                    second = cycle
        if first > limit:
            return limit
        p, m = PIO + (chosen >> 2) * PIO_STRIDE, machine_at(chosen)
        S[WOKEN] = S[REQUESTED] = 0
        while True:
            cycle = S[m + NEXT] >> 8
            if cycle > limit or (cycle >= second and cycle != first):
                break
            pio_step(S, p, chosen & 3)
            if not S[p + ENABLED] >> (chosen & 3) & 1:
                pio_retire(S, p, chosen)
            if S[REQUESTED] and S[BUSY_CHANNELS]:
                return cycle
            if S[WOKEN] or S[SEEN] != S[PIN_HISTORY_COUNT] or not S[RUNNING] >> chosen & 1:
                break


@inner
def pio_retire(S: State, p: int, index: int) -> None:
    """A disabled machine runs only as long as an instruction of SMx_INSTR has to."""
    if not S[p + ENABLED] >> (index & 3) & 1 and not S[machine_at(index) + FORCED]:
        S[RUNNING] &= ~(1 << index)


@inner
def pio_watch(S: State, now: int) -> None:
    """Set PIN_WATCH_PIO: the pins that enabled machines may read."""
    watched = 0
    for index in range(2 * MACHINES):
        if S[RUNNING] >> index & 1:
            p, m = PIO + (index >> 2) * PIO_STRIDE, machine_at(index)
            base = S[m + PINCTRL] >> 15 & 31
            for i in range(32):
                instruction = S[p + MEMORY + i]
                operation, operand = instruction >> 13, instruction & 31
                if operation == 0 and instruction >> 5 & 7 == 6:  # JMP PIN
                    watched |= 1 << (S[m + EXECCTRL] >> 24 & 31)
                elif operation == 1 and instruction >> 5 & 3 == 0:  # WAIT GPIO
                    watched |= 1 << operand
                elif operation == 1 and instruction >> 5 & 3 == 1:  # WAIT PIN
                    watched |= 1 << ((operand + base) & 31)
                elif operation == 2 and instruction >> 5 & 7 == 0:  # IN PINS
                    watched |= rotate((1 << ((operand - 1 & 31) + 1)) - 1, base)
                elif operation == 5 and operand & 7 == 0:  # MOV x, PINS
                    watched |= WORD
    if watched != S[PIN_WATCH_PIO]:
        S[PIN_WATCH_PIO] = watched
        S[EVENT_AT + EVENT_PWM] = now  # PWM edges are planned only for those who look


@inner
def transfers_left(S: State) -> int:
    """Transfers until the first busy DMA channel ends, where the DMA interrupts."""
    left = STEP
    if S[DMA_INTE0] | S[DMA_INTE1]:
        for channel in range(CHANNELS):
            if S[BUSY_CHANNELS] >> channel & 1:
                left = min(left, max(1, S[DMA + channel * CHANNEL_STRIDE + COUNT]))
    return left


@inner
def pio_due(S: State) -> int:
    """Cycle at which the machines must be run: those that run before anything can follow, those that wait never."""
    first = pio_next(S)
    if first == NEVER:
        return NEVER
    if S[STALE]:
        pio_quiet(S)
    step = STEP if S[BUSY_CHANNELS] or S[PIN_WATCH] else LONG_STEP
    edges = S[PIN_INTE] | S[PIN_INTE + 1] | S[PIN_INTE + 2] | S[PIN_INTE + 3] | S[PIN_INTE + 4] | S[PIN_INTE + 5]
    edges |= S[PIN_INTE + 6] | S[PIN_INTE + 7]
    if edges & (S[PIN_FUNCTION + FUNCTION_PIO0] | S[PIN_FUNCTION + FUNCTION_PIO0 + 1]):
        step = EDGE_STEP
    due, left = first + step - 1, transfers_left(S)
    for index in range(2 * MACHINES):
        p, m = PIO + (index >> 2) * PIO_STRIDE, machine_at(index)
        interrupts = S[p + INTE0] | S[p + INTE1]
        if S[RUNNING] >> index & 1 and S[m + NEXT] < NEVER and (interrupts or left < STEP):
            quiet = S[p + QUIET + (index & 3) * INSTRUCTIONS + S[m + PC]] if S[m + EXEC] < 0 else 0
            cycle = (S[m + NEXT] + quiet * S[m + DIVIDER]) >> 8
            due = min(due, cycle if interrupts else cycle + left - 1)
            if interrupts and S[WAITED]:  # what this machine does to pins may wake another
                due = min(due, first + EDGE_STEP - 1)
    return due
