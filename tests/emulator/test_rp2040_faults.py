"""Faults: kind, PC and address; registers unchanged; the HardFault handler runs; lock-up where there is none."""

from __future__ import annotations

import struct

import pytest

from firmware_sim.rp2040 import Board

BASE, CODE, HANDLER, DATA = 0x20000000, 0x20000100, 0x20000200, 0x20010000
FLASH = 0x10000000

# (what, halfwords, registers, kind, offset of the faulting instruction, address)
CASES = [
    ("LDR unaligned", [0x6801], {0: DATA + 2}, "unaligned access", 0, DATA + 2),
    ("LDRH unaligned", [0x8801], {0: DATA + 1}, "unaligned access", 0, DATA + 1),
    ("STR unaligned", [0xBF00, 0x6001], {0: DATA + 1}, "unaligned access", 2, DATA + 1),
    ("STRH unaligned", [0x8001], {0: DATA + 3}, "unaligned access", 0, DATA + 3),
    ("LDM unaligned", [0xC806], {0: DATA + 2}, "unaligned access", 0, DATA + 2),
    ("STM unaligned", [0xC006], {0: DATA + 1}, "unaligned access", 0, DATA + 1),
    ("LDR unmapped", [0x6801], {0: 0x30000000}, "access to unmapped memory", 0, 0x30000000),
    ("LDRB behind SRAM", [0x7801], {0: 0x20042000}, "access to unmapped memory", 0, 0x20042000),
    ("STR unmapped", [0x6001], {0: 0x60000000}, "access to unmapped memory", 0, 0x60000000),
    ("STR APB hole", [0x6001], {0: 0x40068000}, "access to unmapped memory", 0, 0x40068000),
    ("LDM off the end of SRAM", [0xC806], {0: 0x20041FFC}, "access to unmapped memory", 0, 0x20042000),
    (
        "LDM off the end of the USB RAM",
        [0xC806],
        {0: 0x50100FFC, 1: 5, 2: 6},
        "access to unmapped memory",
        0,
        0x50101000,
    ),
    ("STR flash", [0x6001], {0: FLASH}, "write to flash", 0, FLASH),
    ("STRB flash alias", [0x7001], {0: 0x13000001}, "write to flash", 0, 0x13000001),
    ("STM flash", [0xC006], {0: FLASH + 8}, "write to flash", 0, FLASH + 8),
    ("STR boot ROM", [0x6001], {0: 0x20}, "write to the boot ROM", 0, 0x20),
    ("undefined 16-bit", [0xDE01], {}, "undefined instruction", 0, CODE),
    ("undefined CBZ", [0xB100], {}, "undefined instruction", 0, CODE),
    ("undefined 32-bit", [0xF7F0, 0xA000], {}, "undefined instruction", 0, CODE),
    ("BX to ARM state", [0x4700], {0: CODE + 8}, "branch to a non-Thumb address", None, CODE + 8),
    ("BX to a peripheral", [0x4700], {0: 0x40054001}, "execution from an execute-never region", None, 0x40054000),
    ("BX to SIO", [0x4700], {0: 0xD0000001}, "execution from an execute-never region", None, 0xD0000000),
    ("BX to empty ROM", [0x4700], {0: 0x1001}, "undefined instruction", None, 0x1000),
    ("BX to the end of the ROM", [0x4700], {0: 0x3FF1}, "undefined instruction", None, 0x3FF0),
    ("BX behind the ROM's code", [0x4700], {0: 0x7F1}, "undefined instruction", None, 0x7F0),
    ("BX to nowhere", [0x4700], {0: 0x30000001}, "access to unmapped memory", None, 0x30000000),
]


def board_with(halves: list[int], registers: dict[int, int], *, handler: int = HANDLER | 1) -> Board:
    """Code at CODE; a HardFault handler of `MOVS r7, #55; BKPT #9` at HANDLER."""
    memory = bytearray(0x400)
    struct.pack_into("<4I", memory, 0, 0x20040000, CODE | 1, 0, handler)
    struct.pack_into(f"<{len(halves) + 1}H", memory, CODE - BASE, *halves, 0xBE00)
    struct.pack_into("<2H", memory, HANDLER - BASE, 0x2737, 0xBE09)
    board = Board()
    board.load(bytes(memory), address=BASE)
    for register, value in registers.items():
        board.chip.S[register] = value
    return board


@pytest.mark.parametrize(
    ("what", "halves", "registers", "kind", "offset", "address"), CASES, ids=[case[0] for case in CASES]
)
def test_fault_is_reported_and_handled(
    what: str, halves: list[int], registers: dict[int, int], kind: str, offset: int | None, address: int
) -> None:
    board = board_with(halves, registers)
    stop = board.run(max_cycles=1000)
    assert stop.fault is not None, what
    assert (stop.fault.kind, stop.fault.address, stop.fault.handled) == (kind, address, True)
    assert stop.fault.pc == (address if offset is None else CODE + offset)
    for register, value in registers.items():
        assert stop.fault.registers[f"r{register}"] == value
    # The handler ran, and the frame holds what was interrupted.
    assert (stop.reason, stop.immediate, board.registers["r7"]) == ("bkpt", 9, 0x37)
    frame = struct.unpack("<8I", board.read_memory(board.registers["sp"], 32))
    assert frame[6] == stop.fault.pc
    assert frame[0] == registers.get(0, 0)
    assert board.registers["lr"] == 0xFFFFFFF9


def test_report_names_pc_address_and_registers() -> None:
    stop = board_with([0x6801], {0: 0x40054002, 5: 0x1234}).run(max_cycles=1000)
    text = str(stop.fault)
    for part in ("unaligned access", "pc 0x20000100", "address 0x40054002", "TIMER+0x2", "r5 00001234", "xpsr"):
        assert part in text


@pytest.mark.parametrize("handler", [0, HANDLER, 0x40000001, 0x30000001], ids=["none", "even", "never", "unmapped"])
def test_fault_without_usable_handler_locks_up(handler: int) -> None:
    stop = board_with([0x6801], {0: 1}, handler=handler).run(max_cycles=1000)
    assert stop.reason == "lockup"
    assert stop.fault is not None
    assert (stop.fault.kind, stop.fault.pc, stop.fault.handled) == ("unaligned access", CODE, False)


def test_fault_inside_hardfault_locks_up() -> None:
    board = board_with([0x6801], {0: 1})
    board.write_memory(HANDLER, struct.pack("<H", 0xDE00))
    stop = board.run(max_cycles=1000)
    assert stop.reason == "lockup"
    assert [fault.kind for fault in stop.faults] == ["unaligned access", "undefined instruction"]
    assert [fault.handled for fault in stop.faults] == [True, False]
    assert stop.faults[1].pc == HANDLER


def test_bad_stack_locks_up() -> None:
    stop = board_with([0xB406], {13: BASE + 4}).run(max_cycles=1000)
    assert stop.reason == "lockup"
    assert stop.fault is not None
    assert (stop.fault.kind, stop.fault.address) == ("access to unmapped memory", BASE - 4)


def test_endless_handler_ends_the_run() -> None:
    board = board_with([0x6801], {0: 1})
    board.write_memory(HANDLER, struct.pack("<H", 0xE7FE))  # b .
    stop = board.run()
    assert stop.reason == "fault"
    assert stop.fault is not None
    assert stop.fault.handled


def test_svc_without_priority_is_a_fault() -> None:
    stop = board_with([0xB672, 0xDF01], {}).run(max_cycles=1000)  # CPSID i; SVC #1
    assert stop.fault is not None
    assert stop.fault.kind == "SVC where its priority does not suffice"
    assert stop.fault.pc == CODE + 2
