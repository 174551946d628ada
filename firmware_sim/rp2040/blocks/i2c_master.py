"""The I2C controller as a master: commands of the transmit FIFO become bytes on the bus. RP2040 datasheet 4.3.10.

A phase is a byte or a stop condition with the START, address and acknowledge bits that belong to it; what a device does
happens at the end of its phase. Between a byte without STOP and the next command SCL is held low.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from firmware_sim.rp2040.blocks.i2c import I2c

COMMAND_READ, COMMAND_STOP, COMMAND_RESTART = 1 << 8, 1 << 9, 1 << 10  # IC_DATA_CMD
SPECIAL, GC_OR_START = 1 << 11, 1 << 10  # IC_TAR
# IC_TX_ABRT_SOURCE
ABRT_7B_ADDR_NOACK, ABRT_10ADDR1_NOACK, ABRT_10ADDR2_NOACK, ABRT_TXDATA_NOACK, ABRT_GCALL_NOACK, ABRT_GCALL_READ = (
    1 << bit for bit in range(6)
)
ABRT_SBYTE_NORSTRT, ABRT_10B_RD_NORSTRT, ARB_MASTER_DIS = 1 << 9, 1 << 10, 1 << 11
BYTE = 9  # bits with the acknowledge


class I2cDevice(Protocol):
    """Something on the bus. `remembers`, when there is one, names the attributes that a snapshot holds."""

    def start(self, is_read: bool) -> bool:
        """Addressed, after a START or a repeated one: whether it acknowledges."""

    def write(self, byte: int) -> bool:
        """A byte from the master: whether it acknowledges."""

    def read(self) -> int:
        """The next byte for the master."""

    def stop(self) -> None:
        """The transfer is over."""


class I2cBus:
    """Devices by address; 10-bit addresses are a space of their own."""

    def __init__(self) -> None:
        self.devices: dict[tuple[int, bool], I2cDevice] = {}

    def answers_first_byte(self, address: int) -> bool:
        """Whether some device acknowledges the first byte of a 10-bit address: its two highest bits."""
        return any(ten and known >> 8 == address >> 8 for known, ten in self.devices)


@dataclass
class Master:
    """What the master does. Phases: idle, address, data, hold (SCL low, no command), full (no room), stop."""

    phase: str = "idle"
    until: int | None = None  # cycle at which the phase ends
    command: int = 0
    is_read: bool = False
    first: bool = False  # the next received byte is the first behind an address
    address: int = 0
    ten_bit: bool = False
    leaving: bool = False  # stop after the present byte


def begin(block: I2c, cycle: int) -> None:
    """Start what the transmit FIFO asks for, if the bus is free for it."""
    m, v = block.master, block.values
    if m.phase == "full":
        if len(block.rx) < 16:
            _data(block, cycle)
        return
    if m.phase not in ("idle", "hold") or not block.tx or not block.enabled or v["IC_ENABLE"] & 4:
        return
    if not v["IC_CON"] & 1:
        if v["IC_CON"] & 64 and block.slave.phase == "idle":
            block.abort(ARB_MASTER_DIS)
        return
    if m.phase == "idle" and block.slave.phase != "idle":
        return  # another master has the bus
    m.command = block.tx.pop(0)
    turns = bool(m.command & COMMAND_READ) != m.is_read
    if m.phase == "hold" and not (m.command & COMMAND_RESTART or turns):
        _data(block, cycle)
    elif m.phase == "hold" and not v["IC_CON"] & 32:  # without RESTART: STOP, then START again
        block.tx.insert(0, m.command)
        _stop(block, cycle)
    else:
        _address(block, cycle)


def _address(block: I2c, cycle: int) -> None:
    """START or repeated START, then the address."""
    m, v = block.master, block.values
    repeated = m.phase == "hold"
    target, restart = v["IC_TAR"], bool(v["IC_CON"] & 32)
    m.is_read = bool(m.command & COMMAND_READ)
    general_call = target & (SPECIAL | GC_OR_START) == SPECIAL
    m.ten_bit = bool(v["IC_CON"] & 16) and not general_call
    m.address = 0 if general_call else target & (0x3FF if m.ten_bit else 0x7F)
    m.first = True
    bits = 1 + BYTE
    if target & (SPECIAL | GC_OR_START) == SPECIAL | GC_OR_START:
        if not restart:
            return _refuse(block, ABRT_SBYTE_NORSTRT)
        bits += 1 + BYTE
    if general_call and m.is_read:
        return _refuse(block, ABRT_GCALL_READ)
    if m.ten_bit and m.is_read:
        if not restart:
            return _refuse(block, ABRT_10B_RD_NORSTRT)
        bits += 0 if repeated else BYTE + 1 + BYTE
    elif m.ten_bit:
        bits += BYTE
    block.check_pins()
    block.raw |= 1 << 8 | 1 << 10  # ACTIVITY, START_DET
    m.phase, m.until = "address", cycle + bits * block.bit_cycles()
    return None


def _refuse(block: I2c, source: int) -> None:
    """A command that cannot be executed; nothing happens on the bus but the end of a transfer that held it."""
    block.abort(source)
    if block.master.phase == "hold":
        _stop(block, block.now())


def _data(block: I2c, cycle: int) -> None:
    """The byte of the present command; a read waits for room when RX_FIFO_FULL_HLD_CTRL says so."""
    m = block.master
    if m.is_read and len(block.rx) >= 16 and block.values["IC_CON"] & 1 << 9:
        m.phase, m.until = "full", None
    else:
        m.phase, m.until = "data", cycle + BYTE * block.bit_cycles()


def _stop(block: I2c, cycle: int) -> None:
    """A STOP condition."""
    block.master.phase, block.master.until = "stop", cycle + block.bit_cycles()


def _not_acknowledged(block: I2c) -> int:
    """Why nobody acknowledged the address, as a bit of IC_TX_ABRT_SOURCE; 0 when somebody did."""
    m = block.master
    device = block.bus.devices.get((m.address, m.ten_bit))
    if device is not None and device.start(m.is_read):
        return 0
    if m.ten_bit:
        return ABRT_10ADDR2_NOACK if block.bus.answers_first_byte(m.address) else ABRT_10ADDR1_NOACK
    return ABRT_GCALL_NOACK if m.address == 0 and block.values["IC_TAR"] & SPECIAL else ABRT_7B_ADDR_NOACK


def advance_master(block: I2c, cycle: int) -> None:
    """The present phase ends at `cycle`."""
    m = block.master
    device = block.bus.devices.get((m.address, m.ten_bit))
    m.until = None
    if m.phase == "address":
        source = _not_acknowledged(block)
        if source:
            block.abort(source)
            _stop(block, cycle)
        elif m.leaving:
            _stop(block, cycle)
        else:
            _data(block, cycle)
    elif m.phase == "data":
        acknowledged = True
        if m.is_read:
            byte = device.read() & 0xFF if device is not None else 0xFF
            block.receive(byte | (1 << 11 if m.first else 0))
        else:
            acknowledged = device is not None and device.write(m.command & 0xFF)
        m.first = False
        if not acknowledged:
            block.abort(ABRT_TXDATA_NOACK)
        if not acknowledged or m.command & COMMAND_STOP or m.leaving:
            _stop(block, cycle)
        else:
            m.phase = "hold"
    elif m.phase == "stop":
        if device is not None:
            device.stop()
        m.phase, m.leaving, m.is_read = "idle", False, False
        block.raw |= 1 << 9 if block.enabled else 0  # STOP_DET
        block.values["IC_ENABLE"] &= ~2  # an abort is done


def stop_after_this(block: I2c, cycle: int) -> None:
    """End the transfer after the byte that is on its way."""
    m = block.master
    if m.phase in ("hold", "full"):
        _stop(block, cycle)
    elif m.phase != "idle":
        m.leaving = True


def leave_bus(block: I2c, cycle: int) -> None:
    """The block was disabled."""
    stop_after_this(block, cycle)
