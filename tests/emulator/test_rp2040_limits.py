"""Where numbers and windows end: long runs, addresses behind a block, clocks that stand still."""

from __future__ import annotations

import pytest
from register_scene import FAR, WORD, Registers

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.blocks.dma_layout import COUNT

TIMER, WATCHDOG, DMA, UART0, PIO0 = 0x40054000, 0x40058000, 0x50000000, 0x40034000, 0x50200000
TICK = WATCHDOG + 0x2C
TIMERAWH, TIMERAWL, ALARM0 = TIMER + 0x24, TIMER + 0x28, TIMER + 0x10
SYST_CSR, SYST_RVR, SYST_CVR = 0xE000E010, 0xE000E014, 0xE000E018
XIP_CTRL, XIP_SRAM = 0x14000000, 0x15000000


def faults(registers: Registers, address: int, value: int | None = None) -> bool:
    """Whether a load, or a store of `value`, faults."""
    S = registers.S
    if value is None:
        function = FAR(int(S[layout.FAR_READ]))
        return bool(function(int(S[layout.STATE_AT]), 0, address, 4, registers.now) < 0)
    function = FAR(int(S[layout.FAR_WRITE]))
    return bool(function(int(S[layout.STATE_AT]), 0, address, value << 3 | 4, registers.now) < 0)


@pytest.mark.parametrize("cycle", [10**12, 9_300_000_000_000, 10**14, 3 * 10**16])
def test_the_timer_counts_for_centuries(cycle: int) -> None:
    """Products of cycles and Hz leave 64 bits after 20 hours at 125 MHz."""
    registers = Registers()
    S = registers.S
    registers.now = cycle
    us = registers.read(TIMERAWH) << 32 | registers.read(TIMERAWL)
    scaled = (cycle - int(S[layout.TIMER_BASE_CYCLE])) * 1_000_000 + int(S[layout.TIMER_PHASE])
    assert us == int(S[layout.TIMER_BASE_US]) + scaled // 6_500_000
    registers.write(ALARM0, us + 1000 & WORD)
    due = int(S[layout.TIMER_EVENT])
    assert 0 < due - cycle - 999 * 6.5 <= 7
    registers.now = due - 1
    assert registers.read(TIMERAWL) == us + 999 & WORD
    registers.now = due
    assert registers.read(TIMERAWL) == us + 1000 & WORD


def test_a_pacing_timer_of_the_dma_keeps_its_rate_for_days() -> None:
    registers = Registers()
    registers.write(DMA + 0x420, 10_000 << 16 | 50_000)  # a request every five cycles
    registers.until(2 * 10**15)
    for offset, value in ((0, 0x20000000), (4, 0x20010000), (8, 10), (12, 0x3B << 15 | 1)):
        registers.write(DMA + offset, value)
    registers.until(registers.now + 25)
    assert 4 <= registers.S[layout.DMA + COUNT] <= 7
    registers.until(registers.now + 40)
    assert registers.S[layout.DMA + COUNT] == 0


@pytest.mark.parametrize("address", [0x15004000, 0x16000000, 0x17FFFFFC, 0x14004000, 0x1BFFFFFC, 0x18004000])
def test_nothing_repeats_behind_the_flash_interfaces(address: int) -> None:
    registers = Registers()
    assert faults(registers, address)
    assert faults(registers, address, 0)
    assert registers.read(XIP_CTRL) & layout.XIP_EN


@pytest.mark.parametrize("block", [UART0, TIMER, DMA, PIO0])
def test_nothing_repeats_behind_the_peripherals(block: int) -> None:
    registers = Registers()
    for address in (block + 0x80000, block + 0x4000000, 0x50004000, 0x51000000):
        assert faults(registers, address)
        assert faults(registers, address, 1)


def test_the_dma_finds_the_memory_of_the_cache_closed_as_the_cores_do() -> None:
    for on in (1, 0):
        registers = Registers()
        registers.write(XIP_CTRL, on)
        assert faults(registers, XIP_SRAM) == faults(registers, XIP_SRAM, 1) == bool(on)
        for source, target, error in ((XIP_SRAM, 0x20010000, 1 << 30), (0x20010000, XIP_SRAM, 1 << 29)):
            for offset, value in ((0, source), (4, target), (8, 1), (12, 0x3F << 15 | 2 << 2 | 1)):
                registers.write(DMA + offset, value)
            registers.until(registers.now + 50)
            assert bool(registers.read(DMA + 12) & error) == bool(on), (on, source)
            registers.write(DMA + 12, 3 << 29)


def test_systick_stands_still_without_the_tick_that_it_counts() -> None:
    registers = Registers()
    registers.write(TICK, 0x200 | 6)  # 1 MHz from the ring oscillator's 6.5: a count every six cycles
    registers.write(SYST_RVR, 1000)
    registers.write(SYST_CVR, 0)
    registers.write(SYST_CSR, 1)
    registers.now += 600
    before = registers.read(SYST_CVR)
    assert 890 <= before <= 910
    registers.write(TICK, 6)
    assert registers.S[layout.SYST_EVENT] == layout.NEVER
    registers.now += 600_000
    assert registers.read(SYST_CVR) == before
    registers.write(TICK, 0x200 | 6)
    registers.now += 600
    assert before - 101 <= registers.read(SYST_CVR) <= before - 99
    registers.write(TICK, 6)
    registers.write(SYST_CSR, 5)  # the processor's clock needs no tick
    registers.now += 100
    assert registers.read(SYST_CVR) < before - 150


def test_a_tick_of_no_cycles_is_told() -> None:
    registers = Registers()
    board = registers.board
    registers.write(TICK, 0x200 | 12)
    registers.write(WATCHDOG + 4, 1000)
    assert not any("TICK" in line for line in board.warnings)
    registers.write(TICK, 0x200)
    registers.write(WATCHDOG + 4, 1000)
    assert sum("WATCHDOG.TICK.CYCLES is 0" in line for line in board.warnings) == 1


def test_a_reserved_register_of_the_pio_is_told() -> None:
    registers = Registers()
    assert registers.read(PIO0 + 0x200) == 0
    registers.write(PIO0 + 0x204, 1)
    told = [line.split(" (")[0] for line in registers.board.warnings]
    assert told == ["PIO0+0x200 is not modelled", "PIO0+0x204 is not modelled"]
