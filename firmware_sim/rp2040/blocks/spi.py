"""SPI0 and SPI1 (Arm PL022): FIFOs of 8, frames of 4 to 16 bits, master and slave. RP2040 datasheet 4.4, ARM DDI 0194.

Frames are modelled whole: at the end of its time a frame has exchanged its word with the selected device. What nobody
can have noticed is not an event: frames are caught up with when a register is accessed or a chip select moves, and
scheduled only while an interrupt or a DMA request could come of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from firmware_sim.rp2040.blocks.serial_pins import spi_pins_missing
from firmware_sim.rp2040.layout import CLK_PERI_HZ, CLK_SYS_HZ, PIN_FUNCTION, WRITTEN, State
from firmware_sim.rp2040.registers import Register, RegisterBlock

DEPTH = 8
SPI0_IRQ, DREQ_SPI0_TX = 18, 16
SPH = 1 << 7  # SSPCR0
LBM, SSE, MS, SOD = 1, 2, 4, 8  # SSPCR1
TFE, TNF, RNE, RFF, BSY = 1, 2, 4, 8, 16  # SSPSR
ROR, RT, RX, TX = 1, 2, 4, 8  # interrupts
TIMEOUT_BITS = 32  # of an idle bus with something in the receive FIFO
# With SPH = 0 the select line goes high for a moment between two frames (ARM DDI 0194, figure 2-7).
GAP_HALF_BITS = 3

REGISTERS = {
    "SSPCR0": Register(0x00, 0, 0xFFFF),
    "SSPCR1": Register(0x04, 0, 0xF),
    "SSPDR": Register(0x08, 0, 0xFFFF),
    "SSPSR": Register(0x0C, TFE | TNF, 0),
    "SSPCPSR": Register(0x10, 0, 0xFE),
    "SSPIMSC": Register(0x14, 0, 0xF),
    "SSPRIS": Register(0x18, TX, 0),
    "SSPMIS": Register(0x1C, 0, 0),
    "SSPICR": Register(0x20, 0, 3),
    "SSPDMACR": Register(0x24, 0, 3),
    **{
        f"SSPPERIPHID{i}": Register(0xFE0 + 4 * i, value, 0)
        for i, value in enumerate((0x22, 0x10, 0x34, 0x00, 0x0D, 0xF0, 0x05, 0xB1))
    },
}


class SpiDevice(Protocol):
    """Something on the bus. `remembers`, when there is one, names the attributes that a snapshot holds.

    A device may have `select(active: bool)`, which is called when its chip select moves.
    """

    def exchange(self, word: int) -> int:
        """A frame: what the master sent, and what the device sends at the same time."""


@dataclass
class HostFrames:
    """What the host as a master exchanges with the chip as a slave."""

    words: tuple[int, ...]
    hz: int
    received: list[int] = field(default_factory=list)


def tell_selected(device: SpiDevice, active: bool) -> None:
    """Call the device's `select`, if it has one."""
    select = getattr(device, "select", None)
    if select is not None:
        select(active)


class Spi(RegisterBlock):
    """One SPI controller. `devices` are (device, pin of its chip select or None for one that is always selected).

    `warn` is told once when a frame begins without a clock pin: a board would reach nobody.
    """

    remembers = ("values", "tx", "rx", "word", "until", "ror", "timed_out", "idle_since", "levels", "queue", "finished")

    def __init__(
        self,
        index: int,
        S: State,
        report: Callable[[str, int], None],
        now: Callable[[], int],
        warn: Callable[[str], None],
    ) -> None:
        self.index = index
        self.warn = warn
        self.now = now
        self.devices: list[tuple[SpiDevice, int | None]] = []
        self.levels: dict[int, int] = {}  # of the chip selects
        self.queue: list[HostFrames] = []
        self.finished: list[HostFrames] = []
        super().__init__(f"SPI{index}", REGISTERS, S, report)

    def reset(self) -> None:
        """Both FIFOs empty, nothing on the bus."""
        super().reset()
        self.tx: list[int] = []
        self.rx: list[int] = []
        self.word = 0  # in the shift register
        self.until: int | None = None  # end of the frame on the bus
        self.ror = False
        self.timed_out = False
        self.idle_since: int | None = None  # since when nothing has come while the receive FIFO holds something
        self.settle()

    # --- what the registers mean ---

    @property
    def bits(self) -> int:
        """Bits of a frame."""
        return max(4, (self.values["SSPCR0"] & 15) + 1)

    def half_bit_cycles(self, halves: int) -> int:
        """Cycles of clk_sys of so many half bits: CPSDVSR * (1 + SCR) of clk_peri a bit."""
        divider = max(2, self.values["SSPCPSR"]) * (1 + (self.values["SSPCR0"] >> 8))
        peri = int(self.S[CLK_PERI_HZ])
        if not peri:
            return 0
        return max(1, -(-halves * divider * int(self.S[CLK_SYS_HZ]) // (2 * peri)))

    def frame_cycles(self, follows: bool) -> int:
        """Cycles of a frame; `follows` another one at once."""
        gap = GAP_HALF_BITS if follows and not self.values["SSPCR0"] & SPH else 0
        if self.values["SSPCR1"] & MS:
            return max(1, self.bits * int(self.S[CLK_SYS_HZ]) // self.queue[0].hz)
        return self.half_bit_cycles(2 * self.bits + gap)

    def status(self) -> int:
        """SSPSR."""
        flags = (TFE if not self.tx else 0) | (TNF if len(self.tx) < DEPTH else 0)
        flags |= (RNE if self.rx else 0) | (RFF if len(self.rx) == DEPTH else 0)
        return flags | (BSY if self.until is not None or self.tx else 0)

    def raw(self) -> int:
        """SSPRIS: both FIFO interrupts come at half of the depth."""
        raw = (ROR if self.ror else 0) | (RT if self.timed_out else 0)
        return raw | (RX if len(self.rx) >= DEPTH // 2 else 0) | (TX if len(self.tx) <= DEPTH // 2 else 0)

    def settle(self) -> None:
        """Drive the interrupt line and the DMA requests."""
        self.set_irq(SPI0_IRQ + self.index, bool(self.raw() & self.values["SSPIMSC"]))
        control, tx = self.values["SSPDMACR"], DREQ_SPI0_TX + 2 * self.index
        on = bool(self.values["SSPCR1"] & SSE)
        self.set_dreq(tx, on and bool(control & 2) and len(self.tx) < DEPTH)
        self.set_dreq(tx + 1, on and bool(control & 1) and bool(self.rx))

    # --- frames ---

    def exchange_with_devices(self, word: int) -> int:
        """A frame with every selected device; nobody driving the line reads as 0.

        A chip select that the controller itself drives (pin function SPI) goes high between frames unless SPH is set.
        """
        own = int(self.S[PIN_FUNCTION + 1])
        together = 0
        for device, pin in self.devices:
            if pin is not None and own >> pin & 1:
                tell_selected(device, True)
                together |= device.exchange(word)
                if not self.tx or not self.values["SSPCR0"] & SPH:
                    tell_selected(device, False)
            elif pin is None or self.levels[pin] == 0:
                together |= device.exchange(word)
        return together

    def select(self, pin: int, level: int, cycle: int) -> None:
        """A chip select moves; frames that ended before belong to what was selected then."""
        self.catch_up(cycle)
        self.levels[pin] = level
        driven = int(self.S[PIN_FUNCTION + 1]) >> pin & 1  # by the controller, which tells of its frames itself
        for device, own in self.devices:
            if own == pin and not driven:
                tell_selected(device, not level)

    def _start(self, cycle: int, follows: bool) -> None:
        """Begin the next frame, if there is one."""
        if self.until is not None or not self.values["SSPCR1"] & SSE:
            return
        if self.values["SSPCR1"] & MS:
            if not self.queue:
                return
            self.word = self.tx.pop(0) if self.tx else 0
        elif self.tx and self.half_bit_cycles(1):
            self.word = self.tx.pop(0)
            missing = "" if self.values["SSPCR1"] & LBM else spi_pins_missing(self.S, self.index)
            if missing:
                self.warn(f"{self.name} sends, but no GPIO is its {missing}: on a board nobody would notice")
        else:
            return
        self.until = cycle + self.frame_cycles(follows)
        self.idle_since = None

    def _exchange(self) -> int:
        """The frame on the bus is over: the word that came in."""
        mask = (1 << self.bits) - 1
        if self.values["SSPCR1"] & MS:
            frames = self.queue[0]
            word = frames.words[len(frames.received)]
            frames.received.append(0 if self.values["SSPCR1"] & SOD else self.word & mask)
            if len(frames.received) == len(frames.words):
                self.finished.append(self.queue.pop(0))
            return word & mask
        answer = self.exchange_with_devices(self.word & mask)
        return (self.word if self.values["SSPCR1"] & LBM else answer) & mask

    def catch_up(self, cycle: int) -> None:
        """Everything that has happened on the bus until `cycle`."""
        while self.until is not None and self.until <= cycle:
            end, self.until = self.until, None
            word = self._exchange()
            if len(self.rx) >= DEPTH:
                self.ror = True
            else:
                self.rx.append(word)
            self.idle_since = end
            self._start(end, True)
        if self.rx and self.idle_since is not None and not self.timed_out and self._timeout_at() <= cycle:
            self.timed_out = True
            self.idle_since = None

    def _timeout_at(self) -> int:
        return (self.idle_since or 0) + self.half_bit_cycles(2 * TIMEOUT_BITS)

    # --- registers ---

    def read(self, name: str, look: bool) -> int:
        """SSPDR takes from the receive FIFO."""
        if not look:
            self._advance(self.now())
        if name == "SSPSR":
            return self.status()
        if name == "SSPRIS":
            return self.raw()
        if name == "SSPMIS":
            return self.raw() & self.values["SSPIMSC"]
        if name != "SSPDR":
            return self.values[name]
        if not self.rx:
            return 0
        value = self.rx[0]
        if not look:
            self.rx.pop(0)
            if not self.rx:
                self.timed_out = False
            self.settle()
        return value

    def write(self, name: str, value: int, cycle: int) -> None:
        """SSPDR puts into the transmit FIFO; one word too many is lost."""
        self.catch_up(cycle)
        if name == "SSPDR":
            if len(self.tx) < DEPTH:
                self.tx.append(value)
        elif name == "SSPICR":
            written = int(self.S[WRITTEN])
            self.ror &= not written & ROR
            self.timed_out &= not written & RT
        else:
            self.values[name] = value
        if name == "SSPCR1" and not value & SSE:
            self.until = None
        self._advance(cycle)

    # --- time ---

    def poke(self, cycle: int) -> None:
        """The host has queued something."""
        self._advance(cycle)

    def _advance(self, cycle: int) -> None:
        self.catch_up(cycle)
        self._start(cycle, False)
        self.settle()
        event = self.next_event()
        if event is not None:
            self.wake(event)

    def due(self, cycle: int) -> None:
        """Frames that are over."""
        event = self.next_event()
        if event is not None and event <= cycle:
            self._advance(cycle)

    def next_event(self) -> int | None:
        """End of the frame or of the receive timeout, while somebody could notice."""
        if not (self.values["SSPIMSC"] or self.values["SSPDMACR"] or self.queue):
            return None
        if self.until is not None:
            return self.until
        if self.rx and self.idle_since is not None and not self.timed_out and self.values["SSPIMSC"] & RT:
            return self._timeout_at()
        return None
