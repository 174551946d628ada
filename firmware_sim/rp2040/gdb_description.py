"""What the debugger is told of the chip: registers, memory map, threads."""

from __future__ import annotations

from firmware_sim.rp2040.layout import (
    DPRAM_BASE,
    DPRAM_SIZE,
    FLASH_BASE,
    FLASH_SIZE,
    ROM_SIZE,
    SRAM_BASE,
    SRAM_SIZE,
    XIP_SRAM_BASE,
    XIP_SRAM_SIZE,
)
from firmware_sim.rp2040.memory_map import BLOCKS

SECTOR_BYTES = 4096
# In the order of the g packet. The GDB manual, "ARM Features": m-profile and m-system.
CORE_REGISTERS = (*(f"r{i}" for i in range(13)), "sp", "lr", "pc", "xpsr")
SYSTEM_REGISTERS = ("msp", "psp", "primask", "control")
REGISTERS = CORE_REGISTERS + SYSTEM_REGISTERS


def _register(name: str) -> str:
    kind = {"sp": "data_ptr", "msp": "data_ptr", "psp": "data_ptr", "pc": "code_ptr"}.get(name, "int")
    group = ' group="system"' if name in SYSTEM_REGISTERS else ""
    return f'<reg name="{name}" bitsize="32" type="{kind}"{group}/>'


TARGET_XML = (
    '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">'
    "<architecture>armv6s-m</architecture>"
    '<feature name="org.gnu.gdb.arm.m-profile">'
    + "".join(map(_register, CORE_REGISTERS))
    + '</feature><feature name="org.gnu.gdb.arm.m-system">'
    + "".join(map(_register, SYSTEM_REGISTERS))
    + "</feature></target>"
)


def memory_map() -> str:
    """All that can be read; the flash is told as flash, so that `load` erases and programs it."""
    rows = [
        f'<memory type="rom" start="0x0" length="0x{ROM_SIZE:x}"/>',
        f'<memory type="flash" start="0x{FLASH_BASE:x}" length="0x{FLASH_SIZE:x}">'
        f'<property name="blocksize">0x{SECTOR_BYTES:x}</property></memory>',
        f'<memory type="ram" start="0x{XIP_SRAM_BASE:x}" length="0x{XIP_SRAM_SIZE:x}"/>',
        f'<memory type="ram" start="0x{SRAM_BASE:x}" length="0x{SRAM_SIZE:x}"/>',
        f'<memory type="ram" start="0x{DPRAM_BASE:x}" length="0x{DPRAM_SIZE:x}"/>',
        *(f'<memory type="ram" start="0x{block.base:x}" length="0x{block.size:x}"/>' for block in BLOCKS),
        '<memory type="ram" start="0xd0000000" length="0x1000"/>',
        '<memory type="ram" start="0xe000e000" length="0x1000"/>',
    ]
    return (
        '<?xml version="1.0"?><!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" '
        '"http://sourceware.org/gdb/gdb-memory-map.dtd"><memory-map>' + "".join(rows) + "</memory-map>"
    )


def threads_xml(states: list[str]) -> str:
    """The cores as threads 1 and 2."""
    rows = (
        f'<thread id="{core + 1}" core="{core}" name="core {core}">{state}</thread>'
        for core, state in enumerate(states)
    )
    return f'<?xml version="1.0"?><threads>{"".join(rows)}</threads>'
