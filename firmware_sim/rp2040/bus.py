"""Loads and stores that are not plain SRAM or flash: aliases, registers, faults, and what each costs.

Costs are those of the whole instruction: 2 cycles for memory and AHB-Lite, 1 for the SIO (single-cycle I/O port), 4 and
5 for reads and writes behind the APB bridge (RP2040 datasheet 2.1.3: 3 and 4 of the bus), 2 for the private
peripheral bus. `core` is the index of the core's slice of the state.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.lazy import advance, is_gpio, is_lazy
from firmware_sim.rp2040.blocks.ppb import ppb_read, ppb_write
from firmware_sim.rp2040.blocks.sio import sio_read, sio_write
from firmware_sim.rp2040.blocks.xip import drop_line, xip_wait
from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.far import call_address, longs_at, memory_of
from firmware_sim.rp2040.host_call import HOST_LOOK, HOST_READ, HOST_WRITE, call_host
from firmware_sim.rp2040.layout import (
    ACCESS_CORE,
    BUS_STALL,
    CODE_PAGE_SHIFT,
    COST_SHIFT,
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
    ROM_SIZE,
    SRAM_OFFSET,
    SRAM_SIZE,
    STATE_AT,
    STATE_WORDS,
    UNIT_READ,
    UNIT_WRITE,
    USB_LISTENS,
    WORD,
    WRITTEN,
    XIP_ALIASES_END,
    XIP_CTRL,
    XIP_EN,
    XIP_ERR_BADWRITE,
    XIP_POWER_DOWN,
    XIP_SRAM_BASE,
    XIP_SRAM_SIZE,
    Memory,
    State,
)
from firmware_sim.rp2040.memory_map import memory_offset
from firmware_sim.rp2040.native.enter import drop_native

DPRAM_CONTROL = 0x100  # endpoint and buffer control words come first in the USB RAM
NO_UNIT = 50  # its words of UNIT_READ and UNIT_WRITE stay 0
COST_MEMORY, COST_SIO, COST_APB_READ, COST_APB_WRITE = 2, 1, 4, 5


@inner
def has_registers(address: int) -> bool:
    """Whether registers that DMA and cores share may be there: APB, AHB-Lite, and the windows of XIP_CTRL, XIP_SSI."""
    return address >> 29 == 2 or address >> 14 == 0x14000000 >> 14 or address >> 14 == 0x18000000 >> 14


@inner
def unit_index(address: int) -> int:
    """Place of an address in S[UNIT_READ] and S[UNIT_WRITE]: 32 APB blocks, 16 of AHB-Lite, XIP_CTRL, XIP_SSI.

    Blocks have 16 KB; nothing repeats behind them.
    """
    if address >> 19 == 0x40000000 >> 19:
        return (address >> 14) & 31
    if address >> 24 == 0x50 and address & 0xFC000 == 0:
        return 32 + ((address >> 20) & 15)
    return NO_UNIT if address >> 29 == 2 else 48 + ((address >> 27) & 1)


@inner
def xip_sram_closed(S: State, address: int) -> bool:
    """Whether an address belongs to the cache's memory while that serves as the cache, or has no power."""
    return XIP_SRAM_BASE <= address < XIP_SRAM_BASE + XIP_SRAM_SIZE and S[XIP_CTRL] & (XIP_EN | XIP_POWER_DOWN) != 0


@inner
def read_register(S: State, address: int, now: int, look: bool) -> int:
    """Word at an aligned register address of APB or AHB-Lite, through any alias; negative: fault."""
    plain = address & ~0x3000  # the atomic aliases read like the plain one
    unit = S[UNIT_READ + unit_index(address)]
    value = -1
    if unit:
        value = call_address(unit, S[STATE_AT], plain, look, now, 0)
    if value < 0:
        return call_host(S[HOST_ADDRESS], HOST_LOOK if look else HOST_READ, plain, 0, now)
    return value


@inner
def write_register(S: State, address: int, value: int, now: int) -> int:
    """Write a word to a register of APB or AHB-Lite; the alias says plain, XOR, SET or CLR. Negative: fault."""
    plain = address & ~0x3000
    alias = (address >> 12) & 3
    S[WRITTEN] = value
    if alias:
        old = read_register(S, plain, now, True)
        if old < 0:
            return old
        if alias == 1:
            value = old ^ value
        elif alias == 2:
            value = old | value
        else:
            value = old & ~value
    S[NEXT_EVENT] = now
    unit = S[UNIT_WRITE + unit_index(address)]
    if unit and call_address(unit, S[STATE_AT], plain, value, now, 0) >= 0:
        return 0
    return call_host(S[HOST_ADDRESS], HOST_WRITE, plain, value, now)


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
    cost = COST_MEMORY
    if FLASH_BASE <= address < XIP_ALIASES_END:
        wait = xip_wait(S, address, now)
        if wait < 0:
            return wait
        cost += wait
    if xip_sram_closed(S, address):
        return -FAULT_UNMAPPED
    if offset >= 0:
        if size == 4:
            return mem.words[offset >> 2] | (cost << COST_SHIFT)
        if size == 2:
            return mem.halves[offset >> 1] | (cost << COST_SHIFT)
        return mem.bytes[offset] | (cost << COST_SHIFT)
    top = address >> 28
    if top == 0xD:
        if is_gpio(address):
            advance(S, now)
        value = sio_read(S, core, address & 0x0FFFFFFC, now, False)
        cost = COST_SIO
    elif address >> 12 == 0xE000E:
        value = ppb_read(S, core, address & 0xFFC, now)
    elif has_registers(address):
        if is_lazy(address):
            advance(S, now)
        S[ACCESS_CORE] = core
        value = read_register(S, address & ~3, now, False)
        if top == 4:
            cost = COST_APB_READ
    else:
        return -FAULT_UNMAPPED
    if value < 0:
        return -FAULT_UNMAPPED
    if S[BUS_STALL]:
        cost += S[BUS_STALL]
        S[BUS_STALL] = 0
    return lane(value, address, size) | (cost << COST_SHIFT)


@inner
def forget_code(mem: Memory, offset: int) -> None:
    """Drop the decoded entries around a store to a page that holds code (BL spans two halfwords), and translations."""
    entry = (offset & ~3) >> 1
    if mem.pages[offset >> CODE_PAGE_SHIFT] & NATIVE_PAGE:
        drop_native(mem, offset & ~3, (offset & ~3) + 4)
    mem.decoded[entry] = 0
    mem.decoded[entry + 1] = 0
    if entry > SRAM_OFFSET >> 1:
        mem.decoded[entry - 1] = 0


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
        if S[XIP_CTRL] & XIP_ERR_BADWRITE:
            return -FAULT_FLASH_WRITE
        if address >> 24 == FLASH_BASE >> 24:
            drop_line(S, address)
        return COST_MEMORY
    if xip_sram_closed(S, address):
        return -FAULT_UNMAPPED
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
        if is_gpio(address):
            advance(S, now)
        return COST_SIO if sio_write(S, core, address & 0x0FFFFFFC, wide, now) >= 0 else -FAULT_UNMAPPED
    if address >> 12 == 0xE000E:
        S[NEXT_EVENT] = now
        return COST_MEMORY if ppb_write(S, core, address & 0xFFC, wide, now) >= 0 else -FAULT_UNMAPPED
    if has_registers(address):
        if is_lazy(address):
            advance(S, now)
        S[ACCESS_CORE] = core
        if write_register(S, address & ~3, wide, now) < 0:
            return -FAULT_UNMAPPED
        return COST_APB_WRITE if top == 4 else COST_MEMORY
    return -FAULT_UNMAPPED


@far
def far_read(state: int, core: int, address: int, size: int, now: int) -> int:
    """As bus_read."""
    S = longs_at(state, STATE_WORDS)
    return bus_read(S, memory_of(S), core, address, size, now)


@far
def far_write(state: int, core: int, address: int, value_and_size: int, now: int) -> int:
    """As bus_write; value << 3 | size in one word."""
    S = longs_at(state, STATE_WORDS)
    return bus_write(S, memory_of(S), core, address, value_and_size & 7, value_and_size >> 3, now)


@far
def far_read_register(state: int, address: int, now: int, _c: int, _d: int) -> int:
    """As read_register."""
    return read_register(longs_at(state, STATE_WORDS), address, now, False)


@far
def far_write_register(state: int, address: int, value: int, now: int, _d: int) -> int:
    """As write_register."""
    return write_register(longs_at(state, STATE_WORDS), address, value, now)
