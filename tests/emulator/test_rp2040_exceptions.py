"""Exceptions at the cycle: entry, late arrival, tail-chaining, NMI, SEVONPEND, SLEEPONEXIT, a vector in flash."""

from __future__ import annotations

import struct

import pytest

from firmware_sim.rp2040 import Board, layout

BASE, CODE, STACK = 0x20000000, 0x20000100, 0x20040000
HANDLER = 0x20000400  # of exception n: HANDLER + 32 * n
BKPT, NOP, WFI, WFE = 0xBE00, 0xBF00, 0xBF30, 0xBF20
SYSTICK, IRQ0 = 15, 16
SHPR3, ICSR, ISER, ISPR, IPR0, SCR = 0xE000ED20, 0xE000ED04, 0xE000E100, 0xE000E200, 0xE000E400, 0xE000ED10
ENTRY, RETURN, TAIL = 15, 11, 6


def board_with(code: list[int], handlers: dict[int, list[int]]) -> Board:
    """Code at CODE; handlers by exception number, each followed by BX LR."""
    memory = bytearray(0x1000)
    struct.pack_into("<2I", memory, 0, STACK, CODE | 1)
    struct.pack_into(f"<{len(code) + 1}H", memory, CODE - BASE, *code, BKPT)
    for number, body in handlers.items():
        struct.pack_into("<I", memory, 4 * number, (HANDLER + 32 * number) | 1)
        struct.pack_into(f"<{len(body) + 1}H", memory, HANDLER - BASE + 32 * number, *body, 0x4770)
    board = Board(native=False)
    board.load(bytes(memory), address=BASE)
    return board


def mark(register: int, value: int) -> list[int]:
    """lsls r, r, #4; adds r, #value"""
    return [0x0100 | register << 3 | register, 0x3000 | register << 8 | value]


def test_an_interrupt_of_higher_priority_that_comes_while_registers_are_stacked_goes_first() -> None:
    handlers = {IRQ0: mark(4, 1), SYSTICK: mark(4, 2)}
    for delay in range(1, 40):
        board = board_with([NOP] * 60, handlers)
        S = board.chip.S
        S[layout.ENABLED] |= 1 << IRQ0
        S[layout.PRIORITY + IRQ0], S[layout.PRIORITY + SYSTICK] = 2, 1
        S[layout.LATCHED] = 1 << IRQ0  # taken at cycle 0
        S[layout.SYST_CSR], S[layout.SYST_RVR], S[layout.SYST_LOADED] = 7, 1000, delay - 1
        S[layout.SYST_EVENT] = delay
        stop = board.run(max_cycles=200)
        assert stop.reason == "bkpt"
        order = board.registers["r4"]
        took_over = delay <= ENTRY - 5
        nested = ENTRY - 5 < delay <= ENTRY
        if delay <= ENTRY:
            assert order == 0x21, delay
        elif delay > ENTRY + 2:
            assert order == 0x12, delay
        # Late arrival: one entry, then tail-chaining. Nested: two entries and two returns.
        if took_over:
            assert stop.cycles == 60 + ENTRY + 2 * 4 + TAIL + RETURN, delay
        elif nested:
            assert stop.cycles == 60 + 2 * ENTRY + 2 * 4 + 2 * RETURN, delay


def test_tail_chaining_saves_stacking() -> None:
    board = board_with([NOP] * 4, {IRQ0: mark(4, 1), IRQ0 + 1: mark(4, 2)})
    S = board.chip.S
    S[layout.ENABLED] |= 3 << IRQ0
    S[layout.LATCHED] = 3 << IRQ0
    stop = board.run(max_cycles=200)
    assert (board.registers["r4"], stop.cycles) == (0x12, 4 + ENTRY + 4 + TAIL + 4 + RETURN)


def test_a_line_can_be_nmi_and_passes_primask() -> None:
    board = board_with([0xB672, *[NOP] * 4], {2: [*mark(4, 7), 0x6029]})  # CPSID; the handler stores r1 at [r5]
    S = board.chip.S
    S[5], S[1] = 0x40058000 + 0x0C, 0  # a register that nobody minds
    S[layout.NMI_MASK] = 1 << 3
    S[layout.LINES] |= 1 << 3
    board.breakpoint(HANDLER + 2 * 32)
    assert board.run(max_cycles=200).reason == "breakpoint"
    assert S[layout.IPSR] == 2
    S[layout.LINES] &= ~(1 << 3)
    assert board.run(max_cycles=200).reason == "bkpt"
    assert board.registers["r4"] == 7


@pytest.mark.parametrize("enabled", [False, True])
def test_wfe_wakes_by_a_pending_interrupt_with_sevonpend_only(enabled: bool) -> None:
    board = board_with([WFE, *mark(4, 3)], {})
    S = board.chip.S
    S[layout.SCR] = 1 << 4 if enabled else 0
    S[layout.SYST_EVENT], S[layout.SYST_CSR], S[layout.SYST_RVR], S[layout.SYST_LOADED] = 100, 7, 5000, 99
    S[layout.PRIMASK] = 1
    stop = board.run(max_cycles=3000)
    assert (stop.reason, board.registers["r4"]) == (("bkpt", 3) if enabled else ("max_cycles", 0))


def test_sleep_on_exit_sleeps_after_the_handler() -> None:
    board = board_with([NOP] * 8, {SYSTICK: mark(4, 1)})
    S = board.chip.S
    S[layout.SCR] = 2
    S[layout.SYST_EVENT], S[layout.SYST_CSR], S[layout.SYST_RVR], S[layout.SYST_LOADED] = 3, 7, 99, 2
    stop = board.run(max_cycles=1000)
    assert (stop.reason, board.registers["r4"] & 0xFFFF) == ("max_cycles", 0x1111)
    assert S[layout.SLEEPING] == layout.SLEEP_WFI


def test_a_vector_in_flash_is_fetched_through_the_cache() -> None:
    board = board_with([NOP] * 4, {SYSTICK: mark(4, 1)})
    table = struct.pack("<16I", *[0] * 15, (HANDLER + 32 * SYSTICK) | 1)
    board.write_memory(0x10000100, table)
    S = board.chip.S
    S[layout.VTOR] = 0x10000100
    S[layout.LATCHED] = 1 << SYSTICK
    line = int(S[layout.XIP_LINE_CYCLES])
    stop = board.run(max_cycles=500)
    assert stop.cycles == 4 + ENTRY + line + 4 + RETURN
    assert line == 64


def vectors_in_flash(board: Board, *numbers: int) -> None:
    """A vector table at 0x10000100 with the handlers in SRAM, used from now on."""
    table = [0] * 48
    for number in numbers:
        table[number] = (HANDLER + 32 * number) | 1
    board.write_memory(0x10000100, struct.pack("<48I", *table))
    board.chip.S[layout.VTOR] = 0x10000100


def test_tail_chaining_fetches_a_vector_in_flash_through_the_cache() -> None:
    board = board_with([NOP] * 4, {IRQ0: mark(4, 1), IRQ0 + 1: mark(4, 2), IRQ0 + 2: mark(4, 3)})
    vectors_in_flash(board, IRQ0, IRQ0 + 1, IRQ0 + 2)
    S = board.chip.S
    S[layout.ENABLED] |= 7 << IRQ0
    S[layout.LATCHED] = 7 << IRQ0
    line = int(S[layout.XIP_LINE_CYCLES])
    stop = board.run(max_cycles=500)
    assert board.registers["r4"] == 0x123
    assert stop.cycles == 4 + ENTRY + line + 4 + TAIL + 4 + TAIL + line + 4 + RETURN  # two vectors a line
    assert (S[layout.XIP_ACCESSES], S[layout.XIP_HITS]) == (3, 1)


@pytest.mark.parametrize("cached", [False, True])
def test_a_vector_in_flash_that_cannot_be_read(cached: bool) -> None:
    board = board_with([0x6801, NOP, NOP], {IRQ0: mark(4, 1), 3: mark(4, 2)})  # ldr r1, [r0]
    vectors_in_flash(board, 3, IRQ0)
    S = board.chip.S
    S[0] = 0x10000100 + 4 * IRQ0
    if cached:
        board.step()
        S[0] = BASE
    S[layout.XIP_OFF] = 1
    S[layout.ENABLED] |= 1 << IRQ0
    S[layout.LATCHED] = 1 << IRQ0
    stop = board.run(max_cycles=500)
    if cached:
        assert (stop.reason, stop.fault, board.registers["r4"]) == ("bkpt", None, 1)
    else:
        assert stop.reason == "lockup"  # HardFault's vector cannot be read either
        assert stop.fault is not None
        assert stop.fault.kind == "exception without a usable handler"
        assert stop.fault.address == 0x10000100 + 4 * IRQ0
        assert board.registers["r4"] == 0


def test_a_return_to_arm_state_faults_where_it_returns_to() -> None:
    # The handler clears T in the stacked xPSR: movs r5, #0; str r5, [sp, #28].
    board = board_with([NOP] * 4, {IRQ0: [0x2500, 0x9507], 3: [*mark(4, 2), BKPT]})
    S = board.chip.S
    S[layout.ENABLED] |= 1 << IRQ0
    S[layout.LATCHED] = 1 << IRQ0
    stop = board.run(max_cycles=500)
    assert (stop.reason, board.registers["r4"]) == ("bkpt", 2)
    assert stop.fault is not None
    assert (stop.fault.kind, stop.fault.pc, stop.fault.handled) == ("branch to a non-Thumb address", CODE, True)
    assert struct.unpack("<8I", board.read_memory(board.registers["sp"], 32))[6] == CODE
    assert S[layout.IPSR] == 3


def test_push_to_a_register_acts_before_the_next_instruction_as_str_does() -> None:
    trigger = 0x40058000  # WATCHDOG.CTRL, bit 31
    counts = []
    for code, base in (([0x6008], 1), ([0xC101], 1), ([0xB401], 13)):  # str r0, [r1]; stmia r1!, {r0}; push {r0}
        board = board_with([*code, *[0x3401] * 20], {})
        S = board.chip.S
        S[0], S[base] = 1 << 31, trigger + (4 if base == 13 else 0)
        assert board.run(max_cycles=1000).reason == "reset"
        counts.append((board.registers["r4"], board.cycles))
    assert counts == [counts[0]] * 3


@pytest.mark.parametrize("irq", [26, 31])
def test_interrupts_without_a_line_are_raised_by_software(irq: int) -> None:
    """pico-sdk gives them to libraries (user_irq_claim_unused), among them its USB console."""
    number = IRQ0 + irq
    # str r1, [r0] to ISER; str r1, [r2] to ISPR; ldr r6, [r3] from IPR6 or IPR7, behind the handler
    board = board_with([0x6001, 0x6011, NOP, 0x681E], {number: mark(4, 5)})
    S = board.chip.S
    S[0], S[1], S[2], S[3] = ISER, 1 << irq, ISPR, IPR0 + irq // 4 * 4
    S[layout.PRIORITY + number] = 3
    stop = board.run(max_cycles=200)
    assert (stop.reason, stop.r3, board.registers["r4"]) == ("bkpt", IPR0 + irq // 4 * 4, 5)
    assert board.registers["r6"] == 0xC0 << 8 * (irq % 4)
    assert S[layout.LATCHED] >> number & 1 == 0
