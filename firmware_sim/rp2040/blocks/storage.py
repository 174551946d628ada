"""Blocks that only store, and the ones that identify the chip.

RP2040 datasheet 2.20 to 2.22 (SYSINFO, SYSCFG, TBMAN).
"""

from __future__ import annotations

from firmware_sim.rp2040.registers import Register, stored

STORAGE_BLOCKS: dict[str, dict[str, Register]] = {
    "SYSINFO": {
        "CHIP_ID": Register(0, 0x20002927, 0),  # RP2040 B2
        "PLATFORM": Register(4, 2, 0),  # ASIC
        "GITREF_RP2040": Register(0x40, 0xE0C912E8, 0),
    },
    "SYSCFG": {
        "PROC0_NMI_MASK": Register(0x00),
        "PROC1_NMI_MASK": Register(0x04),
        "PROC_CONFIG": Register(0x08, 0x10000000, 0xFF000000),  # debug instance numbers
        "PROC_IN_SYNC_BYPASS": Register(0x0C, 0, 0x3FFFFFFF),
        "PROC_IN_SYNC_BYPASS_HI": Register(0x10, 0, 0x3F),
        "DBGFORCE": Register(0x14, 0x66, 0xFF),
        "MEMPOWERDOWN": Register(0x18, 0, 0xFF),
    },
    "TBMAN": {"PLATFORM": Register(0, 1, 0)},  # ASIC
    "BUSCTRL": {
        "BUS_PRIORITY": Register(0, 0, 0x1111),
        "BUS_PRIORITY_ACK": Register(4, 1, 0),
        **stored({f"PERFCTR{i}": 8 + 8 * i for i in range(4)}),
        **stored({f"PERFSEL{i}": 12 + 8 * i for i in range(4)}, 0x1F),
    },
}
# Registers that would do more than store, and what happens instead.
WITHOUT_EFFECT: dict[str, dict[str, str]] = {
    "SYSCFG": {
        "PROC_CONFIG": "there is no debug port",
        "DBGFORCE": "there is no debug port",
        "MEMPOWERDOWN": "memories keep their power",
        "PROC_IN_SYNC_BYPASS": "GPIO_IN has no synchroniser",
        "PROC_IN_SYNC_BYPASS_HI": "GPIO_HI_IN has no synchroniser",
    },
    "BUSCTRL": {
        **{f"PERFSEL{i}": f"PERFCTR{i} does not count" for i in range(4)},
    },
}
