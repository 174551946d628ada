"""What is attached to SPI0 or SPI1, and the host as a master of a chip that plays the slave."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar, cast

from firmware_sim.rp2040.blocks.spi import HostFrames, Spi, SpiDevice
from firmware_sim.rp2040.gpio import Gpio
from firmware_sim.rp2040.i2c_port import memory_of

if TYPE_CHECKING:
    from firmware_sim.rp2040.chip import Chip

Device = TypeVar("Device", bound=SpiDevice)


class SpiPort:
    """SPI0 or SPI1 seen from the board."""

    def __init__(self, chip: Chip, gpio: Gpio, index: int) -> None:
        self._chip = chip
        self._gpio = gpio
        self._block = cast(Spi, chip.blocks[f"SPI{index}"])

    def attach(self, device: Device, *, chip_select: int | None = None) -> Device:
        """Put a device on the bus; gives it back.

        `chip_select`: the GPIO that selects it while low, driven by SIO or by the SPI itself; None: always selected. A
        device with a method `select(active)` is told of every edge. Raises BadInputError for a GPIO that is none.
        """
        if chip_select is not None:
            self._block.levels[chip_select] = self._gpio.read(chip_select)
            self._gpio.watch(chip_select, lambda edge: self._block.select(edge.pin, edge.level, edge.cycle))
        self._block.devices.append((device, chip_select))
        return device

    def exchange(self, words: list[int] | bytes, *, hz: int = 1_000_000) -> None:
        """As a master, clock words through the chip as a slave. Happens while the chip runs; see `finished`."""
        if words:
            self._block.queue.append(HostFrames(tuple(words), hz))
            self._block.poke(self._chip.now)
            self._chip.plan()

    def finished(self) -> list[list[int]]:
        """What the chip answered to each `exchange` that is over since the last call."""
        done, self._block.finished = self._block.finished, []
        return [frames.received for frames in done]

    def queues(self) -> list[dict[str, Any]]:
        """What the devices remember, for a snapshot."""
        return [memory_of(device) for device, _ in self._block.devices]

    def set_queues(self, queues: list[dict[str, Any]]) -> None:
        """Inverse of `queues`, for the devices that are attached here too, in the same order."""
        for (device, _), memory in zip(self._block.devices, queues, strict=False):
            device.__dict__.update(copy.deepcopy(memory))
