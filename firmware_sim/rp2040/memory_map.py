"""The memory map as a table, and the way from an address to the emulated memory. RP2040 datasheet 2.2."""

from __future__ import annotations

from typing import NamedTuple

from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import (
    DPRAM_BASE,
    DPRAM_OFFSET,
    DPRAM_SIZE,
    FLASH_BASE,
    FLASH_OFFSET,
    FLASH_SIZE,
    ROM_OFFSET,
    ROM_SIZE,
    SRAM_BASE,
    SRAM_OFFSET,
    SRAM_SIZE,
    SRAM_STRIPED_SIZE,
    SRAM_UNSTRIPED_BASE,
    XIP_ALIASES_END,
    XIP_SRAM_BASE,
    XIP_SRAM_OFFSET,
    XIP_SRAM_SIZE,
)


class Block(NamedTuple):
    """A 16 KB (APB) or larger (AHB-Lite) window of registers."""

    base: int
    size: int
    name: str


# Everything with registers. Which of them compiled code serves and which Python does: units.py and chip.py.
BLOCKS = (
    Block(0x14000000, 0x4000, "XIP_CTRL"),
    Block(0x18000000, 0x4000, "XIP_SSI"),
    Block(0x40000000, 0x4000, "SYSINFO"),
    Block(0x40004000, 0x4000, "SYSCFG"),
    Block(0x40008000, 0x4000, "CLOCKS"),
    Block(0x4000C000, 0x4000, "RESETS"),
    Block(0x40010000, 0x4000, "PSM"),
    Block(0x40014000, 0x4000, "IO_BANK0"),
    Block(0x40018000, 0x4000, "IO_QSPI"),
    Block(0x4001C000, 0x4000, "PADS_BANK0"),
    Block(0x40020000, 0x4000, "PADS_QSPI"),
    Block(0x40024000, 0x4000, "XOSC"),
    Block(0x40028000, 0x4000, "PLL_SYS"),
    Block(0x4002C000, 0x4000, "PLL_USB"),
    Block(0x40030000, 0x4000, "BUSCTRL"),
    Block(0x40034000, 0x4000, "UART0"),
    Block(0x40038000, 0x4000, "UART1"),
    Block(0x4003C000, 0x4000, "SPI0"),
    Block(0x40040000, 0x4000, "SPI1"),
    Block(0x40044000, 0x4000, "I2C0"),
    Block(0x40048000, 0x4000, "I2C1"),
    Block(0x4004C000, 0x4000, "ADC"),
    Block(0x40050000, 0x4000, "PWM"),
    Block(0x40054000, 0x4000, "TIMER"),
    Block(0x40058000, 0x4000, "WATCHDOG"),
    Block(0x4005C000, 0x4000, "RTC"),
    Block(0x40060000, 0x4000, "ROSC"),
    Block(0x40064000, 0x4000, "VREG_AND_CHIP_RESET"),
    Block(0x4006C000, 0x4000, "TBMAN"),
    Block(0x50000000, 0x4000, "DMA"),
    Block(0x50110000, 0x4000, "USBCTRL_REGS"),
    Block(0x50200000, 0x4000, "PIO0"),
    Block(0x50300000, 0x4000, "PIO1"),
    Block(0x50400000, 0x4000, "XIP_AUX"),
)


def block_at(address: int) -> Block | None:
    """The register block that an address belongs to."""
    for block in BLOCKS:
        if block.base <= address < block.base + block.size:
            return block
    return None


@inner
def memory_offset(address: int) -> int:
    """Offset in the emulated memory of a readable address, any alias; -1 when no memory is there."""
    if SRAM_BASE <= address < SRAM_BASE + SRAM_SIZE:
        return address - SRAM_BASE + SRAM_OFFSET
    if FLASH_BASE <= address < XIP_ALIASES_END:  # four aliases; the 2 MB repeat through each 16 MB
        return (address & (FLASH_SIZE - 1)) + FLASH_OFFSET
    if address < ROM_SIZE:
        return address + ROM_OFFSET
    if SRAM_UNSTRIPED_BASE <= address < SRAM_UNSTRIPED_BASE + SRAM_STRIPED_SIZE:
        inside = address - SRAM_UNSTRIPED_BASE  # word i of bank b is the striped word 4 * i + b
        return SRAM_OFFSET + ((inside & 0xFFFC) << 2) + ((inside >> 16) << 2) + (inside & 3)
    if XIP_SRAM_BASE <= address < XIP_SRAM_BASE + XIP_SRAM_SIZE:
        return address - XIP_SRAM_BASE + XIP_SRAM_OFFSET
    if DPRAM_BASE <= address < DPRAM_BASE + DPRAM_SIZE:
        return address - DPRAM_BASE + DPRAM_OFFSET
    return -1


def locate(address: int, size: int) -> slice | list[int] | None:
    """Where [address, address + size) is in the emulated memory, for Python; None when not all of it is there."""
    plain = memory_offset
    if size and plain(address) >= 0 and plain(address + size - 1) == plain(address) + size - 1:
        return slice(plain(address), plain(address) + size)
    offsets = [plain(address + i) for i in range(size)]
    return None if min(offsets, default=0) < 0 else offsets
