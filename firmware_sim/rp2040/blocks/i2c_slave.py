"""The I2C controller as a slave of a master that the host plays. RP2040 datasheet 4.3.10.1."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firmware_sim.rp2040.blocks.i2c import I2c

RD_REQ, RX_DONE, ACTIVITY, STOP_DET, START_DET, GEN_CALL, RESTART_DET = (
    1 << bit for bit in (5, 7, 8, 9, 10, 11, 12)
)  # IC_RAW_INTR_STAT
SLVFLUSH_TXFIFO = 1 << 13  # IC_TX_ABRT_SOURCE
COMMAND_READ = 1 << 8
FIRST_DATA_BYTE = 1 << 11
BYTE = 9


@dataclass
class HostTransfer:
    """What the host as a master does to the chip: `write`, then after a repeated START `count` bytes read."""

    address: int
    write: bytes
    count: int
    hz: int
    ten_bit: bool = False
    received: bytearray = field(default_factory=bytearray)
    acknowledged: bool = True  # False: the chip did not answer its address or refused a byte
    done: bool = False


@dataclass
class Slave:
    """What the slave does. Phases: idle, address, receive, stretch (no room), request (no data yet), send, stop."""

    queue: list[HostTransfer] = field(default_factory=list)  # the first one is on the bus
    finished: list[HostTransfer] = field(default_factory=list)
    phase: str = "idle"
    until: int | None = None
    position: int = 0
    reading: bool = False
    addressed: bool = False
    first: bool = False
    byte: int = 0


def poll_slave(block: I2c, cycle: int) -> None:
    """Go on with what waited for the chip: the bus, room in the receive FIFO, or data in the transmit FIFO."""
    s = block.slave
    if s.phase == "idle" and s.queue and block.master.phase == "idle" and block.enabled:
        s.position, s.reading, s.addressed = 0, not s.queue[0].write and s.queue[0].count > 0, False
        _go(block, "address", cycle, 1 + BYTE * (2 if s.queue[0].ten_bit else 1))
        if _slave_enabled(block):
            block.raw |= START_DET | ACTIVITY
    elif s.phase == "stretch" and len(block.rx) < 16:
        block.receive(s.byte | (FIRST_DATA_BYTE if s.first else 0))
        _next_received(block, cycle)
    elif s.phase == "request" and block.tx:
        command = block.tx.pop(0)
        if command & COMMAND_READ:  # "If a 1 is written to this bit after a RD_REQ, a TX_ABRT occurs"
            block.abort(1 << 15)  # ABRT_SLVRD_INTX
            return
        s.byte = command & 0xFF
        _go(block, "send", cycle, BYTE)


def _slave_enabled(block: I2c) -> bool:
    return block.enabled and not block.values["IC_CON"] & 64


def _go(block: I2c, phase: str, cycle: int, bits: int) -> None:
    s = block.slave
    s.phase, s.until = phase, cycle + bits * block.host_bit_cycles(s.queue[0].hz)


def _matches(block: I2c) -> bool:
    """Whether the chip answers to the address; a general call is answered to as well."""
    transfer, v = block.slave.queue[0], block.values
    if not _slave_enabled(block):
        return False
    if transfer.address == 0 and not transfer.ten_bit:
        if v["IC_ACK_GENERAL_CALL"] and not block.slave.reading:
            block.raw |= GEN_CALL
            return True
        return False
    ten_bit = bool(v["IC_CON"] & 8)
    return transfer.ten_bit == ten_bit and transfer.address == v["IC_SAR"] & (0x3FF if ten_bit else 0x7F)


def advance_slave(block: I2c, cycle: int) -> None:
    """The present phase ends at `cycle`."""
    s = block.slave
    transfer = s.queue[0]
    s.until = None
    if s.phase == "address":
        s.addressed = _matches(block)
        s.first = True
        if not s.addressed:
            transfer.acknowledged = False
            _go(block, "stop", cycle, 1)
        elif s.reading:
            if block.tx:  # data of an earlier request must not be sent now
                block.abort(SLVFLUSH_TXFIFO)
            _request(block)
        else:
            _next_received(block, cycle)
    elif s.phase == "receive":
        s.byte = transfer.write[s.position]
        s.position += 1
        if block.values["IC_SLV_DATA_NACK_ONLY"]:
            transfer.acknowledged = False
            _go(block, "stop", cycle, 1)
        elif len(block.rx) >= 16 and block.values["IC_CON"] & 1 << 9:
            s.phase = "stretch"
        else:
            block.receive(s.byte | (FIRST_DATA_BYTE if s.first else 0))
            _next_received(block, cycle)
    elif s.phase == "send":
        transfer.received.append(s.byte)
        if len(transfer.received) < transfer.count:
            _request(block)
        else:
            block.raw |= RX_DONE  # the master does not acknowledge its last byte
            _go(block, "stop", cycle, 1)
    elif s.phase == "stop":
        if _slave_enabled(block) and (s.addressed or not block.values["IC_CON"] & 1 << 7):
            block.raw |= STOP_DET
        s.phase = "idle"
        transfer.done = True
        s.finished.append(s.queue.pop(0))


def _request(block: I2c) -> None:
    """Ask the firmware for a byte; SCL is held low until it comes. Data that waits already is sent without asking."""
    block.slave.phase = "request"
    if not block.tx:
        block.raw |= RD_REQ


def _next_received(block: I2c, cycle: int) -> None:
    """After a received byte (or the address): the next one, the repeated START, or STOP."""
    s = block.slave
    transfer = s.queue[0]
    s.first = s.position == 0
    if s.position < len(transfer.write):
        _go(block, "receive", cycle, BYTE)
    elif transfer.count:
        s.reading = True
        block.raw |= RESTART_DET
        _go(block, "address", cycle, 1 + BYTE)
    else:
        _go(block, "stop", cycle, 1)
