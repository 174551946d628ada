"""Injected faults: `board.faults` breaks a board at a cycle, at a rate, or for good. The same seed gives the same run.

>>> from firmware_sim.rp2040 import Board
>>> board = Board()
>>> board.faults.flip_bit(0x20000000, 3)  # now; at_cycle= for later
>>> board.read_memory(0x20000000, 1)
b'\\x08'
>>> board.faults.flips_at_rate(2.0, "sram")  # a cosmic ray every 500,000 cycles on average
>>> board.faults.uart_noise(0, 0.01)  # every hundredth byte has a bit wrong
>>> board.faults.power_cut(1_000_000)  # the run ends with the reason "power_cut"; go on with board.power_on()
>>> board.faults.clear()
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from firmware_sim.rp2040.flash_chip import FlashChip
from firmware_sim.rp2040.layout import (
    CLOCK_PPM,
    CORE_STRIDE,
    CYCLES,
    EXIT,
    EXIT_POWER,
    FLASH_OFFSET,
    FLASH_SIZE,
    LR,
    NEVER,
    NEXT_EVENT,
    PC,
    PIN_STUCK,
    PIN_STUCK_LEVEL,
    SP,
    SRAM_OFFSET,
    SRAM_SIZE,
    Memory,
    State,
)
from firmware_sim.rp2040.memory_map import locate
from firmware_sim.rp2040.registers import RegisterBlock
from shared.errors import BadInputError

if TYPE_CHECKING:
    from firmware_sim.rp2040.board import Board

Where = Literal["sram", "flash", "registers"]
MEGACYCLE = 1_000_000
PINS = 30
REGISTER_NAMES = (*(f"r{i}" for i in range(13)), "sp", "lr", "pc")
# Bits that the hardware has: the lowest of SP and PC are wired to 0.
REGISTER_BITS = {SP: range(2, 32), LR: range(32), PC: range(1, 32)}
CAMERA_FAULTS = ("", "frozen", "dark", "dead", *(f"stuck:{bit}" for bit in range(8)))


@dataclass(frozen=True)
class Injected:
    """A fault that happened: when, and what, in words."""

    cycle: int
    what: str


@dataclass(frozen=True)
class _Flip:
    """One bit: of the memory at `place` (an offset), or of a register (core's slice + register number)."""

    register: bool
    place: int
    bit: int


class FaultPlan(RegisterBlock):
    """What is to happen at which cycle; part of the chip, so that a snapshot holds it."""

    remembers = ("flips", "rates", "cut_at", "off", "drawn", "done", "uart_rates", "uart_bytes", "camera", "seed")

    def __init__(
        self,
        S: State,
        mem: Memory,
        flash: FlashChip,
        forget: Callable[[int, int], None],
        flash_changed: Callable[[int, int], None],
        warn: Callable[[str], None],
    ) -> None:
        self.mem = mem
        self.warn = warn
        self._flash = flash
        self._forget = forget
        self._flash_changed = flash_changed
        self.clear(1)
        super().__init__("FAULTS", {}, S, lambda name, offset: None)

    def clear(self, seed: int) -> None:
        """Nothing is planned."""
        self.seed = seed
        self.drawn = 0  # random numbers taken
        self.flips: list[tuple[int, _Flip]] = []
        self.rates: dict[Where, tuple[float, int]] = {}  # flips a megacycle, cycle of the next
        self.cut_at = NEVER
        self.off = False
        self.done: list[Injected] = []
        self.uart_rates: dict[tuple[int, int], tuple[float, float]] = {}  # (port, direction): noise, loss a byte
        self.uart_bytes: dict[tuple[int, int], int] = {}  # bytes that passed
        self.camera = ""

    def reset(self) -> None:
        """The cycle counter starts anew: what was planned for a cycle is over, rates go on."""
        super().reset()
        self.flips, self.cut_at = [], NEVER
        self.rates = {where: (rate, self.gap(rate)) for where, (rate, _) in self.rates.items()}

    def _draw(self) -> random.Random:
        """The next source of random numbers; which it is is all that has to be remembered."""
        self.drawn += 1
        return random.Random(f"{self.seed} {self.drawn}")

    def gap(self, rate: float) -> int:
        """Cycles to the next flip."""
        return max(1, round(self._draw().expovariate(rate) * MEGACYCLE))

    def apply(self, flip: _Flip, cycle: int) -> None:
        """Turn a bit over."""
        S = self.S
        if flip.register:
            S[flip.place] ^= 1 << flip.bit
            core, number = divmod(flip.place, CORE_STRIDE)
            what = f"core {core} {REGISTER_NAMES[number]} bit {flip.bit}"
        else:
            self.mem.bytes[flip.place] ^= 1 << flip.bit
            if flip.place >= FLASH_OFFSET:
                self._flash_changed(flip.place - FLASH_OFFSET, 1)
                what = f"flash 0x{flip.place - FLASH_OFFSET:06x} bit {flip.bit}"
            else:
                self._forget(flip.place, 1)
                what = f"SRAM 0x{0x20000000 + flip.place - SRAM_OFFSET:08x} bit {flip.bit}"
        self.done.append(Injected(cycle, what))

    def pick(self, where: Where) -> _Flip:
        """A bit at random."""
        draw = self._draw()
        if where == "registers":
            number = draw.randrange(16)
            return _Flip(True, number, draw.choice(REGISTER_BITS.get(number, range(32))))
        offset, size = (SRAM_OFFSET, SRAM_SIZE) if where == "sram" else (FLASH_OFFSET, FLASH_SIZE)
        return _Flip(False, offset + draw.randrange(size), draw.randrange(8))

    def due(self, cycle: int) -> None:
        """Do what is planned for this cycle or earlier."""
        while self.flips and self.flips[0][0] <= cycle:
            self.apply(self.flips.pop(0)[1], cycle)
        for where, (rate, at) in self.rates.items():
            while at <= cycle:
                self.apply(self.pick(where), cycle)
                at += self.gap(rate)
            self.rates[where] = (rate, at)
        if self.cut_at <= cycle:
            self.cut_at = NEVER
            self.lose_power(cycle, "power cut")
            self.S[EXIT], self.S[NEXT_EVENT] = EXIT_POWER, cycle

    def lose_power(self, cycle: int, what: str) -> None:
        """The supply is gone: a flash operation stays half done."""
        operation = self._flash.interrupt(cycle, self.seed)
        if operation is not None:
            kind = "erasing" if operation.data is None else "programming"
            what += f" while {kind} flash 0x{operation.address:06x}"
        self.off = True
        self.done.append(Injected(cycle, what))

    def next_event(self) -> int | None:
        """The earliest of all plans."""
        planned = [cycle for cycle, _ in self.flips[:1]] + [at for _, at in self.rates.values()]
        return min([*planned, self.cut_at])

    def line(self, port: int, direction: int, data: bytes) -> bytes:
        """What of bytes on a UART's line arrives; each byte's fate depends on its number only."""
        noise, loss = self.uart_rates.get((port, direction), (0.0, 0.0))
        if not noise and not loss:
            return data
        first = self.uart_bytes.get((port, direction), 0)
        self.uart_bytes[port, direction] = first + len(data)
        arrived = bytearray()
        for number, byte in enumerate(data, first):
            fate = random.Random(f"{self.seed} {port} {direction} {number}")
            if fate.random() >= loss:
                arrived.append(byte ^ (1 << fate.randrange(8) if fate.random() < noise else 0))
        return bytes(arrived)


class Faults:
    """`board.faults`. Rates are per 1,000,000 cycles of clk_sys, or shares of the bytes on a UART."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._plan = board.chip.faults

    @property
    def log(self) -> list[Injected]:
        """What has happened so far."""
        return self._plan.done

    @property
    def off(self) -> bool:
        """Whether the power is off: `board.power_on()` brings it back."""
        return self._plan.off

    def clear(self, seed: int = 1) -> None:
        """Forget all plans and repair what is broken (not what was flipped); a new seed for what comes."""
        off = self._plan.off
        self._plan.clear(seed)
        self._plan.off = off
        S = self._board.chip.S
        S[PIN_STUCK], S[PIN_STUCK_LEVEL] = 0, 0
        self._planned()
        self._board.chip.pins_changed()
        self.clock_drift(0)

    def flip_bit(self, address: int, bit: int, *, at_cycle: int | None = None) -> None:
        """Turn a bit (0 to 7) of a byte of SRAM or flash over. Raises BadInputError."""
        where = locate(address, 1)
        if not isinstance(where, slice) or where.start < SRAM_OFFSET or not 0 <= bit < 8:
            raise BadInputError(f"no bit {bit} of SRAM or flash at 0x{address:08x}")
        self._add(_Flip(False, where.start, bit), at_cycle)

    def flip_register(self, name: str, bit: int, *, core: int = 0, at_cycle: int | None = None) -> None:
        """Turn a bit of r0 to r12, sp, lr or pc over. Raises BadInputError."""
        number = REGISTER_NAMES.index(name) if name in REGISTER_NAMES else -1
        if number < 0 or core not in (0, 1) or bit not in REGISTER_BITS.get(number, range(32)):
            raise BadInputError(f"no bit {bit} of register {name!r} of core {core}")
        self._add(_Flip(True, core * CORE_STRIDE + number, bit), at_cycle)

    def flips_at_rate(self, per_megacycle: float, where: Where) -> None:
        """Flip bits of "sram", "flash" or the "registers" of core 0 at random; 0 stops. Raises BadInputError."""
        if where not in ("sram", "flash", "registers") or not 0 <= per_megacycle <= 10_000:
            raise BadInputError(f"{per_megacycle} flips a megacycle in {where!r}: 0 to 10000 in sram, flash, registers")
        self._plan.rates.pop(where, None)
        if per_megacycle:
            self._plan.rates[where] = (per_megacycle, self._now + self._plan.gap(per_megacycle))
        self._planned()

    def uart_noise(self, port: int, share: float, *, to_chip: bool = True, from_chip: bool = True) -> None:
        """Let a share of a UART's bytes have one bit wrong. Raises BadInputError."""
        self._line(port, share, (0, to_chip, from_chip))

    def uart_loss(self, port: int, share: float, *, to_chip: bool = True, from_chip: bool = True) -> None:
        """Let a share of a UART's bytes be lost. Raises BadInputError."""
        self._line(port, share, (1, to_chip, from_chip))

    def power_cut(self, at_cycle: int | None = None) -> None:
        """Take the power away, now or at a cycle: the run ends with the reason "power_cut"."""
        if at_cycle is None:
            self._plan.lose_power(self._now, "power cut")
        else:
            self._plan.cut_at = at_cycle
            self._planned()

    def clock_drift(self, ppm: float) -> None:
        """Let the crystal run fast (or slow): clk_sys, the timers and the baud rates follow. Raises BadInputError."""
        if not -100_000 <= ppm <= 100_000:
            raise BadInputError(f"a drift of {ppm} ppm is no crystal's: -100000 to 100000")
        self._board.chip.S[CLOCK_PPM] = round(ppm)
        self._board.chip.clocks_changed(self._now)

    def stick_pin(self, pin: int, level: int | None) -> None:
        """Hold a pad at 0 or 1 whatever drives it; None lets it go. Raises BadInputError."""
        if not 0 <= pin < PINS or level not in (0, 1, None):
            raise BadInputError(f"no GPIO {pin} to hold at {level}: 0 to 29, at 0 or 1")
        S, mask = self._board.chip.S, 1 << pin
        S[PIN_STUCK] = S[PIN_STUCK] & ~mask if level is None else S[PIN_STUCK] | mask
        S[PIN_STUCK_LEVEL] = S[PIN_STUCK_LEVEL] | mask if level else S[PIN_STUCK_LEVEL] & ~mask
        self._board.chip.pins_changed()

    @property
    def camera(self) -> str:
        """What is wrong with the camera: nothing (""), "frozen", "dark", "dead", or "stuck:0" to "stuck:7"."""
        return self._plan.camera

    @camera.setter
    def camera(self, fault: str) -> None:
        if fault not in CAMERA_FAULTS:
            raise BadInputError(f"camera fault {fault!r}: one of {', '.join(filter(None, CAMERA_FAULTS))}, or empty")
        self._plan.camera = fault

    @property
    def _now(self) -> int:
        return int(self._board.chip.S[CYCLES])

    def _planned(self) -> None:
        self._board.chip.plan()
        self._board.chip.S[NEXT_EVENT] = 0

    def _add(self, flip: _Flip, at_cycle: int | None) -> None:
        if at_cycle is None:
            self._plan.apply(flip, self._now)
        else:
            self._plan.flips.append((at_cycle, flip))
            self._plan.flips.sort(key=lambda planned: planned[0])
            self._planned()

    def _line(self, port: int, share: float, which: tuple[int, bool, bool]) -> None:
        if port not in (0, 1) or not 0 <= share <= 1:
            raise BadInputError(f"a share of {share} of UART{port}'s bytes: 0 to 1 of UART0 or UART1")
        index, *directions = which
        for direction, wanted in enumerate(directions):
            if wanted:
                rates = list(self._plan.uart_rates.get((port, direction), (0.0, 0.0)))
                rates[index] = share
                self._plan.uart_rates[port, direction] = (rates[0], rates[1])
