"""Late arrival at the cycle, whatever raises the interrupt and whatever the other core does; pulses are latched."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import pytest

from firmware_sim.rp2040 import Board, layout
from firmware_sim.rp2040.core import WARM_UP

BASE, STACK, HANDLER = 0x20000000, 0x20020000, 0x20000400  # of exception n: HANDLER + 32 * n
CODE0, CODE1 = 0x20040000, 0x20041000  # in the two small banks: no core waits for the other
NOP, BKPT, BX_LR, LOOP = 0xBF00, 0xBE00, 0x4770, 0xE7FE
LDR_R3_R6, STR_R1_R0, STR_R7_R5 = 0x6833, 0x6001, 0x602F
PENDSV, SYSTICK, TIMER0, FIFO0 = 14, 15, 16, 31
ICSR, ICPR, SIO_FIFO_WR, SIO_FIFO_RD = 0xE000ED04, 0xE000E280, 0xD0000054, 0xD0000058
TIMER_INTR, TIMER_INTF, TIMER_INTF_CLR = 0x40054034, 0x4005403C, 0x4005703C
ENTRY, VECTOR, RETURN, TAIL = 15, 5, 11, 6
NOPS = 60


def mark(value: int) -> list[int]:
    """lsls r4, r4, #4; adds r4, #value"""
    return [0x0124, 0x3400 | value]


def two_cores(code0: list[int], code1: list[int], handlers: dict[int, list[int]], *, fast: bool = False) -> Board:
    """Core 0 runs `code0` and a BKPT, core 1 `code1` and an endless loop; handlers by number, each with BX LR."""
    memory = bytearray(0x1000)
    struct.pack_into("<2I", memory, 0, STACK, BASE + 0x101)
    for number, body in handlers.items():
        struct.pack_into("<I", memory, 4 * number, (HANDLER + 32 * number) | 1)
        struct.pack_into(f"<{len(body) + 1}H", memory, HANDLER - BASE + 32 * number, *body, BX_LR)
    board = Board(native=False, fast=fast)
    board.load(bytes(memory), address=BASE)
    for at, code in ((CODE0, [*code0, BKPT]), (CODE1, [*code1, LOOP])):
        board.write_memory(at, struct.pack(f"<{len(code)}H", *code))
    S, core1 = board.chip.S, layout.CORE_STRIDE
    S[layout.PC], S[core1 + layout.PC], S[core1 + layout.SLEEPING] = CODE0, CODE1, 0
    S[core1 + layout.SP], S[core1 + layout.VTOR], S[core1 + 4] = STACK - 0x1000, BASE, 0
    S[layout.FIFO] = S[layout.OWN_LINES] = S[layout.LATCHED] = 0  # the boot ROM of core 1 had sent a 0
    S[layout.FAST_SINCE] = -WARM_UP - 1
    board.chip.resets.release("TIMER")
    return board


def outcome(board: Board) -> tuple[int, int]:
    """Marks of the handlers in their order, and cycles of core 0 until its BKPT."""
    assert board.run(max_cycles=1000).reason == "bkpt"
    assert board.chip.S[layout.FAST_STALLS] == 0
    return board.registers["r4"], int(board.chip.S[layout.CYCLES])


def by_systick(board: Board, cycle: int) -> None:
    S = board.chip.S
    S[layout.SYST_CSR], S[layout.SYST_RVR], S[layout.SYST_LOADED], S[layout.SYST_EVENT] = 7, 5000, cycle - 1, cycle


def by_timer(board: Board, cycle: int) -> None:
    S = board.chip.S
    S[layout.TIMER_ARMED] = S[layout.TIMER_INTE] = 1
    S[layout.TIMER_EVENT] = S[layout.EVENT_AT + layout.EVENT_TIMER] = cycle


class Source(NamedTuple):
    """What raises the urgent interrupt."""

    number: int
    prepare: Callable[[Board, int], None] | None  # None: core 1 does it, by a store
    clears: list[int]  # what its handler does first
    clearing: int  # cycles of that


SOURCES = {
    "SysTick": Source(SYSTICK, by_systick, [], 0),
    "alarm of the TIMER": Source(TIMER0, by_timer, [STR_R7_R5], 5),
    "word from the other core": Source(FIFO0, None, [LDR_R3_R6], 1),
}
Fast = pytest.mark.parametrize("fast", [False, True])


@Fast
@pytest.mark.parametrize("awake", [True, False])
@pytest.mark.parametrize("name", SOURCES)
def test_the_more_urgent_takes_the_entry_over(name: str, awake: bool, fast: bool) -> None:
    """Core 0 makes PendSV pending at once; the urgent interrupt comes `delay` cycles after the start."""
    source = SOURCES[name]
    if source.prepare is None and not awake:
        pytest.skip("core 1 raises it")
    begins = 2  # behind the store to ICSR
    for delay in range(1, 40):
        sends = [] if source.prepare else [*[NOP] * delay, STR_R1_R0]
        handlers = {PENDSV: mark(1), source.number: [*source.clears, *mark(2)]}
        board = two_cores([STR_R1_R0, *[NOP] * NOPS], sends, handlers, fast=fast)
        S, core1 = board.chip.S, layout.CORE_STRIDE
        S[0], S[1], S[5], S[6], S[7] = ICSR, 1 << 28, TIMER_INTR, SIO_FIFO_RD, 1
        S[core1 + 0], S[core1 + 1] = SIO_FIFO_WR, 7
        S[layout.PRIORITY + PENDSV] = 3
        S[layout.ENABLED] |= 1 << source.number
        if not awake:
            S[core1 + layout.SLEEPING] = layout.SLEEP_WFE
        if source.prepare:
            source.prepare(board, delay)
        handled = 2 * (2 + 2) + source.clearing
        comes = delay if source.prepare else delay + 1  # a store to the SIO is done one cycle after it began
        order, cycles = outcome(board)
        if comes <= begins + ENTRY - VECTOR:  # one entry, then tail-chaining
            assert (order, cycles) == (0x21, begins + NOPS + handled + ENTRY + TAIL + RETURN), delay
        elif comes <= begins + ENTRY - (source.prepare is None):  # nested before the first instruction
            assert (order, cycles) == (0x21, begins + NOPS + handled + 2 * ENTRY + 2 * RETURN), delay
        elif comes > begins + ENTRY + 2:
            assert order == 0x12, delay


@Fast
def test_supervisor_call_gives_way_to_what_comes_while_it_stacks(fast: bool) -> None:
    for delay in range(1, 20):
        board = two_cores([0xDF00, *[NOP] * NOPS], [], {11: mark(1), SYSTICK: mark(2)}, fast=fast)  # svc #0
        S = board.chip.S
        S[layout.PRIORITY + 11], S[layout.PRIORITY + SYSTICK] = 2, 1
        by_systick(board, delay)
        order, cycles = outcome(board)
        assert order == 0x21 if delay <= ENTRY else 0x12, delay
        if delay <= ENTRY - VECTOR:
            assert cycles == NOPS + 2 * 4 + ENTRY + TAIL + RETURN, delay


def test_both_cores_enter_at_once() -> None:
    """SysTick of both in the same cycle, an alarm for both that comes late: each core takes it first."""
    handlers = {SYSTICK: mark(1), TIMER0: [*mark(2), STR_R7_R5]}
    board = two_cores([NOP] * NOPS, [NOP] * NOPS, handlers)
    S, core1 = board.chip.S, layout.CORE_STRIDE
    for core in (0, core1):
        S[core + layout.SYST_CSR], S[core + layout.SYST_RVR], S[core + layout.SYST_LOADED] = 7, 5000, 9
        S[core + layout.SYST_EVENT] = 10
        S[core + layout.PRIORITY + SYSTICK] = 3
        S[core + layout.ENABLED] |= 1 << TIMER0
        S[core + 5], S[core + 7] = TIMER_INTR, 1
    by_timer(board, 15)
    board.run(max_cycles=300)
    assert (int(S[4]), int(S[core1 + 4])) == (0x21, 0x21)


def test_where_a_run_is_interrupted_changes_nothing() -> None:
    ends = []
    for step in (1, 3, 1000):
        board = two_cores([STR_R1_R0, *[NOP] * NOPS], [NOP] * NOPS, {PENDSV: mark(1), SYSTICK: mark(2)})
        S = board.chip.S
        S[0], S[1], S[layout.PRIORITY + PENDSV] = ICSR, 1 << 28, 3
        by_systick(board, 9)
        while board.run(max_cycles=step).reason == "max_cycles":
            pass
        ends.append([int(S[core + word]) for core in (0, layout.CORE_STRIDE) for word in (4, 15, 24, 25)])
    assert ends[0] == ends[1] == ends[2]
    assert ends[0][0] == 0x21


def test_a_pulse_stays_pending_until_it_is_entered() -> None:
    """TIMER.INTF set and cleared while PRIMASK masks: the line falls, the interrupt is taken after CPSIE."""
    pulse = [0xB672, STR_R1_R0, 0x6011, NOP, NOP, 0xB662, NOP, NOP]  # cpsid i; str r1, [r0]; str r1, [r2]; ...; cpsie i
    for clear, taken in ((False, 1), (True, 0)):
        code = [*pulse[:4], 0x601D if clear else NOP, *pulse[4:]]  # str r5, [r3] to NVIC_ICPR
        board = two_cores(code, [], {TIMER0: mark(1)})
        S = board.chip.S
        S[0], S[1], S[2], S[3], S[5] = TIMER_INTF, 1, TIMER_INTF_CLR, ICPR, 1
        S[layout.ENABLED] |= 1 << TIMER0
        assert outcome(board)[0] == taken
        assert S[layout.LINES] & 1 == 0


def test_a_pulse_during_the_handler_runs_it_again() -> None:
    """The handler lowers the line, raises and lowers it once more the first time: pending and active."""
    # The handler: lsls r4; adds r4, #1; str r1, [r2]; cmp r4, #1; bne out; str r1, [r0]; str r1, [r2]; out: bx lr
    handler = [*mark(1), 0x6011, 0x2C01, 0xD101, STR_R1_R0, 0x6011]
    board = two_cores([STR_R1_R0, *[NOP] * 20], [], {TIMER0: handler})
    S = board.chip.S
    S[0], S[1], S[2] = TIMER_INTF, 1, TIMER_INTF_CLR
    S[layout.ENABLED] |= 1 << TIMER0
    assert outcome(board)[0] == 0x11


def test_a_line_that_stays_high_runs_the_handler_again_and_outlives_icpr() -> None:
    # The handler counts and lowers the line at the third run.
    handler = [0x3401, 0x2C03, 0xD100, 0x6011]  # adds r4, #1; cmp r4, #3; bne out; str r1, [r2]; out:
    board = two_cores([0xB672, STR_R1_R0, 0x601D, 0x681E, 0xB662, *[NOP] * 20], [], {TIMER0: handler})
    S = board.chip.S  # cpsid; set INTF; str r5, [r3] to ICPR; ldr r6, [r3]; cpsie
    S[0], S[1], S[2], S[3], S[5] = TIMER_INTF, 1, TIMER_INTF_CLR, ICPR, 1
    S[layout.ENABLED] |= 1 << TIMER0
    order, _ = outcome(board)
    assert (order, board.registers["r6"]) == (3, 1)


def test_a_line_that_is_high_at_the_return_stays_pending_though_it_falls() -> None:
    """The handler masks interrupts and returns with its line high; then the line falls, and CPSIE."""
    handler = [*mark(1), 0x6011, 0xB672, STR_R1_R0]  # str r1, [r2]; cpsid i; str r1, [r0]: rises while it is active
    board = two_cores([STR_R1_R0, NOP, 0x6011, NOP, 0xB662, *[NOP] * 20], [], {TIMER0: handler})
    S = board.chip.S
    S[0], S[1], S[2] = TIMER_INTF, 1, TIMER_INTF_CLR
    S[layout.ENABLED] |= 1 << TIMER0
    board.run(max_cycles=150)
    assert int(S[4]) & 0xFF == 0x11
