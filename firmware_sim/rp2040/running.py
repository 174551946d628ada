"""One call of `Board.run`: slices of compiled code, and what Python does between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.machine import run_core
from firmware_sim.rp2040.record import EXIT_WATCH
from firmware_sim.rp2040.recorder import Recorder
from firmware_sim.rp2040.report import Breakpoint, FaultReport, Stop, read_fault
from firmware_sim.rp2040.usb_port import ANY

if TYPE_CHECKING:
    from firmware_sim.rp2040.board import Board

SLICE_CYCLES = 20_000_000  # how far compiled code runs before Python looks at time, keyboard and UART input
STEP_ATTEMPTS = 10_000  # instructions of the other core, or sleeps, until a step gives up
MAX_FAULTS = 16
HALTED = ("bkpt", "fault", "lockup", "idle", "reset", "usb_boot")
REASONS = {
    layout.EXIT_LOCKUP: "lockup",
    layout.EXIT_STUCK: "fault",
    layout.EXIT_IDLE: "idle",
    layout.EXIT_RESET: "reset",
    layout.EXIT_USB_BOOT: "usb_boot",
    layout.EXIT_POWER: "power_cut",
    layout.EXIT_BROWN_OUT: "brown_out",
}


@dataclass
class Conditions:
    """When a run ends; see `Board.run`."""

    end: int
    text: bytes | None = None
    until: Callable[[Board], bool] | None = None
    bkpt_log: bool = False
    deadline: float | None = None  # of time.monotonic()
    on_uart0: Callable[[bytes], None] | None = None
    stop_at_fault: bool = False  # also where a handler takes care of it
    step_core: int | None = None  # end once this core has run one instruction
    before_access: bool = False  # a watchpoint stops before the access, as debuggers on ARM expect
    on_usb: Callable[[bytes], None] | None = None
    stop_on_reset: bool = True


@dataclass
class Running:
    """State of one run."""

    board: Board
    wanted: Conditions
    events: list[Breakpoint] = field(default_factory=list)
    faults: list[FaultReport] = field(default_factory=list)
    tail: bytes = b""
    usb_tail: bytes = b""
    reason: str = ""
    core: int = 0  # whose doing the reason is

    def run(self) -> Stop:
        """Until something ends it."""
        board, wanted, S = self.board, self.wanted, self.board.chip.S
        board.chip.link()
        if board.chip.reset_pending:  # the run before ended there
            board.warm_reset()
        S[layout.END] = wanted.end
        S[layout.UART_STOP_BYTE] = board.usb.stop_byte = wanted.text[-1] if wanted.text else -1
        if wanted.on_usb is not None:
            board.usb.stop_byte = ANY
        self.reason = "power_cut" if board.faults.off else ""
        steps = STEP_ATTEMPTS
        before = self._progress()
        while not self.reason:
            code = self._advance()
            error, board.chip.error = board.chip.error, None
            if error is not None:
                raise error
            self._take_serial()
            self._take_exit(code)
            if wanted.step_core is not None and not self.reason:
                steps -= 1
                if self._progress() != before or not steps:
                    self.reason, self.core = "step", wanted.step_core
        if self.reason in HALTED:
            board.uart0.finish_sending()
            board.uart1.finish_sending()
            self._take_serial()
        immediate = int(S[layout.EXIT_VALUE]) if self.reason == "bkpt" else None
        if self.reason == "bkpt" and not wanted.bkpt_log:
            self.events.clear()
        hit = board.recorder.hit if board.recorder and self.reason == "watchpoint" else None
        return board.stop(self.reason, immediate, self.events, self.faults, hit, self.core)

    def _progress(self) -> tuple[int, int]:
        """Instructions and exception number of the core that is stepped."""
        S, base = self.board.chip.S, (self.wanted.step_core or 0) * layout.CORE_STRIDE
        return int(S[base + layout.INSTRUCTIONS]), int(S[base + layout.IPSR])

    def _advance(self) -> int:
        """A slice of compiled code, or one instruction while a core has to go over a reported point; EXIT_*."""
        board = self.board
        board.passing = {core: at for core, at in board.passing.items() if at == board.place(core)}
        if not board.passing:
            return self._run_slice(one_step=self.wanted.step_core is not None)
        addresses = {pc for _, pc in board.passing.values()}
        for core in range(2):  # the other core may stand there too: the next step could take it over unseen
            if core not in board.passing and board.awake(core) and board.place(core)[1] in addresses:
                self._reach_point(core)
                if self.reason:
                    return layout.EXIT_END
        lifted = board.points.lift(sorted(addresses))
        try:
            return self._run_slice(one_step=True)
        finally:
            board.points.lower(lifted)

    def _run_slice(self, *, one_step: bool = False) -> int:
        """Run one instruction, or as long as is good, recorded where somebody wants to see each instruction."""
        board, S = self.board, self.board.chip.S
        if board.points.watched or (board.recorder is not None and board.recorder.wanted):
            board.recorder = board.recorder or Recorder(board)
            return board.recorder.advance(self.wanted.before_access, one_step=one_step)
        if board.recorder is not None:
            board.recorder.lose_track()
        S[layout.SLICE] = board.cycles + SLICE_CYCLES
        if one_step:
            S[layout.STEPPING] = 1
            code = int(run_core(S))
            S[layout.STEPPING] = 0
            return code
        return board.native.run() if board.native else int(run_core(S))

    def _take_serial(self) -> None:
        """Give on what UART0 and the USB console sent and look for the text."""
        sent = self.board.exchange_serial()
        if sent and self.wanted.on_uart0 is not None:
            self.wanted.on_uart0(sent)
        if self.wanted.text:
            self.tail = (self.tail + sent)[-layout.UART_OUT_BYTES :]
            if self.wanted.text in self.tail:
                self.reason = "text"
        self._take_usb()

    def _take_usb(self) -> None:
        """The same for the serial console over USB."""
        sent = self.board.usb.drain()
        if sent and self.wanted.on_usb is not None:
            self.wanted.on_usb(sent)
        if sent and self.wanted.text:
            self.usb_tail = (self.usb_tail + sent)[-layout.UART_OUT_BYTES :]
            if self.wanted.text in self.usb_tail:
                self.reason = "text"

    def _take_exit(self, code: int) -> None:
        """What EXIT_* asks for."""
        board, S = self.board, self.board.chip.S
        if code == layout.EXIT_END:
            self.reason = self.reason or self._reason_at_end()
        elif code == layout.EXIT_BKPT and S[layout.EXIT_VALUE] == layout.BREAKPOINT:
            self._reach_point(int(S[layout.EXIT_CORE]) // layout.CORE_STRIDE)
        elif code == EXIT_WATCH:
            self.reason = self.reason or "watchpoint"
            self.core = board.recorder.hit.core if board.recorder and board.recorder.hit else 0
        elif code == layout.EXIT_BKPT:
            core = int(S[layout.EXIT_CORE])
            self.core = core // layout.CORE_STRIDE
            self.events.append(Breakpoint(int(S[layout.EXIT_VALUE]), int(S[core]), int(S[core + layout.CYCLES])))
            if not self.wanted.bkpt_log or self.events[-1].immediate == 0:
                self.reason = "bkpt"
            else:
                board.step_over_breakpoint(self.core)
        elif code in (layout.EXIT_FAULT, layout.EXIT_LOCKUP):
            if len(self.faults) < MAX_FAULTS and S[layout.FAULT_KIND]:
                self.core = int(S[layout.EXIT_CORE]) // layout.CORE_STRIDE
                self.faults.append(read_fault(S, board.cycles, code == layout.EXIT_FAULT, self.core))
                S[layout.FAULT_KIND] = 0
            self.reason = self.reason or REASONS.get(code, "")
        elif code == layout.EXIT_RESET and not self.wanted.stop_on_reset:
            board.warm_reset()
        else:
            self.reason = self.reason or REASONS.get(code, "")

    def _reach_point(self, core: int) -> None:
        """Call the hooks at a core's instruction; a breakpoint, or a hook that returns True, ends the run."""
        board = self.board
        self.core = board.hook_core = core
        place = board.passing[core] = board.place(core)
        for point in board.points.at(place[1]):
            if point.callback is None:
                self.reason = self.reason or "breakpoint"
            elif point.callback(board) is True:
                self.reason = self.reason or "hook"

    def _reason_at_end(self) -> str:
        """Reason to stop at the end of a slice; empty to go on."""
        wanted = self.wanted
        if self.board.cycles >= wanted.end:
            return "max_cycles"
        if wanted.until is not None and wanted.until(self.board):
            return "condition"
        if wanted.deadline is not None and time.monotonic() >= wanted.deadline:
            return "timeout"
        return ""
