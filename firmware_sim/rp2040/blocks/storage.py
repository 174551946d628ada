"""Blocks that only store: pins, pads, power-on machine, and the ones that identify the chip.

RP2040 datasheet 2.19 (IO, PADS), 2.13 (PSM), 2.20 to 2.22 (SYSINFO, SYSCFG, TBMAN), 2.10 (VREG), 2.6.3 (XIP_CTRL).
"""

from __future__ import annotations

from firmware_sim.rp2040.registers import Register, stored

PINS = 30
QSPI_PINS = 6
FUNCSEL_NONE = 0x1F
PAD_RESET = 0x56  # input enabled, 4 mA, pull-down, Schmitt trigger

IO_BANK0 = stored({f"GPIO{pin}_STATUS": 8 * pin for pin in range(PINS)})
IO_BANK0 |= stored({f"GPIO{pin}_CTRL": 8 * pin + 4 for pin in range(PINS)}, FUNCSEL_NONE)
IO_BANK0 |= stored({f"INTR{i}": 0xF0 + 4 * i for i in range(4)})
for first, target in ((0x100, "PROC0"), (0x130, "PROC1"), (0x160, "DORMANT_WAKE")):
    for group, kind in enumerate(("INTE", "INTF", "INTS")):
        IO_BANK0 |= stored({f"{target}_{kind}{i}": first + 16 * group + 4 * i for i in range(4)})
IO_QSPI = stored({f"GPIO_QSPI{pin}_STATUS": 8 * pin for pin in range(QSPI_PINS)})
IO_QSPI |= stored({f"GPIO_QSPI{pin}_CTRL": 8 * pin + 4 for pin in range(QSPI_PINS)}, FUNCSEL_NONE)
PADS_BANK0 = {"VOLTAGE_SELECT": Register(0)}
PADS_BANK0 |= stored({f"GPIO{pin}": 4 + 4 * pin for pin in range(PINS)}, PAD_RESET)
PADS_BANK0 |= stored({"SWCLK": 0x7C, "SWD": 0x80}, 0xDA)
PADS_QSPI = {"VOLTAGE_SELECT": Register(0)}
PADS_QSPI |= stored({f"GPIO_QSPI{pin}": 4 + 4 * pin for pin in range(QSPI_PINS)}, PAD_RESET)

STORAGE_BLOCKS: dict[str, dict[str, Register]] = {
    "IO_BANK0": IO_BANK0,
    "IO_QSPI": IO_QSPI,
    "PADS_BANK0": PADS_BANK0,
    "PADS_QSPI": PADS_QSPI,
    "PSM": {
        "FRCE_ON": Register(0),
        "FRCE_OFF": Register(4),
        "WDSEL": Register(8),
        "DONE": Register(12, 0x1FFFF, 0),
    },
    "SYSINFO": {
        "CHIP_ID": Register(0, 0x20002927, 0),  # RP2040 B2
        "PLATFORM": Register(4, 2, 0),  # ASIC
        "GITREF_RP2040": Register(0x40, 0xE0C912E8, 0),
    },
    "SYSCFG": stored(
        {
            "PROC0_NMI_MASK": 0,
            "PROC1_NMI_MASK": 4,
            "PROC_CONFIG": 8,
            "PROC_IN_SYNC_BYPASS": 12,
            "PROC_IN_SYNC_BYPASS_HI": 16,
            "DBGFORCE": 20,
            "MEMPOWERDOWN": 24,
        }
    ),
    "TBMAN": {"PLATFORM": Register(0, 1, 0)},  # ASIC
    "VREG_AND_CHIP_RESET": {
        "VREG": Register(0, 0x10B1),
        "BOD": Register(4, 0x91),
        "CHIP_RESET": Register(8, 0x100),  # power-on
    },
    "BUSCTRL": {
        "BUS_PRIORITY": Register(0),
        "BUS_PRIORITY_ACK": Register(4, 1, 0),
        **stored({f"PERFCTR{i}": 8 + 8 * i for i in range(4)}),
        **stored({f"PERFSEL{i}": 12 + 8 * i for i in range(4)}, 0x1F),
    },
    "XIP_CTRL": {
        "CTRL": Register(0, 3),
        "FLUSH": Register(4),
        "STAT": Register(8, 3, 0),  # flushed, streaming FIFO empty
        "CTR_HIT": Register(0x0C),
        "CTR_ACC": Register(0x10),
        "STREAM_ADDR": Register(0x14),
        "STREAM_CTR": Register(0x18),
        "STREAM_FIFO": Register(0x1C, 0, 0),
    },
}
