"""What a USB device says of itself: descriptors as small values. USB 2.0 chapter 9, CDC 1.2 (class 2, ACM 2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

DEVICE, CONFIGURATION, STRING, INTERFACE, ENDPOINT, FUNCTION = 1, 2, 3, 4, 5, 0x24  # bDescriptorType
CLASS_COMMUNICATION, CLASS_DATA, SUBCLASS_ACM = 2, 10, 2
UNION = 6  # bDescriptorSubtype of a CDC function
BULK, INTERRUPT = 2, 3
CLASS_NAMES = {1: "audio", 2: "communication", 3: "HID", 8: "mass storage", 10: "CDC data", 14: "video", 255: "vendor"}


@dataclass(frozen=True)
class UsbEndpoint:
    """One endpoint of an interface."""

    address: int  # bit 7: IN
    kind: int  # 0 control, 1 isochronous, 2 bulk, 3 interrupt
    max_packet: int  # bytes


@dataclass(frozen=True)
class UsbInterface:
    """One interface (alternate setting 0)."""

    number: int
    usb_class: int
    subclass: int
    endpoints: tuple[UsbEndpoint, ...] = ()
    union: int | None = None  # number of the data interface of a CDC function

    def __str__(self) -> str:
        name = CLASS_NAMES.get(self.usb_class, f"class {self.usb_class}")
        return f"interface {self.number} {name}"


@dataclass(frozen=True)
class CdcFunction:
    """A serial port of the device."""

    interface: int  # for class requests
    bulk_in: UsbEndpoint
    bulk_out: UsbEndpoint
    notify: UsbEndpoint | None


@dataclass
class UsbDescription:
    """What enumeration has found so far."""

    vendor: int = 0
    product: int = 0
    max_packet: int = 8  # of endpoint 0
    strings: dict[int, str] = field(default_factory=dict)
    string_indices: tuple[int, ...] = ()  # manufacturer, product, serial number
    configuration: int = 0
    interfaces: tuple[UsbInterface, ...] = ()

    def string(self, which: int) -> str:
        """0 manufacturer, 1 product, 2 serial number; empty where the device has none."""
        return self.strings.get(self.string_indices[which], "") if len(self.string_indices) > which else ""

    def __str__(self) -> str:
        names = " ".join(text for text in (self.string(0), self.string(1)) if text)
        parts = ", ".join(str(interface) for interface in self.interfaces)
        return f"{self.vendor:04x}:{self.product:04x} {names or 'without a name'} ({parts or 'no interfaces'})"

    def read_device(self, data: bytes) -> None:
        """Take over a device descriptor of 18 bytes."""
        self.vendor, self.product = struct.unpack_from("<HH", data, 8)
        self.string_indices = tuple(data[14:17])

    def read_configuration(self, data: bytes) -> None:
        """Take over a configuration with all its interfaces. Raises ValueError when its lengths make no sense."""
        self.configuration = data[5]
        self.interfaces = tuple(_interfaces(data))

    def serial_port(self) -> CdcFunction | None:
        """The first CDC-ACM function."""
        for control in self.interfaces:
            if (control.usb_class, control.subclass) != (CLASS_COMMUNICATION, SUBCLASS_ACM):
                continue
            number = control.number + 1 if control.union is None else control.union
            for data in self.interfaces:
                ends = {e.address >> 7: e for e in data.endpoints if e.kind == BULK}
                if data.number == number and data.usb_class == CLASS_DATA and len(ends) == 2:
                    notify = next((e for e in control.endpoints if e.kind == INTERRUPT), None)
                    return CdcFunction(control.number, ends[1], ends[0], notify)
        return None


def _interfaces(data: bytes) -> list[UsbInterface]:
    found: list[UsbInterface] = []
    counts = False  # whether the descriptors here belong to an alternate setting 0
    at = 0
    while at < len(data):
        length = data[at]
        if length < 2 or at + length > len(data):
            raise ValueError(f"a descriptor of {length} bytes at {at} of {len(data)}")
        part = data[at : at + length]
        at += length
        if part[1] == INTERFACE and length >= 9:
            counts = part[3] == 0
            if counts:
                found.append(UsbInterface(part[2], part[5], part[6]))
        elif found and counts and part[1] == ENDPOINT and length >= 7:
            end = UsbEndpoint(part[2], part[3] & 3, part[4] | (part[5] & 7) << 8)
            last = found[-1]
            found[-1] = UsbInterface(last.number, last.usb_class, last.subclass, (*last.endpoints, end), last.union)
        elif found and counts and part[1] == FUNCTION and length >= 5 and part[2] == UNION:
            last = found[-1]
            found[-1] = UsbInterface(last.number, last.usb_class, last.subclass, last.endpoints, part[4])
    return found
