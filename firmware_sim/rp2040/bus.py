"""Loads and stores that are not plain SRAM or flash: aliases, registers, faults, and what each costs.

Costs are those of the whole instruction: 2 cycles for memory and AHB-Lite, 1 for the SIO (single-cycle I/O port), 4 and
5 for reads and writes behind the APB bridge (RP2040 datasheet 2.1.3: 3 and 4 of the bus), 2 for the private
peripheral bus. `core` is the index of the core's slice of the state.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.lazy import advance, is_lazy, lazy_read, lazy_write
from firmware_sim.rp2040.blocks.ppb import ppb_read, ppb_write
from firmware_sim.rp2040.blocks.sio import sio_read, sio_write
from firmware_sim.rp2040.blocks.timer import timer_read, timer_write
from firmware_sim.rp2040.blocks.uart import UARTDR, uart_read, uart_write
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.host_call import HOST_LOOK, HOST_READ, HOST_WRITE, call_host
from firmware_sim.rp2040.indirect import call_separate
from firmware_sim.rp2040.layout import (
    CODE_PAGE_SHIFT,
    DPRAM_OFFSET,
    FAULT_FLASH_WRITE,
    FAULT_ROM_WRITE,
    FAULT_UNALIGNED,
    FAULT_UNMAPPED,
    FLASH_BASE,
    HOST_ADDRESS,
    HOST_EVENT,
    NATIVE_PAGE,
    NEXT_EVENT,
    READ_REGISTER_ADDRESS,
    ROM_SIZE,
    SRAM_OFFSET,
    SRAM_SIZE,
    UART,
    UART_STRIDE,
    USB_LISTENS,
    WORD,
    WRITE_REGISTER_ADDRESS,
    WRITTEN,
    XIP_ALIASES_END,
    Memory,
    State,
)
from firmware_sim.rp2040.memory_map import memory_offset
from firmware_sim.rp2040.native.enter import drop_native

COST_SHIFT = 32
DPRAM_CONTROL = 0x100  # endpoint and buffer control words come first in the USB RAM
COST_MEMORY, COST_SIO, COST_APB_READ, COST_APB_WRITE = 2, 1, 4, 5
UART0_PAGE, UART1_PAGE, TIMER_PAGE = 0x40034, 0x40038, 0x40054  # address >> 12 of the plain alias


@inner
def read_register(S: State, address: int, now: int, look: bool) -> int:
    """Word at an aligned register address of APB or AHB-Lite, through any alias; negative: fault."""
    page = (address >> 12) & ~3  # the atomic aliases read like the plain one
    offset = address & 0xFFF
    value = -1
    if page == UART0_PAGE:
        value = uart_read(S, UART, offset, now, look)
        if offset == UARTDR and not look:
            S[NEXT_EVENT] = now
    elif page == UART1_PAGE:
        value = uart_read(S, UART + UART_STRIDE, offset, now, look)
        if offset == UARTDR and not look:
            S[NEXT_EVENT] = now
    elif page == TIMER_PAGE:
        value = timer_read(S, offset, now, look)
    elif is_lazy(address):
        value = lazy_read(S, address, 1 if look else 0)
    if value < 0:
        return call_host(S[HOST_ADDRESS], HOST_LOOK if look else HOST_READ, (page << 12) | offset, 0, now)
    return value


@inner
def write_register(S: State, address: int, value: int, now: int) -> int:
    """Write a word to a register of APB or AHB-Lite; the alias says plain, XOR, SET or CLR. Negative: fault."""
    page = (address >> 12) & ~3
    offset = address & 0xFFF
    alias = (address >> 12) & 3
    S[WRITTEN] = value
    if alias:
        old = read_register(S, address & ~0x3000, now, True)
        if old < 0:
            return old
        if alias == 1:
            value = old ^ value
        elif alias == 2:
            value = old | value
        else:
            value = old & ~value
    S[NEXT_EVENT] = now
    status = -1
    if page == UART0_PAGE:
        status = uart_write(S, UART, offset, value, now)
    elif page == UART1_PAGE:
        status = uart_write(S, UART + UART_STRIDE, offset, value, now)
    elif page == TIMER_PAGE:
        timer_write(S, offset, value, now)
        status = 0
    elif is_lazy(address):
        status = lazy_write(S, address, value, now)
    if status < 0:
        return call_host(S[HOST_ADDRESS], HOST_WRITE, (page << 12) | offset, value, now)
    return 0


@inner
def lane(value: int, address: int, size: int) -> int:
    """The byte, halfword or word of a register that a narrow load picks."""
    if size == 4:
        return value
    if size == 2:
        return (value >> ((address & 2) * 8)) & 0xFFFF
    return (value >> ((address & 3) * 8)) & 0xFF


@inner
def replicate(value: int, size: int) -> int:
    """Narrow stores appear on every lane of the bus, and registers take all 32 bits (datasheet 2.1.4)."""
    if size == 4:
        return value & WORD
    if size == 2:
        return (value & 0xFFFF) * 0x10001
    return (value & 0xFF) * 0x01010101


@inner
def bus_read(S: State, mem: Memory, core: int, address: int, size: int, now: int) -> int:
    """Load `size` bytes: value | cost << COST_SHIFT, or the negated kind of fault (nothing changed then)."""
    if address & (size - 1):
        return -FAULT_UNALIGNED
    offset = memory_offset(address)
    if offset >= 0:
        if size == 4:
            return mem.words[offset >> 2] | (COST_MEMORY << COST_SHIFT)
        if size == 2:
            return mem.halves[offset >> 1] | (COST_MEMORY << COST_SHIFT)
        return mem.bytes[offset] | (COST_MEMORY << COST_SHIFT)
    cost = COST_MEMORY
    top = address >> 28
    if top == 0xD:
        value = sio_read(S, core, address & 0x0FFFFFFC, now, False)
        cost = COST_SIO
    elif address >> 12 == 0xE000E:
        value = ppb_read(S, core, address & 0xFFC, now)
    elif top in (4, 5) or address >> 26 == 0x14000000 >> 26 or address >> 26 == 0x18000000 >> 26:
        if is_lazy(address):
            advance(S, mem, now)
        value = call_separate(S[READ_REGISTER_ADDRESS], (S, address & ~3, now))
        if top == 4:
            cost = COST_APB_READ
    else:
        return -FAULT_UNMAPPED
    if value < 0:
        return -FAULT_UNMAPPED
    return lane(value, address, size) | (cost << COST_SHIFT)


@inner
def forget_code(mem: Memory, offset: int) -> None:
    """Drop the decoded entries around a store to a page that holds code (BL spans two halfwords), and translations."""
    decoded = mem.decoded
    entry = (offset & ~3) >> 1
    if mem.pages[offset >> CODE_PAGE_SHIFT] & NATIVE_PAGE:
        drop_native(mem, offset & ~3, (offset & ~3) + 4)
    decoded[entry] = 0
    decoded[entry + 1] = 0
    if entry > SRAM_OFFSET >> 1:
        decoded[entry - 1] = 0


@inner
def write_memory(mem: Memory, offset: int, size: int, value: int) -> None:
    """Store to the emulated memory at a checked offset."""
    if size == 4:
        mem.words[offset >> 2] = value & WORD
    elif size == 2:
        mem.halves[offset >> 1] = value & 0xFFFF
    else:
        mem.bytes[offset] = value & 0xFF
    if SRAM_OFFSET <= offset < SRAM_OFFSET + SRAM_SIZE and mem.pages[offset >> CODE_PAGE_SHIFT]:
        forget_code(mem, offset)


@inner
def bus_write(S: State, mem: Memory, core: int, address: int, size: int, value: int, now: int) -> int:
    """Store `size` bytes: the cost, or the negated kind of fault (nothing changed then)."""
    if address & (size - 1):
        return -FAULT_UNALIGNED
    if FLASH_BASE <= address < XIP_ALIASES_END:
        return -FAULT_FLASH_WRITE
    if address < ROM_SIZE:
        return -FAULT_ROM_WRITE
    offset = memory_offset(address)
    if offset >= 0:
        write_memory(mem, offset, size, value)
        if S[USB_LISTENS] and offset >= DPRAM_OFFSET and offset < DPRAM_OFFSET + DPRAM_CONTROL:
            S[HOST_EVENT] = now
            S[NEXT_EVENT] = now
        return COST_MEMORY
    top = address >> 28
    wide = replicate(value, size)
    if top == 0xD:
        return COST_SIO if sio_write(S, core, address & 0x0FFFFFFC, wide, now) >= 0 else -FAULT_UNMAPPED
    if address >> 12 == 0xE000E:
        S[NEXT_EVENT] = now
        return COST_MEMORY if ppb_write(S, core, address & 0xFFC, wide, now) >= 0 else -FAULT_UNMAPPED
    if top in (4, 5) or address >> 26 == 0x14000000 >> 26 or address >> 26 == 0x18000000 >> 26:
        if is_lazy(address):
            advance(S, mem, now)
        if call_separate(S[WRITE_REGISTER_ADDRESS], (S, address & ~3, wide, now)) < 0:
            return -FAULT_UNMAPPED
        return COST_APB_WRITE if top == 4 else COST_MEMORY
    return -FAULT_UNMAPPED
