"""What a debugger reads and writes: registers of a core by name, and any address, where reading has no side effect."""

from __future__ import annotations

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.blocks.ppb import ppb_read
from firmware_sim.rp2040.blocks.sio import sio_read
from firmware_sim.rp2040.board import Board
from firmware_sim.rp2040.bus import read_register
from firmware_sim.rp2040.compiled import entry_point
from firmware_sim.rp2040.far import call_far
from firmware_sim.rp2040.flags import set_flags, xpsr
from firmware_sim.rp2040.layout import FAR_WRITE, FLASH_BASE, ROM_SIZE, XIP_ALIASES_END, State
from firmware_sim.rp2040.memory_map import locate
from shared.errors import BadInputError

STATES = ("running", "asleep in WFI", "asleep in WFE", "locked up", "held in reset")
CORES = 2


@entry_point
def peek(S: State, core: int, address: int, now: int) -> int:
    """Word of a register at an aligned address, without side effect; negative where there is none."""
    if address >> 28 == 0xD:
        return sio_read(S, core, address & 0x0FFFFFFC, now, True)
    if address >> 12 == 0xE000E:
        return ppb_read(S, core, address & 0xFFC, now)
    if 0x14000000 <= address < 0x20000000 or 0x40000000 <= address < 0x60000000:
        return read_register(S, address, now, True)
    return -1


@entry_point
def poke(S: State, core: int, address: int, value: int, size: int, now: int) -> int:
    """Store as the core would; negative: fault."""
    return call_far(S, FAR_WRITE, core, address, value << 3 | size, now)


@entry_point
def get_xpsr(S: State, core: int) -> int:
    """Flags, exception number and Thumb bit of the core whose state begins at `core`."""
    return xpsr(S, core)


@entry_point
def set_xpsr(S: State, core: int, value: int) -> None:
    """The flags of a core; the exception number stays."""
    set_flags(S, core, value)


def core_state(board: Board, core: int) -> str:
    """What a core does."""
    sleep = int(board.chip.S[core * layout.CORE_STRIDE + layout.SLEEPING])
    if sleep and board.place(core)[1] < ROM_SIZE:
        return "waits in the boot ROM"
    return STATES[sleep]


def read_registers(board: Board, core: int) -> dict[str, int]:
    """All registers of a core."""
    S, base = board.chip.S, core * layout.CORE_STRIDE
    active, banked = int(S[base + layout.SP]), int(S[base + layout.OTHER_SP])
    process = bool(S[base + layout.CONTROL] & 2)
    return board.core_registers(core) | {
        "xpsr": int(get_xpsr(S, base)),
        "msp": banked if process else active,
        "psp": active if process else banked,
        "primask": int(S[base + layout.PRIMASK]),
        "control": int(S[base + layout.CONTROL]),
    }


def write_register(board: Board, core: int, name: str, value: int) -> None:
    """Set a register of a core."""
    S, base = board.chip.S, core * layout.CORE_STRIDE
    process = bool(S[base + layout.CONTROL] & 2)
    if name == "xpsr":
        set_xpsr(S, base, value)
    elif name in ("msp", "psp"):
        S[base + (layout.SP if (name == "psp") == process else layout.OTHER_SP)] = value & ~3
    elif name == "primask":
        S[base + layout.PRIMASK] = value & 1
    elif name == "control":
        if bool(value & 2) != process and S[base + layout.IPSR] == 0:
            S[base + layout.SP], S[base + layout.OTHER_SP] = int(S[base + layout.OTHER_SP]), int(S[base + layout.SP])
            S[base + layout.CONTROL] = value & 3
    else:
        board.set_register(name, value & ~3 if name == "sp" else value, core=core)


def read_any(board: Board, core: int, address: int, size: int) -> bytes:
    """Bytes of memory or of registers. Raises BadInputError where nothing is."""
    if size == 0:
        return b""
    if locate(address, 1) is not None:
        return board.read_memory(address, size)
    board.chip.link()
    out = bytearray()
    first = address & ~3
    for at in range(first, address + size, 4):
        value = int(peek(board.chip.S, core * layout.CORE_STRIDE, at, board.present))
        if value < 0:
            raise BadInputError(f"nothing can be read at 0x{at:08x}")
        out += (value & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes(out[address - first : address - first + size])


def write_any(board: Board, core: int, address: int, data: bytes) -> None:
    """Set bytes of SRAM or flash, or store to a register. Raises BadInputError where nothing is."""
    if not data:
        return
    if FLASH_BASE <= address < XIP_ALIASES_END:
        board.flash.write(FLASH_BASE | address & (layout.FLASH_SIZE - 1), data)
    elif locate(address, 1) is not None:
        board.write_memory(address, data)
    else:
        board.chip.link()
        size = len(data)
        if size not in (1, 2, 4) or address % size:
            raise BadInputError(f"registers are written as aligned bytes, halfwords or words, not {size} bytes")
        word = int.from_bytes(data, "little")
        if int(poke(board.chip.S, core * layout.CORE_STRIDE, address, word, size, board.present)) < 0:
            raise BadInputError(f"nothing can be written at 0x{address:08x}")
