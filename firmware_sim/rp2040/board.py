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

import numpy as np

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.boot import BOOT2_BYTES, BOOT2_TARGET, choose_start
from firmware_sim.rp2040.bootrom import BootRom
from firmware_sim.rp2040.chip import Chip, Snapshot
from firmware_sim.rp2040.image import Image, load_image
from firmware_sim.rp2040.machine import run_core
from firmware_sim.rp2040.memory_map import locate
from firmware_sim.rp2040.report import Breakpoint, FaultReport, Stop, read_fault
from firmware_sim.rp2040.serial_port import SerialPort
from shared.errors import BadInputError

SLICE_CYCLES = 20_000_000  # how far compiled code runs before Python looks at time, keyboard and UART input
MAX_FAULTS = 16
HARDFAULT = 3  # exception number
HALTED = ("bkpt", "fault", "lockup", "idle", "reset", "usb_boot")
REASONS = {
    layout.EXIT_LOCKUP: "lockup",
    layout.EXIT_STUCK: "fault",
    layout.EXIT_IDLE: "idle",
    layout.EXIT_RESET: "reset",
}


@dataclass(frozen=True)
class BoardSnapshot:
    """What `Board.restore` needs."""

    chip: Snapshot
    uart0: tuple[bytes, bytes, bytes]
    uart1: tuple[bytes, bytes, bytes]
    image: Image | None


class Board:
    """An RP2040 with 2 MB of flash. `uart0` and `uart1` are the host's ends of its serial ports."""

    def __init__(self) -> None:
        self.chip = Chip()
        self.uart0 = SerialPort(self.chip, 0)
        self.uart1 = SerialPort(self.chip, 1)
        self.image: Image | None = None
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
        names = (*(f"r{i}" for i in range(13)), "sp", "lr", "pc")
        return {name: int(self.chip.S[i]) for i, name in enumerate(names)}

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
        """Run until a BKPT, a fault that ends everything, or one of the conditions.

        max_cycles: cycles from now; until_cycle: value of `cycles`; until_text: UART0 sent this (looked for in what it
        sends from now on, exact to the cycle); until: asked every SLICE_CYCLES; bkpt_log: record breakpoints and go
        on, immediate 0 ends; timeout_s: wall-clock seconds; on_uart0: called with what UART0 sent as it comes.
        Raises what a peripheral written in Python raised.
        """
        S = self.chip.S
        end = min(
            layout.NEVER if max_cycles is None else self.cycles + max_cycles,
            layout.NEVER if until_cycle is None else until_cycle,
        )
        text = until_text.encode() if isinstance(until_text, str) else until_text
        S[layout.END], S[layout.UART_STOP_BYTE] = end, text[-1] if text else -1
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        events: list[Breakpoint] = []
        faults: list[FaultReport] = []
        tail = b""
        reason = ""
        while not reason:
            S[layout.SLICE] = self.cycles + SLICE_CYCLES
            code = int(run_core(S, self.chip.mem, 0))
            self._raise_pending()
            sent = self._exchange_serial()
            if sent and on_uart0 is not None:
                on_uart0(sent)
            if text:
                tail = (tail + sent)[-layout.UART_OUT_BYTES :]
                if text in tail:
                    reason = "text"
            if code == layout.EXIT_END and not reason:
                reason = self._reason_at_end(end, deadline, until)
            elif code == layout.EXIT_BKPT:
                events.append(Breakpoint(int(S[layout.EXIT_VALUE]), int(S[0]), self.cycles))
                if not bkpt_log or events[-1].immediate == 0:
                    reason = "bkpt"
                else:
                    self._step_over_breakpoint()
            elif code in (layout.EXIT_FAULT, layout.EXIT_LOCKUP):
                if len(faults) < MAX_FAULTS and S[layout.FAULT_KIND]:
                    faults.append(read_fault(S, self.cycles, code == layout.EXIT_FAULT))
                    S[layout.FAULT_KIND] = 0
                reason = reason or REASONS.get(code, "")
            elif code == layout.EXIT_ROM_CALL:
                reason = reason or self._call_rom()
            else:
                reason = reason or REASONS.get(code, "")
        if reason in HALTED:
            self.uart0.finish_sending()
            self.uart1.finish_sending()
            rest = self._exchange_serial()
            if rest and on_uart0 is not None:
                on_uart0(rest)
        immediate = int(S[layout.EXIT_VALUE]) if reason == "bkpt" else None
        if reason == "bkpt" and not bkpt_log:
            events.clear()
        return self._stop(reason, immediate, events, faults)

    def _exchange_serial(self) -> bytes:
        """Move bytes between the chip and the host's ends; what UART0 sent."""
        sent = self.uart0.drain()
        self.uart1.drain()
        self.uart0.refill()
        self.uart1.refill()
        return sent

    def stop_here(self, reason: str) -> Stop:
        """A Stop of the present state, for a caller that interrupted `run`."""
        self._exchange_serial()
        return self._stop(reason, None, [], [])

    def compile(self) -> None:
        """Make sure that the core is compiled (or read from the cache) without running anything."""
        S = self.chip.S
        S[layout.END] = S[layout.CYCLES]
        run_core(S, self.chip.mem, 0)
        S[layout.END] = layout.NEVER

    def _stop(self, reason: str, immediate: int | None, events: list[Breakpoint], faults: list[FaultReport]) -> Stop:
        r0, r1, r2, r3 = (int(value) for value in self.chip.S[:4])
        pc = int(self.chip.S[layout.PC])
        return Stop(reason, immediate, r0, r1, r2, r3, pc, self.cycles, self.instructions, events, faults)

    def _reason_at_end(self, end: int, deadline: float | None, until: Callable[[Board], bool] | None) -> str:
        """Reason to stop at the end of a slice; empty to go on."""
        if self.cycles >= end:
            return "max_cycles"
        if until is not None and until(self):
            return "condition"
        if deadline is not None and time.monotonic() >= deadline:
            return "timeout"
        return ""

    def step_over_breakpoint(self) -> None:
        """Continue behind the BKPT that stopped the run, as a debugger would; it costs one cycle."""
        self._step_over_breakpoint()

    def _step_over_breakpoint(self) -> None:
        S = self.chip.S
        S[layout.PC] += 2
        S[layout.CYCLES] += 1
        S[layout.INSTRUCTIONS] += 1

    def _call_rom(self) -> str:
        if not self._rom.call(int(self.chip.S[layout.EXIT_VALUE])):
            raise BadInputError(f"the firmware jumped into the boot ROM at 0x{int(self.chip.S[layout.PC]):08x}")
        return "usb_boot" if self._asked_for_usb else ""

    def _usb_boot(self) -> None:
        self._asked_for_usb = True

    def _raise_pending(self) -> None:
        error, self.chip.error = self.chip.error, None
        if error is not None:
            raise error

    def snapshot(self) -> BoardSnapshot:
        """Copy of everything: chip, serial queues, firmware."""
        return BoardSnapshot(self.chip.snapshot(), self.uart0.queues(), self.uart1.queues(), self.image)

    def restore(self, snapshot: BoardSnapshot) -> None:
        """Go back to a snapshot of this or another board."""
        self.chip.restore(snapshot.chip)
        self.uart0.set_queues(snapshot.uart0)
        self.uart1.set_queues(snapshot.uart1)
        self.image = snapshot.image
