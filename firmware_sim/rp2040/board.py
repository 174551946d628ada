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
from firmware_sim.rp2040.analog import Analog
from firmware_sim.rp2040.boot import choose_start
from firmware_sim.rp2040.bootrom import BootRom
from firmware_sim.rp2040.camera import Camera
from firmware_sim.rp2040.chip import Chip, Snapshot
from firmware_sim.rp2040.faults import Faults
from firmware_sim.rp2040.flash import Flash
from firmware_sim.rp2040.gpio import Gpio
from firmware_sim.rp2040.i2c_port import I2cPort
from firmware_sim.rp2040.image import Image, load_image
from firmware_sim.rp2040.machine import run_core
from firmware_sim.rp2040.memory_map import locate
from firmware_sim.rp2040.native.translator import Translator
from firmware_sim.rp2040.points import Access, Point, Points, WatchHit
from firmware_sim.rp2040.recorder import Recorder
from firmware_sim.rp2040.report import Breakpoint, FaultReport, Stop
from firmware_sim.rp2040.rom.flash_functions import FlashFunctions
from firmware_sim.rp2040.running import Conditions, Running
from firmware_sim.rp2040.serial_port import SerialPort
from firmware_sim.rp2040.spi_port import SpiPort
from firmware_sim.rp2040.starting import Starting
from firmware_sim.rp2040.symbols import Symbols
from firmware_sim.rp2040.usb_port import UsbPort
from shared.errors import BadInputError

REGISTERS = (*(f"r{i}" for i in range(13)), "sp", "lr", "pc")
BKPT_HIGH = 0xBE  # upper byte of BKPT
HARDFAULT = 3  # exception number
PARTS = (
    "uart0",
    "uart1",
    "gpio",
    "adc",
    "i2c0",
    "i2c1",
    "spi0",
    "spi1",
    "usb",
    "camera",
)  # attributes with `queues()` and `set_queues()`: what the host's side of them remembers


@dataclass(frozen=True)
class BoardSnapshot:
    """What `Board.restore` needs."""

    chip: Snapshot
    parts: dict[str, Any]  # by the names in PARTS
    image: Image | None


class Board:
    """An RP2040 with 2 MB of flash. `uart0` and `uart1` are the host's ends of its serial ports.

    flash: file that keeps the flash from run to run, made when it is missing; rom_version: 1 (chip B0) to 3 (B2);
    native: hot code is translated in the background; nothing but the speed depends on it; strict: what would become a
    warning raises StrictError; fast: one core may run some hundred cycles ahead of the other where its accesses
    cannot matter to the other one.
    """

    def __init__(
        self,
        *,
        flash: str | Path | None = None,
        rom_version: int = 3,
        native: bool = True,
        strict: bool = False,
        fast: bool = False,
    ) -> None:
        self.chip = Chip()
        self.chip.S[layout.INTERLEAVING] = fast
        self.chip.remarks.strict = strict
        self.native = Translator(self.chip) if native else None
        self.uart0 = SerialPort(self.chip, 0)
        self.uart1 = SerialPort(self.chip, 1)
        self.gpio = Gpio(self.chip)
        self.adc = Analog(self.chip)
        self.i2c0, self.i2c1 = I2cPort(self.chip, 0), I2cPort(self.chip, 1)
        self.spi0, self.spi1 = SpiPort(self.chip, self.gpio, 0), SpiPort(self.chip, self.gpio, 1)
        self.usb = UsbPort(self.chip)
        self.camera = Camera(self)
        self.image: Image | None = None
        self.points = Points(self.chip)
        self.symbols = Symbols()  # names and source lines of the loaded ELF file
        self.recorder: Recorder | None = None
        self.hook_core = 0  # whose instruction a hook is called for
        self.passing: dict[int, tuple[int, int]] = {}  # by core: cycle and PC of a point that was reported: go over it
        self.flash = Flash(self.chip, flash)
        self.faults = Faults(self)
        self.power = self.chip.power
        self._asked_for_usb = False
        chip = self.chip
        functions = FlashFunctions(
            chip.S, chip.mem, chip.flash, chip.ssi, chip.flush_cache, chip.release_qspi, chip.warn
        )
        self._rom = BootRom(chip.S, chip.mem, functions, self._usb_boot, lambda: self._starting.restart(), rom_version)
        self._rom.write_image()
        self._starting = Starting(self, self._rom)
        chip.serve_rom = self._serve_rom

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

    def place(self, core: int) -> tuple[int, int]:
        """Cycle and PC of a core."""
        base = core * layout.CORE_STRIDE
        return int(self.chip.S[base + layout.CYCLES]), int(self.chip.S[base + layout.PC])

    def awake(self, core: int) -> bool:
        """Whether a core runs: it neither sleeps nor is held or locked up."""
        return int(self.chip.S[core * layout.CORE_STRIDE + layout.SLEEPING]) == 0

    @property
    def present(self) -> int:
        """Cycle up to which everything has happened: that of the core that is behind, if both run."""
        cycles = [self.place(core)[0] for core in range(2) if self.awake(core)]
        return min(cycles, default=self.cycles)

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
        """r0 to r12, sp, lr and pc of core 0."""
        return self.core_registers(0)

    def core_registers(self, core: int) -> dict[str, int]:
        """r0 to r12, sp, lr and pc of a core."""
        return {name: int(self.chip.S[core * layout.CORE_STRIDE + i]) for i, name in enumerate(REGISTERS)}

    def set_register(self, name: str, value: int, *, core: int = 0) -> None:
        """Set r0 to r12, sp, lr or pc. Raises BadInputError."""
        if name not in REGISTERS or core not in (0, 1):
            raise BadInputError(f"register {name!r} of core {core}: one of {', '.join(REGISTERS)} of core 0 or 1")
        self.chip.S[core * layout.CORE_STRIDE + REGISTERS.index(name)] = value & (
            0xFFFFFFFE if name == "pc" else 0xFFFFFFFF
        )

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
        """Put a firmware file into flash and SRAM and reset. Raises BadInputError (see `load_image`).

        Sectors of the flash that the file touches are erased before, the others stay.
        """
        image = source if isinstance(source, Image) else load_image(source, address=address)
        choose_start(image)
        self.image = image
        self.symbols = Symbols(image.elf)
        self.flash.erase_sectors_of(image.chunks)
        for start, data in image.chunks:
            if start >> 28 == layout.FLASH_BASE >> 28 and start < layout.XIP_ALIASES_END:
                self.flash.write(start, data)
            else:
                self.write_memory(start, data)
        self.reset()

    def reset(self) -> None:
        """Power-on reset and the boot sequence of `boot.py`. Raises BadInputError without firmware."""
        self._come_up(None)

    def warm_reset(self) -> None:
        """Reset by the watchdog or AIRCR; the watchdog's scratch registers may name the way to go on."""
        values = self.chip.watchdog.values
        self._come_up([values[f"SCRATCH{i}"] for i in range(8)])

    def _come_up(self, scratch: list[int] | None) -> None:
        self._starting.reset(scratch)
        self._forget_run()
        self._asked_for_usb = False

    def power_on(self) -> None:
        """Bring the power back: SRAM holds garbage (by the seed of `faults`), the boot sequence runs."""
        plan = self.chip.faults
        if not plan.off:
            plan.lose_power(self.cycles, "power cycle")
        garbage = np.random.RandomState(plan.seed & 0xFFFFFFFF).bytes(layout.SRAM_SIZE)
        self.write_memory(layout.SRAM_BASE, garbage)
        plan.off = False
        image = self.image
        if image is not None:
            for start, data in image.chunks:  # a program in SRAM comes back with its debugger
                if start >= layout.SRAM_BASE:
                    self.write_memory(start, data)
        self.reset()

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
        on_usb: Callable[[bytes], None] | None = None,
        stop_on_reset: bool = True,
    ) -> Stop:
        """Run until a BKPT, a breakpoint or watchpoint, a fault that ends everything, or one of the conditions.

        max_cycles: cycles from now; until_cycle: value of `cycles`; until_text: UART0 or the USB console sent this
        (looked for in what it sends from now on, exact to the cycle); until: asked every SLICE_CYCLES; bkpt_log: record
        breakpoints and go on, immediate 0 ends; timeout_s: wall-clock seconds; on_uart0, on_usb: called with what UART0
        or the USB console sent as it comes; stop_on_reset: a reset by the watchdog or AIRCR ends the run, and the next
        run comes up; else it goes on.
        Raises what a peripheral written in Python raised.
        """
        end = min(
            layout.NEVER if max_cycles is None else self.cycles + max_cycles,
            layout.NEVER if until_cycle is None else until_cycle,
        )
        text = until_text.encode() if isinstance(until_text, str) else until_text
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        conditions = Conditions(
            end, text, until, bkpt_log, deadline, on_uart0, on_usb=on_usb, stop_on_reset=stop_on_reset
        )
        return Running(self, conditions).run()

    def step(self, core: int = 0, *, on_uart0: Callable[[bytes], None] | None = None) -> Stop:
        """Run until a core has run one instruction or entered an exception (reason "step"); the other runs along.

        A core that sleeps for long is given up, with the same reason.
        """
        self.pass_breakpoint(core)
        return Running(self, Conditions(layout.NEVER, on_uart0=on_uart0, step_core=core)).run()

    def pass_breakpoint(self, core: int) -> None:
        """Go behind the BKPT that the last run stopped at, if the core still stands there."""
        S, base = self.chip.S, core * layout.CORE_STRIDE
        stopped = S[layout.EXIT] == layout.EXIT_BKPT and S[layout.EXIT_CORE] == base
        if stopped and S[layout.EXIT_VALUE] < layout.BREAKPOINT:
            if self.read_memory(self.place(core)[1], 2)[1] == BKPT_HIGH:
                self.step_over_breakpoint(core)
            S[layout.EXIT] = layout.EXIT_END

    def breakpoint(self, where: int | str) -> Point:
        """Stop (reason "breakpoint") before the instruction at an address or symbol. `.remove()` ends it."""
        return self.points.add_code(self.address_of(where), None)

    def hook(self, where: int | str, callback: Callable[[Board], object]) -> Point:
        """Call `callback(board)` before the instruction at an address or symbol; True stops the run ("hook").

        The callback may read and write registers and memory; setting the PC skips the instruction.
        """
        return self.points.add_code(self.address_of(where), callback)

    def watchpoint(self, where: int | str, size: int | None = None, access: Access = "write") -> Point:
        """Stop (reason "watchpoint", `Stop.hit`) behind an instruction that accesses an address or symbol.

        size in bytes: the symbol's, else 4. access: read, write or any. Exact, and slow: see `points.py`.
        """
        if size is None:
            size = self.symbols.size_of(where) or 4 if isinstance(where, str) else 4
        return self.points.add_watch(self.address_of(where), size, access)

    def address_of(self, where: int | str) -> int:
        """Address of a symbol of the loaded ELF file; a number is an address already. Raises BadInputError."""
        if isinstance(where, int):
            return where
        return self.symbols.address(where)

    def load_symbols(self, source: str | Path | bytes) -> None:
        """Take names and lines from an ELF file, for firmware loaded as UF2 or binary. Raises BadInputError."""
        image = load_image(source)
        if image.elf is None:
            raise BadInputError("symbols come from an ELF file")
        self.symbols = Symbols(image.elf)

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
        run_core(S)
        S[layout.END] = layout.NEVER

    def stop(
        self,
        reason: str,
        immediate: int | None,
        events: list[Breakpoint],
        faults: list[FaultReport],
        hit: WatchHit | None = None,
        core: int = 0,
    ) -> Stop:
        """The present state as a Stop; registers are those of `core`."""
        S, base = self.chip.S, core * layout.CORE_STRIDE
        r0, r1, r2, r3 = (int(value) for value in S[base : base + 4])
        pc = int(S[base + layout.PC])
        return Stop(reason, immediate, r0, r1, r2, r3, pc, self.cycles, self.instructions, events, faults, hit, core)

    def step_over_breakpoint(self, core: int = 0) -> None:
        """Continue behind the BKPT that stopped the run, as a debugger would; it costs one cycle."""
        S, base = self.chip.S, core * layout.CORE_STRIDE
        S[base + layout.PC] += 2
        S[base + layout.CYCLES] += 1
        S[base + layout.INSTRUCTIONS] += 1

    def _serve_rom(self, core: int, number: int, cycle: int) -> bool:
        """Run function `number` of the boot ROM for a core; False where the ROM is empty."""
        if not self._rom.call(core, number, cycle):
            return False
        if self._asked_for_usb:
            self.chip.S[layout.EXIT], self.chip.S[layout.NEXT_EVENT] = layout.EXIT_USB_BOOT, cycle
        return True

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
        self.flash.synchronise()
        if snapshot.image is not self.image:
            self.image, self.symbols = snapshot.image, Symbols(snapshot.image.elf if snapshot.image else None)
        self._forget_run()

    def _forget_run(self) -> None:
        """What a run left behind does not apply any more."""
        self.passing.clear()
        if self.recorder is not None:
            self.recorder.lose_track()

    def __reduce__(self) -> Any:
        """A board travels between processes as its snapshot and the arguments it was made with.

        Hooks, breakpoints and watchpoints stay behind, and so does the flash's file, which belongs to one emulator: the
        copy has the flash in memory.
        """
        arguments = {
            "rom_version": self._rom.version,
            "native": self.native is not None,
            "strict": self.chip.remarks.strict,
            "fast": bool(self.chip.S[layout.INTERLEAVING]),
        }
        return _revive, (self.snapshot(), arguments)


def _revive(snapshot: BoardSnapshot, arguments: dict[str, Any]) -> Board:
    """A new board in the state of a snapshot."""
    board = Board(**arguments)
    board.restore(snapshot)
    return board
