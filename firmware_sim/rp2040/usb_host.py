"""The host at the other end of the USB cable: enumerates the device, opens its serial port, moves its bytes.

Everything it remembers is in HostState, plain data, so that a snapshot may fall into the middle of a transaction. It
asks the device only when there is something to ask: a NAK is waited out without events, because the firmware's store
to a buffer control word makes the host look again (layout.USB_LISTENS).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from firmware_sim.rp2040.blocks.usb import Usb
from firmware_sim.rp2040.layout import CLK_SYS_HZ, USB_LISTENS
from firmware_sim.rp2040.usb_descriptors import CONFIGURATION, DEVICE, STRING, CdcFunction, UsbDescription, UsbEndpoint

# Microseconds. The USB 2.0 specification asks for at least 100 ms before and 10 ms of reset (7.1.7.3, 7.1.7.5); the
# first is shortened, because nothing but waiting happens in it.
ATTACH_US, RESET_US, RECOVERY_US, ADDRESS_US = 10_000, 10_000, 10_000, 2_000
ASK_US = 2  # until the host asks an endpoint again that has data now
BIT_HZ = 12_000_000
OVERHEAD_BITS = 13 * 8  # token, handshake, SYNC, CRC and turn-around of a transaction
REQUEST_US = 5_000_000  # a control transfer may take so long
ADDRESS = 1
LANGUAGE = 0x0409
IN = 0x80
GET_DESCRIPTOR, SET_ADDRESS, SET_CONFIGURATION = 6, 5, 9
SET_LINE_CODING, SET_CONTROL_LINE_STATE = 0x20, 0x22
LINE_CODING = struct.pack("<IBBB", 115200, 0, 0, 8)
DTR_AND_RTS = 3


@dataclass
class Request:
    """A control transfer: setup packet, data, status. `step` says what it is for."""

    step: str
    setup: bytes
    out: bytes = b""
    stage: str = "setup"  # setup, data, status
    received: bytearray = field(default_factory=bytearray)
    sent: int = 0
    pid: int = 1
    deadline: int = 0

    @property
    def is_in(self) -> bool:
        """Whether the data comes from the device."""
        return bool(self.setup[0] & IN)

    @property
    def length(self) -> int:
        """wLength."""
        return self.setup[6] | self.setup[7] << 8


@dataclass
class Job:
    """The transaction on the bus."""

    kind: str  # control, in, out, notify
    until: int


@dataclass
class HostState:
    """All that the host remembers."""

    plugged: bool = True
    phase: str = "off"  # off, attach, reset, recover, wait, run, failed
    until: int | None = None
    address: int = 0
    device: UsbDescription = field(default_factory=UsbDescription)
    request: Request | None = None
    job: Job | None = None
    port: CdcFunction | None = None
    open: bool = False  # the serial port is set up: bytes move
    pids: dict[int, int] = field(default_factory=dict)  # by endpoint address
    halted: set[int] = field(default_factory=set)  # endpoints that answered STALL
    turn: int = 0  # which of the streams is looked at first
    waiting: bytearray = field(default_factory=bytearray)  # host -> device
    unread: bytearray = field(default_factory=bytearray)
    sent: bytearray = field(default_factory=bytearray)  # all that the device sent


class UsbHost:
    """The host. `warn(text)` gets what a person should know; `arrived(bytes, cycle)` is told of each packet."""

    def __init__(self, device: Usb, warn: Callable[[str], None]) -> None:
        self.device = device
        self.warn = warn
        self.state = HostState()
        self.arrived: Callable[[bytes, int], None] = lambda data, cycle: None
        device.changed, device.host_due, device.host_next = self.look, self.due, self.next_event

    # --- time ---

    def _cycles(self, us: int) -> int:
        return us * int(self.device.S[CLK_SYS_HZ]) // 1_000_000

    def _bus_cycles(self, size: int) -> int:
        """Cycles of a transaction with `size` bytes of data."""
        bits = OVERHEAD_BITS + 8 * size
        return self._cycles(ASK_US) + bits * int(self.device.S[CLK_SYS_HZ]) // BIT_HZ

    def next_event(self) -> int | None:
        """Cycle of the host's next step; None while it waits for the firmware."""
        s = self.state
        ends = [end for end in (s.until, s.job.until if s.job else None) if end is not None]
        if s.request is not None:
            ends.append(s.request.deadline)
        return min(ends, default=None)

    def due(self, cycle: int) -> None:
        """Do what is due."""
        s = self.state
        if s.until is not None and s.until <= cycle:
            s.until = None
            self._next_phase(cycle)
        if s.job is not None and s.job.until <= cycle:
            job, s.job = s.job, None
            self._transact(job.kind, cycle)
        if s.request is not None and s.request.deadline <= cycle:
            self._fail(f"no answer to {_name(s.request)} within {REQUEST_US // 1_000_000} s")
        self.look(cycle)

    # --- attaching ---

    def look(self, cycle: int) -> None:
        """Something has changed: the pull-up, a buffer, or what the host wants."""
        s, attached = self.state, self.device.attached and self.state.plugged
        if not attached:
            if s.phase != "off":
                self._leave()
        elif s.phase == "off":
            hz = self.device.clock_hz()
            if hz != 48_000_000:
                self.warn(f"USB: the pull-up is on, but clk_usb is {hz / 1e6:g} MHz, not 48: no host sees the device")
            else:
                s.phase, s.until = "attach", cycle + self._cycles(ATTACH_US)
        elif s.phase == "run" and s.job is None:
            self._pick(cycle)
        self.device.S[USB_LISTENS] = 1 if s.phase == "run" else 0
        event = self.next_event()
        if event is not None:
            self.device.wake(event)

    def _leave(self) -> None:
        """The device is gone; bytes that nobody has taken stay."""
        old = self.state
        self.state = HostState(plugged=old.plugged, waiting=old.waiting, unread=old.unread, sent=old.sent)
        self.device.disconnected()

    def _next_phase(self, cycle: int) -> None:
        s = self.state
        if s.phase == "attach":
            s.phase, s.until = "reset", cycle + self._cycles(RESET_US)
            self.device.bus_reset(cycle)
        elif s.phase == "reset":
            s.phase, s.until = "recover", cycle + self._cycles(RECOVERY_US)
        elif s.phase == "recover":
            s.phase = "run"
            self._ask_descriptor("first bytes", DEVICE, 0, 8, cycle)
        elif s.phase == "wait":  # the device had its 2 ms to take over the address
            s.phase = "run"
            self._ask_descriptor("device", DEVICE, 0, 18, cycle)

    def _fail(self, why: str) -> None:
        """Give up on the device."""
        s = self.state
        s.phase, s.request, s.job, s.until = "failed", None, None, None
        self.warn(f"USB: {why}: the host gives the device up")

    # --- control transfers ---

    def _ask(self, step: str, kind: int, request: int, value: int, index: int, length: int, cycle: int) -> Request:
        setup = struct.pack("<BBHHH", kind, request, value, index, length)
        made = Request(step, setup, deadline=cycle + self._cycles(REQUEST_US))
        self.state.request = made
        return made

    def _ask_descriptor(self, step: str, kind: int, index: int, length: int, cycle: int) -> None:
        language = LANGUAGE if kind == STRING else 0
        self._ask(step, IN, GET_DESCRIPTOR, kind << 8 | index, language, length, cycle)

    def _finish(self, request: Request, cycle: int) -> None:
        """A control transfer is over: the next one."""
        s, d, data = self.state, self.state.device, bytes(request.received)
        s.request = None
        step = request.step
        if step == "first bytes" and len(data) == 8 and data[7] in (8, 16, 32, 64):
            d.max_packet = data[7]
            self._ask("address", 0, SET_ADDRESS, ADDRESS, 0, 0, cycle)
        elif step == "address":
            s.address = ADDRESS
            s.phase, s.until = "wait", cycle + self._cycles(ADDRESS_US)
        elif step == "device" and len(data) == 18:
            d.read_device(data)
            self._ask_descriptor("head", CONFIGURATION, 0, 9, cycle)
        elif step == "head" and len(data) == 9:
            self._ask_descriptor("configuration", CONFIGURATION, 0, data[2] | data[3] << 8, cycle)
        elif step == "configuration" and len(data) >= 9:
            try:
                d.read_configuration(data)
            except ValueError as error:
                return self._fail(f"its configuration descriptor is broken: {error}")
            self._next_string(cycle)
        elif step == "string":
            d.strings[request.setup[2]] = data[2 : data[0] if data else 0].decode("utf-16-le", "replace")
            self._next_string(cycle)
        elif step == "configure":
            self._open(cycle)
        elif step == "line coding" and s.port is not None:
            self._ask("line state", 0x21, SET_CONTROL_LINE_STATE, DTR_AND_RTS, s.port.interface, 0, cycle)
        elif step == "line state":
            s.open = True
        else:
            self._fail(f"{_name(request)} gave {len(data)} bytes: {data.hex(' ') or 'none'}")
        return None

    def _next_string(self, cycle: int) -> None:
        d = self.state.device
        for index in d.string_indices:
            if index and index not in d.strings:
                return self._ask_descriptor("string", STRING, index, 255, cycle)
        self._ask("configure", 0, SET_CONFIGURATION, d.configuration, 0, 0, cycle)
        return None

    def _open(self, cycle: int) -> None:
        """The device is configured: open its serial port, or say what it is instead."""
        s = self.state
        s.pids = {}
        s.port = s.device.serial_port()
        if s.port is None:
            self.warn(f"USB: the device {s.device} has no CDC-ACM serial port: nothing reads it")
            return
        request = self._ask("line coding", 0x21, SET_LINE_CODING, 0, s.port.interface, len(LINE_CODING), cycle)
        request.out = LINE_CODING

    def _stalled(self, request: Request, cycle: int) -> None:
        """The device refuses a request: fatal, but for what serial ports and names may do without."""
        if request.step in ("line coding", "line state", "string"):
            request.received.clear()
            self._finish(request, cycle)
        else:
            self._fail(f"the device answers {_name(request)} with STALL")

    # --- transactions ---

    def _pick(self, cycle: int) -> None:
        """Choose the next transaction among those that would not end in a NAK."""
        s, d = self.state, self.device
        if d.address != s.address:
            return
        request = s.request
        if request is not None:
            size = self._control_size(request)
            if size is not None:
                s.job = Job("control", cycle + self._bus_cycles(size))
                return
        kinds = ("in", "out", "notify")
        for i in range(3):
            kind = kinds[(s.turn + i) % 3]
            size = self._stream_size(kind)
            if size is not None:
                s.turn = (s.turn + i + 1) % 3
                s.job = Job(kind, cycle + self._bus_cycles(size))
                return

    def _control_size(self, request: Request) -> int | None:
        """Bytes of the next transaction of a request; None while the device would answer NAK."""
        if request.stage == "setup":
            return 8
        out = not request.is_in if request.stage == "data" else request.is_in
        if not self.device.ready(0, int(out)):
            return None
        if request.stage == "status":
            return 0
        left = (len(request.out) if out else request.length) - request.sent - len(request.received)
        return min(left, self.state.device.max_packet)

    def _end(self, kind: str) -> UsbEndpoint | None:
        """The endpoint of a stream of the open serial port."""
        port = self.state.port
        if port is None or not self.state.open:
            return None
        return {"in": port.bulk_in, "out": port.bulk_out, "notify": port.notify}[kind]

    def _stream_size(self, kind: str) -> int | None:
        """Bytes of the next transaction of a stream; None while there is nothing or the device would answer NAK."""
        s, end = self.state, self._end(kind)
        if end is None or end.address in s.halted or (kind == "out" and not s.waiting):
            return None
        if not self.device.ready(end.address & 15, 0 if end.address & IN else 1):
            return None
        return min(len(s.waiting), end.max_packet) if kind == "out" else end.max_packet

    def _transact(self, kind: str, cycle: int) -> None:
        """The transaction that was on the bus takes place."""
        s = self.state
        if self.device.address != s.address:
            return  # nobody answers: asked again when something changes
        if kind == "control":
            if s.request is not None:
                self._control(s.request, cycle)
        elif (end := self._end(kind)) is not None:
            if kind == "out":
                self._give(end)
            else:
                self._take(kind, end, cycle)

    def _control(self, request: Request, cycle: int) -> None:
        """One transaction of a control transfer."""
        d = self.device
        if request.stage == "setup":
            d.setup(request.setup)
            request.stage = "data" if request.length else "status"
            return None
        if request.stage == "status":
            answer = d.give_out(0, 1, b"") if request.is_in and request.length else d.take_in(0)[0]
            if answer in ("ack", "data"):
                self._finish(request, cycle)
            elif answer == "stall":
                self._stalled(request, cycle)
        elif request.is_in:
            answer, pid, data = d.take_in(0)
            if answer == "stall":
                return self._stalled(request, cycle)
            if answer == "data" and self._expected(0, pid, request.pid):
                request.pid ^= 1
                request.received += data
                if len(request.received) >= request.length or len(data) < self.state.device.max_packet:
                    request.stage = "status"
        else:
            packet = request.out[request.sent : request.sent + self.state.device.max_packet]
            answer = d.give_out(0, request.pid, packet)
            if answer == "stall":
                return self._stalled(request, cycle)
            if answer == "ack":
                request.pid ^= 1
                request.sent += len(packet)
                if request.sent >= len(request.out):
                    request.stage = "status"
        return None

    def _expected(self, address: int, pid: int, expected: int) -> bool:
        """A packet with the other PID is a repetition to the host, which drops it."""
        if pid != expected:
            self.warn(
                f"USB: endpoint 0x{address | IN:02x} sent DATA{pid} where DATA{expected} is due: the host drops it"
            )
        return pid == expected

    def _give(self, end: UsbEndpoint) -> None:
        """Bytes for the device."""
        s = self.state
        packet = bytes(s.waiting[: end.max_packet])
        pid = s.pids.get(end.address, 0)
        answer = self.device.give_out(end.address & 15, pid, packet)
        if answer == "ack":
            s.pids[end.address] = pid ^ 1
            del s.waiting[: len(packet)]
        elif answer == "stall":
            self._halt(end.address)

    def _take(self, kind: str, end: UsbEndpoint, cycle: int) -> None:
        """Bytes from the device; notifications of the modem lines are read and dropped."""
        s = self.state
        answer, pid, data = self.device.take_in(end.address & 15)
        expected = s.pids.get(end.address, 0)
        if answer == "stall":
            self._halt(end.address)
        elif answer == "data" and self._expected(end.address, pid, expected):
            s.pids[end.address] = expected ^ 1
            if kind == "in" and data:
                s.unread += data
                s.sent += data
                self.arrived(data, cycle)

    def _halt(self, address: int) -> None:
        self.state.halted.add(address)
        self.warn(f"USB: endpoint 0x{address:02x} answers STALL: the host leaves it alone")


def _name(request: Request) -> str:
    """A request in words."""
    names = {"first bytes": "GET_DESCRIPTOR (device, 8 bytes)", "device": "GET_DESCRIPTOR (device)"}
    names |= {"head": "GET_DESCRIPTOR (configuration, 9 bytes)", "configuration": "GET_DESCRIPTOR (configuration)"}
    names |= {"address": "SET_ADDRESS", "configure": "SET_CONFIGURATION", "string": "GET_DESCRIPTOR (string)"}
    names |= {"line coding": "SET_LINE_CODING", "line state": "SET_CONTROL_LINE_STATE"}
    return names[request.step]
