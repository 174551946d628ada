"""The USB socket of a board and the serial console on it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, cast

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.blocks.usb import Usb
from firmware_sim.rp2040.usb_descriptors import UsbDescription
from firmware_sim.rp2040.usb_host import HostState, UsbHost

if TYPE_CHECKING:
    from firmware_sim.rp2040.chip import Chip


ANY = -2  # a `stop_byte` that every packet holds


class UsbConsole:
    """The first CDC-ACM serial port of the firmware, with DTR set. Bytes written before it is open wait."""

    def __init__(self, port: UsbPort) -> None:
        self._port = port

    @property
    def is_open(self) -> bool:
        """Whether the firmware has enumerated as a serial port and the host has opened it."""
        return self._port.host.state.open

    @property
    def sent(self) -> bytes:
        """Everything that the firmware sent."""
        return bytes(self._port.host.state.sent)

    @property
    def pending(self) -> int:
        """Bytes written here that the firmware has not taken yet."""
        return len(self._port.host.state.waiting)

    def write(self, data: bytes) -> None:
        """Send to the firmware, as fast as it takes them."""
        self._port.host.state.waiting += data
        self._port.look()

    def read(self) -> bytes:
        """What the firmware sent since the last read."""
        data = bytes(self._port.host.state.unread)
        self._port.host.state.unread.clear()
        return data


class UsbPort:
    """A cable to a host that is plugged in from the start."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self.host = UsbHost(cast(Usb, chip.blocks["USBCTRL_REGS"]), chip.warn)
        self.host.arrived = self._arrived
        self.console = UsbConsole(self)
        self.stop_byte = -1  # run() returns once the console sent a packet with it; ANY: any packet
        self._taken = 0  # bytes of `sent` that `drain` has given

    @property
    def device(self) -> UsbDescription | None:
        """What the firmware says it is, once it is enumerated."""
        return self.host.state.device if self.host.state.device.interfaces else None

    @property
    def address(self) -> int:
        """Address on the bus; 0 before enumeration."""
        return self.host.state.address

    def unplug(self) -> None:
        """Pull the cable."""
        self.host.state.plugged = False
        self.look()

    def plug(self) -> None:
        """Put the cable in; a firmware with its pull-up on is enumerated anew."""
        self.host.state.plugged = True
        self.look()

    def look(self) -> None:
        """The host has something new to do."""
        self.host.look(self._chip.now)
        self._chip.plan()

    def _arrived(self, data: bytes, cycle: int) -> None:
        if self.stop_byte == ANY or (self.stop_byte >= 0 and self.stop_byte in data):
            S = self._chip.S
            S[layout.EXIT], S[layout.NEXT_EVENT] = layout.EXIT_HOST, cycle

    def drain(self) -> bytes:
        """What the firmware sent since the last drain, for the loop that prints it; `read` is not affected."""
        new = bytes(self.host.state.sent[self._taken :])
        self._taken += len(new)
        return new

    def queues(self) -> tuple[HostState, int]:
        """All that the host remembers, for a snapshot."""
        return copy.deepcopy(self.host.state), self._taken

    def set_queues(self, queues: tuple[HostState, int]) -> None:
        """Inverse of `queues`."""
        self.host.state, self._taken = copy.deepcopy(queues[0]), queues[1]
