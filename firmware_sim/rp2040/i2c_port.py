"""What is attached to I2C0 or I2C1, and the host as a master of a chip that plays the slave."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar, cast

from firmware_sim.rp2040.blocks.i2c import I2c
from firmware_sim.rp2040.blocks.i2c_master import I2cDevice
from firmware_sim.rp2040.blocks.i2c_slave import HostTransfer
from shared.errors import BadInputError

if TYPE_CHECKING:
    from firmware_sim.rp2040.chip import Chip


Device = TypeVar("Device", bound=I2cDevice)


def memory_of(device: object) -> dict[str, Any]:
    """A copy of the attributes that a device names in `remembers`."""
    return {name: copy.deepcopy(getattr(device, name)) for name in getattr(device, "remembers", ())}


class I2cPort:
    """I2C0 or I2C1 seen from the board.

    >>> from firmware_sim.rp2040 import Board, I2cRegisters
    >>> board = Board()
    >>> sensor = board.i2c0.attach(0x30, I2cRegisters({0x0A: 0x26}))
    >>> sensor.values[0x0A]
    38
    """

    def __init__(self, chip: Chip, index: int) -> None:
        self._chip = chip
        self._block = cast(I2c, chip.blocks[f"I2C{index}"])

    def attach(self, address: int, device: Device, *, ten_bit: bool = False) -> Device:
        """Put a device on the bus; gives it back. Raises BadInputError for an address that is no address or taken."""
        if not 0 <= address < (0x400 if ten_bit else 0x80):
            raise BadInputError(f"I2C address 0x{address:x}: 0 to {'0x3ff' if ten_bit else '0x7f'}")
        if (address, ten_bit) in self._block.bus.devices:
            raise BadInputError(f"I2C address 0x{address:x} is taken")
        self._block.bus.devices[address, ten_bit] = device
        return device

    def attached(self, address: int) -> I2cDevice | None:
        """The device at a seven-bit address."""
        return self._block.bus.devices.get((address, False))

    def transfer(
        self, address: int, write: bytes = b"", read: int = 0, *, hz: int = 100_000, ten_bit: bool = False
    ) -> None:
        """As a master, write to the chip and then, after a repeated START, read. Happens while the chip runs."""
        self._block.slave.queue.append(HostTransfer(address, bytes(write), read, hz, ten_bit))
        self._block.advance(self._chip.now)
        self._chip.plan()

    def finished(self) -> list[HostTransfer]:
        """The transfers that are over since the last call: `acknowledged`, `received`."""
        done, self._block.slave.finished = self._block.slave.finished, []
        return done

    def queues(self) -> dict[tuple[int, bool], dict[str, Any]]:
        """What the devices remember, for a snapshot."""
        return {key: memory_of(device) for key, device in self._block.bus.devices.items()}

    def set_queues(self, queues: dict[tuple[int, bool], dict[str, Any]]) -> None:
        """Inverse of `queues`, for the devices that are attached here too."""
        for key, memory in queues.items():
            if key in self._block.bus.devices:
                self._block.bus.devices[key].__dict__.update(copy.deepcopy(memory))


class I2cRegisters:
    """A device of byte registers, as most sensors are: the first byte written selects, every further one advances."""

    remembers = ("values", "pointer", "selecting")

    def __init__(self, values: dict[int, int]) -> None:
        self.values = dict(values)
        self.pointer = 0
        self.selecting = False

    def start(self, is_read: bool) -> bool:
        """Always there."""
        self.selecting = not is_read
        return True

    def write(self, byte: int) -> bool:
        """The register's number, then its value and those of the next ones."""
        if self.selecting:
            self.pointer, self.selecting = byte, False
        else:
            self.values[self.pointer] = byte
            self.pointer = (self.pointer + 1) & 0xFF
        return True

    def read(self) -> int:
        """The selected register; unknown ones read 0."""
        value = self.values.get(self.pointer, 0)
        self.pointer = (self.pointer + 1) & 0xFF
        return value

    def stop(self) -> None:
        """Nothing to do."""
