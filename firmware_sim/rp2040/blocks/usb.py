"""USBCTRL_REGS and the USB RAM: the USB controller as a device. RP2040 datasheet 4.1.

The firmware hands buffers over through control words in the USB RAM, which the controller reads when the host asks.
Here `setup`, `take_in` and `give_out` are the host's transactions; usb_host.py decides when they happen. Host mode is
not modelled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from firmware_sim.rp2040.layout import (
    CLK_SYS_HZ,
    DPRAM_OFFSET,
    DPRAM_SIZE,
    NEVER,
    PIN_FUNCTION,
    USB_LISTENS,
    WRITTEN,
    State,
)
from firmware_sim.rp2040.layout import Memory as ChipMemory
from firmware_sim.rp2040.registers import Register, RegisterBlock

USBCTRL_IRQ = 5
# SIE_STATUS
VBUS_DETECTED, LINE_STATE_J, SUSPENDED, RESUME, CONNECTED = 1 << 0, 1 << 2, 1 << 4, 1 << 11, 1 << 16
SETUP_REC, TRANS_COMPLETE, BUS_RESET, ACK_REC, DATA_SEQ_ERROR = 1 << 17, 1 << 18, 1 << 19, 1 << 30, 1 << 31
SIE_CLEARABLE = 0xFF0E0810  # write-clear bits; CONNECTED, LINE_STATE and VBUS_DETECTED are levels
# SIE_CTRL
PULLUP_EN, EP0_INT_NAK, EP0_INT_2BUF, EP0_INT_1BUF, EP0_DOUBLE_BUF = 1 << 16, 1 << 27, 1 << 28, 1 << 29, 1 << 30
SIE_SELF_CLEARING = 1 << 0 | 1 << 4 | 1 << 12 | 1 << 13  # START_TRANS, STOP_TRANS, RESUME, RESET_BUS
CONTROLLER_EN, HOST_NDEVICE = 1, 2  # MAIN_CTRL
TO_PHY = 1  # USB_MUXING
VBUS_DETECT, VBUS_DETECT_OVERRIDE_EN = 1 << 2, 1 << 3  # USB_PWR
VBUS_DETECT_PINS = sum(1 << pin for pin in range(1, 30, 3))  # with function 9
# INTR
INT_TRANS_COMPLETE, INT_BUFF_STATUS, INT_DATA_SEQ, INT_VBUS, INT_BUS_RESET = 1 << 3, 1 << 4, 1 << 5, 1 << 11, 1 << 12
INT_CONN_DIS, INT_SUSPEND, INT_RESUME, INT_SETUP_REQ, INT_SOF = (1 << bit for bit in range(13, 18))
INT_ABORT_DONE, INT_STALL_NAK = 1 << 18, 1 << 19
OF_STATUS = {
    TRANS_COMPLETE: INT_TRANS_COMPLETE,
    DATA_SEQ_ERROR: INT_DATA_SEQ,
    VBUS_DETECTED: INT_VBUS,
    BUS_RESET: INT_BUS_RESET,
    SUSPENDED: INT_SUSPEND,
    RESUME: INT_RESUME,
    SETUP_REC: INT_SETUP_REQ,
}
# Endpoint control words, from 0x08 of the USB RAM; endpoint 0 has SIE_CTRL instead
EP_ENABLE, EP_DOUBLE, EP_INT_1BUF, EP_INT_2BUF, EP_INT_STALL, EP_INT_NAK = (
    1 << 31,
    1 << 30,
    1 << 29,
    1 << 28,
    1 << 17,
    1 << 16,
)
# Buffer control words, from 0x80: 16 bits a buffer
FULL, LAST, PID, SELECT, STALL, AVAILABLE, LENGTH = 1 << 15, 1 << 14, 1 << 13, 1 << 12, 1 << 11, 1 << 10, 0x3FF
EP0_BUFFER = 0x100
WRITE_CLEAR = ("SIE_STATUS", "BUFF_STATUS", "EP_ABORT_DONE", "EP_STATUS_STALL_NAK")

REGISTERS = {f"ADDR_ENDP{i or ''}": Register(4 * i, 0, 0x7FFFFFF) for i in range(16)}
REGISTERS |= {
    "MAIN_CTRL": Register(0x40, 0, 0x80000003),
    "SOF_WR": Register(0x44, 0, 0x7FF),
    "SOF_RD": Register(0x48, 0, 0),
    "SIE_CTRL": Register(0x4C, 0x8000, 0xFF07BF5F),
    "SIE_STATUS": Register(0x50),
    "INT_EP_CTRL": Register(0x54, 0, 0xFFFE),
    "BUFF_STATUS": Register(0x58),
    "BUFF_CPU_SHOULD_HANDLE": Register(0x5C, 0, 0),
    "EP_ABORT": Register(0x60),
    "EP_ABORT_DONE": Register(0x64),
    "EP_STALL_ARM": Register(0x68, 0, 3),
    "NAK_POLL": Register(0x6C, 0x100010, 0x3FF03FF),
    "EP_STATUS_STALL_NAK": Register(0x70),
    "USB_MUXING": Register(0x74, 0, 0xF),
    "USB_PWR": Register(0x78, 0, 0x3F),
    "USBPHY_DIRECT": Register(0x7C, 0, 0x7FFF77),
    "USBPHY_DIRECT_OVERRIDE": Register(0x80, 0, 0x9FFF),
    "USBPHY_TRIM": Register(0x84, 0x1F1F, 0x1F1F),
    "RESERVED": Register(0x88, 0, 0),  # zeroed by firmware that clears the whole block
    "INTR": Register(0x8C, 0, 0),
    "INTE": Register(0x90, 0, 0xFFFFF),
    "INTF": Register(0x94, 0, 0xFFFFF),
    "INTS": Register(0x98, 0, 0),
}


class Endpoint(NamedTuple):
    """One direction of an endpoint as the firmware set it up."""

    control: int  # EP_* bits
    word: int  # index of its buffer control word in the memory, in words
    shift: int  # of the half of that word whose turn it is
    buffer: int  # byte offset in the memory of the buffer whose turn it is


class Usb(RegisterBlock):
    """The device controller. `changed(cycle)` is called when the host has to look again."""

    remembers = ("values", "selected", "waiting", "frame_base", "sof_at", "connected", "connection_changed")

    def __init__(
        self,
        S: State,
        mem: ChipMemory,
        report: Callable[[str, int], None],
        now: Callable[[], int],
        hz: Callable[[], int],
    ) -> None:
        self.mem = mem
        self.now = now
        self.clock_hz = hz
        self.changed: Callable[[int], None] = lambda cycle: None
        self.host_due: Callable[[int], None] = lambda cycle: None
        self.host_next: Callable[[], int | None] = lambda: None
        super().__init__("USBCTRL_REGS", REGISTERS, S, report)

    def reset(self) -> None:
        """Nothing connected, no buffer waits for the processor."""
        super().reset()
        self.selected = [0] * 32  # buffer whose turn it is, by 2 * endpoint + (1 for OUT)
        self.waiting: dict[int, list[int]] = {}  # buffers that the processor has not acknowledged, oldest first
        self.frame_base = 0  # cycle of frame 0
        self.sof_at = NEVER
        self.connected = False
        self.connection_changed = False
        self.S[USB_LISTENS] = 0
        self.settle()
        self.changed(self.now())

    # --- what the host sees ---

    def vbus(self) -> bool:
        """VBUS_DETECTED: forced by USB_PWR, or the level of a pin with the USB function; the host supplies it."""
        power = self.values["USB_PWR"]
        if power & VBUS_DETECT_OVERRIDE_EN:
            return bool(power & VBUS_DETECT)
        return bool(self.S[PIN_FUNCTION + 9] & VBUS_DETECT_PINS)

    @property
    def attached(self) -> bool:
        """Whether the pull-up on D+ shows a device to the host."""
        v = self.values
        on = v["MAIN_CTRL"] & (CONTROLLER_EN | HOST_NDEVICE) == CONTROLLER_EN and v["SIE_CTRL"] & PULLUP_EN
        return bool(on and v["USB_MUXING"] & TO_PHY and self.vbus())

    @property
    def address(self) -> int:
        """The device address that the firmware set."""
        return self.values["ADDR_ENDP"] & 0x7F

    def bus_reset(self, cycle: int) -> None:
        """The host resets the bus; frames count from here."""
        self.values["SIE_STATUS"] |= BUS_RESET
        self.connection_changed |= not self.connected
        self.connected = True
        self.values["ADDR_ENDP"] = 0
        self.selected = [0] * 32
        self.frame_base = cycle
        self._plan_sof(cycle)
        self.settle()

    def disconnected(self) -> None:
        """The host is gone."""
        self.connection_changed |= self.connected
        self.connected = False
        self.sof_at = NEVER
        self.settle()

    def endpoint(self, number: int, out: int) -> Endpoint:
        """The endpoint as the controller reads it for a transaction; SELECT makes it begin with buffer 0 again."""
        words = self.mem.words
        index = (DPRAM_OFFSET + 0x80 + 8 * number + 4 * out) >> 2
        if number:
            control = int(words[(DPRAM_OFFSET + 8 * number + 4 * out) >> 2])
            base, spacing = control & 0xFFC0, 64
        else:
            control, base, spacing = self.values["SIE_CTRL"] & (EP_DOUBLE | EP_INT_1BUF | EP_INT_2BUF), EP0_BUFFER, 64
            control |= EP_ENABLE | (EP_INT_NAK if self.values["SIE_CTRL"] & EP0_INT_NAK else 0)
        if control >> 26 & 3 == 1:  # isochronous buffers lie 128, 256, 512 or 1024 bytes apart
            spacing = 128 << (int(words[index]) >> 27 & 3)
        key = 2 * number + out
        if words[index] & SELECT:
            self.selected[key] = 0
        select = self.selected[key] if control & EP_DOUBLE else 0
        return Endpoint(control, index, 16 * select, DPRAM_OFFSET + (base + spacing * select & 0xFFF))

    def ready(self, number: int, out: int) -> bool:
        """Whether a transaction would end in something else than NAK."""
        endpoint = self.endpoint(number, out)
        half = int(self.mem.words[endpoint.word]) >> endpoint.shift
        if not endpoint.control & EP_ENABLE or self.values["EP_ABORT"] >> (2 * number + out) & 1:
            return False
        return self._stalls(number, out, half) or (bool(half & AVAILABLE) and bool(half & FULL) != bool(out))

    def _stalls(self, number: int, out: int, half: int) -> bool:
        return bool(half & STALL) and (number > 0 or bool(self.values["EP_STALL_ARM"] >> out & 1))

    def setup(self, packet: bytes) -> None:
        """A SETUP transaction, 8 bytes: always taken."""
        self.mem.bytes[DPRAM_OFFSET : DPRAM_OFFSET + 8] = list(packet)
        self.values["EP_STALL_ARM"] = 0
        self.values["SIE_STATUS"] |= SETUP_REC
        self.settle()

    def take_in(self, number: int) -> tuple[str, int, bytes]:
        """An IN transaction that the host acknowledges: ("data", PID, bytes), ("nak", ...) or ("stall", ...)."""
        endpoint = self.endpoint(number, 0)
        half = int(self.mem.words[endpoint.word]) >> endpoint.shift
        if not self.ready(number, 0) or self._stalls(number, 0, half):
            return self._refuse(number, 0, endpoint, half), 0, b""
        end = min(endpoint.buffer + (half & LENGTH), DPRAM_OFFSET + DPRAM_SIZE)
        data = bytes(self.mem.bytes[endpoint.buffer : end])
        self.values["SIE_STATUS"] |= ACK_REC
        self._complete(number, 0, endpoint, half & ~(FULL | AVAILABLE | SELECT))
        return "data", 1 if half & PID else 0, data

    def give_out(self, number: int, pid: int, data: bytes) -> str:
        """An OUT transaction: "ack", "nak" or "stall". A packet with the wrong PID is acknowledged and dropped."""
        endpoint = self.endpoint(number, 1)
        half = int(self.mem.words[endpoint.word]) >> endpoint.shift
        if not self.ready(number, 1) or self._stalls(number, 1, half):
            return self._refuse(number, 1, endpoint, half)
        if pid != (1 if half & PID else 0):
            self.values["SIE_STATUS"] |= DATA_SEQ_ERROR
            self.settle()
            return "ack"
        data = data[: min(half & LENGTH, DPRAM_OFFSET + DPRAM_SIZE - endpoint.buffer)]
        self.mem.bytes[endpoint.buffer : endpoint.buffer + len(data)] = list(data)
        self._complete(number, 1, endpoint, half & ~(AVAILABLE | SELECT | LENGTH) | FULL | len(data))
        return "ack"

    def _refuse(self, number: int, out: int, endpoint: Endpoint, half: int) -> str:
        """NAK or STALL; the endpoint may want to know."""
        stalls = bool(endpoint.control & EP_ENABLE) and self._stalls(number, out, half)
        wants = EP_INT_STALL if stalls else EP_INT_NAK
        if number == 0 and stalls:
            wants = EP_ENABLE if self.values["SIE_CTRL"] >> 31 & 1 else 0
        if endpoint.control & wants:
            self.values["EP_STATUS_STALL_NAK"] |= 1 << (2 * number + out)
            self.settle()
        return "stall" if stalls else "nak"

    def _complete(self, number: int, out: int, endpoint: Endpoint, half: int) -> None:
        """Give a buffer back to the processor."""
        words, key = self.mem.words, 2 * number + out
        words[endpoint.word] = int(words[endpoint.word]) & ~(0xFFFF << endpoint.shift) | half << endpoint.shift
        if half & LAST:
            self.values["SIE_STATUS"] |= TRANS_COMPLETE
        buffer = endpoint.shift >> 4
        wanted = EP_INT_1BUF
        if endpoint.control & EP_DOUBLE:
            self.selected[key] = buffer ^ 1
            wanted = EP_INT_1BUF | (EP_INT_2BUF if buffer else 0)
        if endpoint.control & wanted:
            self.waiting.setdefault(key, []).append(buffer)
            self.values["BUFF_STATUS"] |= 1 << key
        self.settle()

    # --- registers ---

    def raw(self) -> int:
        """INTR."""
        v = self.values
        status = v["SIE_STATUS"] | (VBUS_DETECTED if self.vbus() else 0)
        raw = sum(interrupt for bit, interrupt in OF_STATUS.items() if status & bit)
        raw |= INT_BUFF_STATUS if v["BUFF_STATUS"] else 0
        raw |= INT_CONN_DIS if self.connection_changed else 0
        raw |= INT_ABORT_DONE if v["EP_ABORT_DONE"] else 0
        raw |= INT_STALL_NAK if v["EP_STATUS_STALL_NAK"] else 0
        return raw | v["INTR"]  # of which only SOF is stored

    def settle(self) -> None:
        """Drive the interrupt line."""
        self.set_irq(USBCTRL_IRQ, bool(self.raw() & self.values["INTE"] | self.values["INTF"]))

    def frame(self, cycle: int) -> int:
        """Number of the frame, one a millisecond since the bus reset."""
        if not self.connected:
            return 0
        return (cycle - self.frame_base) * 1000 // int(self.S[CLK_SYS_HZ]) & 0x7FF

    def _plan_sof(self, cycle: int) -> None:
        """Frames become events only while SOF interrupts are enabled."""
        self.sof_at = NEVER
        if self.values["INTE"] & INT_SOF and self.connected:
            hz = int(self.S[CLK_SYS_HZ])
            frames = (cycle - self.frame_base) * 1000 // hz + 1
            self.sof_at = self.frame_base + -(-frames * hz // 1000)

    def read(self, name: str, look: bool) -> int:
        """Levels are computed; reading SOF_RD clears the SOF interrupt."""
        v = self.values
        if name == "SIE_STATUS":
            levels = (VBUS_DETECTED if self.vbus() else 0) | (LINE_STATE_J if self.attached else 0)
            return v[name] | levels | (CONNECTED if self.connected else 0)
        if name == "BUFF_CPU_SHOULD_HANDLE":
            return sum(buffers[0] << key for key, buffers in self.waiting.items() if buffers)
        if name == "INTR":
            return self.raw()
        if name == "INTS":
            return self.raw() & v["INTE"] | v["INTF"]
        if name == "SOF_RD":
            if not look:
                v["INTR"] &= ~INT_SOF
                self.settle()
            return self.frame(self.now())
        return v[name]

    def write(self, name: str, value: int, cycle: int) -> None:
        """Write-clear registers go by what the store put on the bus, whatever alias it used."""
        v = self.values
        written = int(self.S[WRITTEN])
        if name == "SIE_STATUS":
            v[name] &= ~(written & SIE_CLEARABLE)
            if written & CONNECTED:
                self.connection_changed = False
        elif name == "BUFF_STATUS":
            self._acknowledge(written)
        elif name in WRITE_CLEAR:
            v[name] &= ~written
        elif name == "EP_ABORT":
            v[name] = value
            v["EP_ABORT_DONE"] |= value  # no transaction lasts longer than its own event
        elif name == "SIE_CTRL":
            v[name] = value & ~SIE_SELF_CLEARING
        else:
            v[name] = value
        if name == "INTE":
            self._plan_sof(cycle)
        if name == "MAIN_CTRL" and value & HOST_NDEVICE:
            self._report("USBCTRL_REGS (host mode)", 0x40)
        self.settle()
        self.changed(cycle)

    def _acknowledge(self, written: int) -> None:
        """Clear bits of BUFF_STATUS; one stays while the other buffer of its endpoint waits too."""
        for key, buffers in self.waiting.items():
            if written >> key & 1 and buffers:
                buffers.pop(0)
                if not buffers:
                    self.values["BUFF_STATUS"] &= ~(1 << key)

    # --- time ---

    def due(self, cycle: int) -> None:
        """SOF, and whatever the host has planned."""
        if self.sof_at <= cycle:
            self.values["INTR"] |= INT_SOF
            self._plan_sof(cycle)
            self.settle()
        self.host_due(cycle)

    def next_event(self) -> int | None:
        """The next SOF that somebody wants, or the host's next step."""
        host = self.host_next()
        if host is None:
            return self.sof_at if self.sof_at != NEVER else None
        return min(self.sof_at, host)
