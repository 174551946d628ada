"""A board: one RP2040 with its flash, loaded with firmware and run for as long as somebody wants.

Deterministic by construction: nothing in it reads a clock or a random source, and where `run` is interrupted and
continued changes no result.

>>> from firmware_sim.rp2040 import Board
>>> board = Board()
>>> board.load("firmware.uf2")  # doctest: +SKIP
>>> board.run(until_text="ready", max_cycles=10_000_000).reason  # doctest: +SKIP
'text'
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.boot import BOOT2_BYTES, BOOT2_TARGET, choose_start
from firmware_sim.rp2040.bootrom import BootRom
from firmware_sim.rp2040.chip import Chip, Snapshot
from firmware_sim.rp2040.gpio import Gpio
from firmware_sim.rp2040.i2c_port import I2cPort
from firmware_sim.rp2040.image import Image, load_image
from firmware_sim.rp2040.machine import run_core
from firmware_sim.rp2040.memory_map import locate
from firmware_sim.rp2040.points import Point, Points
from firmware_sim.rp2040.report import Breakpoint, FaultReport, Stop
from firmware_sim.rp2040.running import Conditions, Running
from firmware_sim.rp2040.serial_port import SerialPort
from shared.errors import BadInputError

REGISTERS = (*(f"r{i}" for i in range(13)), "sp", "lr", "pc")
HARDFAULT = 3  # exception number
PARTS = (
    "uart0",
    "uart1",
    "gpio",
    "i2c0",
    "i2c1",
)  # attributes with `queues()` and `set_queues()`: what the host's side of them remembers


@dataclass(frozen=True)
class BoardSnapshot:
    """What `Board.restore` needs."""

    chip: Snapshot
    parts: dict[str, Any]  # by the names in PARTS
    image: Image | None


class Board:
    """An RP2040 with 2 MB of flash. `uart0` and `uart1` are the host's ends of its serial ports."""

    def __init__(self) -> None:
        self.chip = Chip()
        self.uart0 = SerialPort(self.chip, 0)
        self.uart1 = SerialPort(self.chip, 1)
        self.gpio = Gpio(self.chip)
        self.i2c0, self.i2c1 = I2cPort(self.chip, 0), I2cPort(self.chip, 1)
        self.image: Image | None = None
        self.points = Points(self.chip)
        self.passing: tuple[int, int] | None = None  # cycle and PC of a point that stopped the run: go over it next
        self._asked_for_usb = False
        self._rom = BootRom(self.chip.S, self.chip.mem, self._usb_boot, self.chip.forget_code)
        self._rom.write_image()

    @property
    def cycles(self) -> int:
        """Cycles of clk_sys since the start of the second-stage boot loader (or of the firmware without one)."""
        return int(self.chip.S[layout.CYCLES])

    @property
    def instructions(self) -> int:
        """Instructions executed."""
        return int(self.chip.S[layout.INSTRUCTIONS])

    @property
    def pc(self) -> int:
        """Address of the next instruction."""
        return int(self.chip.S[layout.PC])

    @property
    def clock_hz(self) -> int:
        """clk_sys as the firmware set it: 6.5 MHz (ring oscillator) at reset, usually 125 MHz later."""
        return int(self.chip.S[layout.CLK_SYS_HZ])

    @property
    def in_hardfault(self) -> bool:
        """Whether the HardFault handler runs (or the core locked up in it)."""
        return int(self.chip.S[layout.IPSR]) == HARDFAULT

    @property
    def warnings(self) -> list[str]:
        """What the emulator cannot do or a board would not do, each said once."""
        return self.chip.warnings

    @property
    def registers(self) -> dict[str, int]:
        """r0 to r12, sp, lr and pc."""
        return {name: int(self.chip.S[i]) for i, name in enumerate(REGISTERS)}

    def set_register(self, name: str, value: int) -> None:
        """Set r0 to r12, sp, lr or pc. Raises BadInputError."""
        if name not in REGISTERS:
            raise BadInputError(f"register {name!r}: one of {', '.join(REGISTERS)}")
        self.chip.S[REGISTERS.index(name)] = value & (0xFFFFFFFE if name == "pc" else 0xFFFFFFFF)

    def read_memory(self, address: int, size: int) -> bytes:
        """Bytes of ROM, SRAM or flash at an address. Raises BadInputError where there is no memory."""
        where = locate(address, size)
        if where is None:
            raise BadInputError(f"no memory at 0x{address:08x}, {size} bytes")
        return self.chip.mem.bytes[where].tobytes()

    def write_memory(self, address: int, data: bytes) -> None:
        """Set bytes of SRAM or flash. Raises BadInputError where there is no memory."""
        where = locate(address, len(data))
        if where is None:
            raise BadInputError(f"no memory at 0x{address:08x}, {len(data)} bytes")
        self.chip.mem.bytes[where] = np.frombuffer(data, np.uint8)
        if isinstance(where, slice):
            self.chip.forget_code_at(where.start, len(data))
        else:
            self.chip.forget_code()

    def load(self, source: str | Path | bytes | Image, *, address: int | None = None) -> None:
        """Put a firmware file into flash and SRAM and reset. Raises BadInputError (see `load_image`)."""
        image = source if isinstance(source, Image) else load_image(source, address=address)
        choose_start(image)
        self.image = image
        for start, data in image.chunks:
            self.write_memory(start, data)
        self.reset()

    def reset(self) -> None:
        """Power-on reset and the boot sequence of `boot.py`. Raises BadInputError without firmware."""
        if self.image is None:
            raise BadInputError("no firmware is loaded: call Board.load first")
        start = choose_start(self.image)
        self.chip.reset()
        self.passing = None
        S = self.chip.S
        S[layout.SP], S[layout.LR], S[layout.PC], S[layout.VTOR] = start.sp, start.lr, start.pc, start.vtor
        if start.boot2:
            self.write_memory(BOOT2_TARGET, self.read_memory(layout.FLASH_BASE, BOOT2_BYTES))
        if start.note and start.note not in self.warnings:
            self.warnings.append(start.note)

    def run(
        self,
        *,
        max_cycles: int | None = None,
        until_cycle: int | None = None,
        until_text: str | bytes | None = None,
        until: Callable[[Board], bool] | None = None,
        bkpt_log: bool = False,
        timeout_s: float | None = None,
        on_uart0: Callable[[bytes], None] | None = None,
    ) -> Stop:
        """Run until a BKPT, a breakpoint or watchpoint, a fault that ends everything, or one of the conditions.

        max_cycles: cycles from now; until_cycle: value of `cycles`; until_text: UART0 sent this (looked for in what it
        sends from now on, exact to the cycle); until: asked every SLICE_CYCLES; bkpt_log: record breakpoints and go
        on, immediate 0 ends; timeout_s: wall-clock seconds; on_uart0: called with what UART0 sent as it comes.
        Raises what a peripheral written in Python raised.
        """
        end = min(
            layout.NEVER if max_cycles is None else self.cycles + max_cycles,
            layout.NEVER if until_cycle is None else until_cycle,
        )
        text = until_text.encode() if isinstance(until_text, str) else until_text
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        return Running(self, Conditions(end, text, until, bkpt_log, deadline, on_uart0)).run()

    def breakpoint(self, where: int | str) -> Point:
        """Stop (reason "breakpoint") before the instruction at an address or symbol. `.remove()` ends it."""
        return self.points.add_code(self.address_of(where), None)

    def hook(self, where: int | str, callback: Callable[[Board], object]) -> Point:
        """Call `callback(board)` before the instruction at an address or symbol; True stops the run ("hook").

        The callback may read and write registers and memory; setting the PC skips the instruction.
        """
        return self.points.add_code(self.address_of(where), callback)

    def address_of(self, where: int | str) -> int:
        """Address of a symbol of the loaded ELF file; a number is an address already. Raises BadInputError."""
        if isinstance(where, int):
            return where
        raise BadInputError(f"{where!r}: the loaded firmware has no symbols")

    def exchange_serial(self) -> bytes:
        """Move bytes between the chip and the host's ends; what UART0 sent."""
        sent = self.uart0.drain()
        self.uart1.drain()
        self.uart0.refill()
        self.uart1.refill()
        return sent

    def stop_here(self, reason: str) -> Stop:
        """A Stop of the present state, for a caller that interrupted `run`."""
        self.exchange_serial()
        return self.stop(reason, None, [], [])

    def compile(self) -> None:
        """Make sure that the core is compiled (or read from the cache) without running anything."""
        S = self.chip.S
        S[layout.END] = S[layout.CYCLES]
        self.chip.link()
        run_core(S, self.chip.mem, 0)
        S[layout.END] = layout.NEVER

    def stop(self, reason: str, immediate: int | None, events: list[Breakpoint], faults: list[FaultReport]) -> Stop:
        """The present state as a Stop."""
        r0, r1, r2, r3 = (int(value) for value in self.chip.S[:4])
        return Stop(reason, immediate, r0, r1, r2, r3, self.pc, self.cycles, self.instructions, events, faults)

    def step_over_breakpoint(self) -> None:
        """Continue behind the BKPT that stopped the run, as a debugger would; it costs one cycle."""
        S = self.chip.S
        S[layout.PC] += 2
        S[layout.CYCLES] += 1
        S[layout.INSTRUCTIONS] += 1

    def call_rom(self) -> str:
        """Serve the boot ROM function that the core has reached; the reason to stop, or empty."""
        if not self._rom.call(int(self.chip.S[layout.EXIT_VALUE])):
            raise BadInputError(f"the firmware jumped into the boot ROM at 0x{self.pc:08x}")
        return "usb_boot" if self._asked_for_usb else ""

    def _usb_boot(self) -> None:
        self._asked_for_usb = True

    def snapshot(self) -> BoardSnapshot:
        """Copy of everything: chip, serial queues, firmware."""
        parts = {name: getattr(self, name).queues() for name in PARTS}
        return BoardSnapshot(self.chip.snapshot(), parts, self.image)

    def restore(self, snapshot: BoardSnapshot) -> None:
        """Go back to a snapshot of this or another board."""
        self.chip.restore(snapshot.chip)
        for name, queues in snapshot.parts.items():
            getattr(self, name).set_queues(queues)
        self.image = snapshot.image
        self.passing = None

    def __reduce__(self) -> Any:
        """A board travels between processes as its snapshot; hooks, breakpoints and watchpoints stay behind."""
        return _revive, (self.snapshot(),)


def _revive(snapshot: BoardSnapshot) -> Board:
    """A new board in the state of a snapshot."""
    board = Board()
    board.restore(snapshot)
    return board
