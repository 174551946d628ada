"""`crustwatch emu gdb`: one debugger at a time on a loopback port."""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.board import Board
from firmware_sim.rp2040.gdb_packets import ACK, NACK, Damaged, Event, Interrupt, PacketReader, frame
from firmware_sim.rp2040.gdb_target import Goodbye, Resume, Target
from firmware_sim.rp2040.report import Stop
from firmware_sim.rp2040.running import Conditions, Running
from firmware_sim.rp2040.session import RunOptions, prepare, say, write_stdout
from shared.errors import BadInputError

HOST = "127.0.0.1"
SLICE_CYCLES = 2_000_000  # between two looks at the socket
IDLE_S = 0.05  # how long to wait for the debugger while the chip sleeps for good
RECEIVE_BYTES = 1 << 16


class Connection:
    """One debugger: bytes of its socket to packets, and answers back."""

    def __init__(self, stream: socket.socket, board: Board, on_uart0: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._reader = PacketReader()
        self._board = board
        self._on_uart0 = on_uart0
        self._events: deque[Event] = deque()  # received and not answered yet
        self.target = Target(board)

    def serve(self) -> None:
        """Until the debugger leaves or its connection breaks."""
        try:
            while data := self._stream.recv(RECEIVE_BYTES):
                self._events += self._reader.feed(data)
                while self._events:
                    event = self._events.popleft()
                    if isinstance(event, Damaged):
                        self._stream.sendall(NACK)
                    elif isinstance(event, Interrupt):
                        self._send(self.target.stopped(self._board.stop_here("interrupted")))
                    elif not self._answer(event.data):
                        return
        except (ConnectionError, TimeoutError):
            return
        finally:
            self.target.close()

    def _answer(self, data: bytes) -> bool:
        """Answer a packet; False when the debugger leaves."""
        if not self.target.no_ack:
            self._stream.sendall(ACK)
        answer = self.target.handle(data)
        if isinstance(answer, Goodbye):
            if answer.answer:
                self._send(answer.answer)
            return False
        if isinstance(answer, Resume):
            stop = self._resume(answer)
            if stop is None:
                return False
            answer = self.target.stopped(stop)
        self._send(answer)
        return True

    def _send(self, data: bytes) -> None:
        self._stream.sendall(frame(data))

    def _resume(self, resume: Resume) -> Stop | None:
        """Run until something stops the board; None when the debugger went away meanwhile."""
        board = self._board
        for core in range(2):
            board.pass_breakpoint(core)
        if resume.step_core is not None:
            return board.step(resume.step_core, on_uart0=self._on_uart0)
        while True:
            conditions = Conditions(
                board.cycles + SLICE_CYCLES,
                on_uart0=self._on_uart0,
                before_access=True,
                stop_at_fault=self.target.catch_faults,
            )
            stop = Running(board, conditions).run()
            board.chip.S[layout.END] = layout.NEVER
            if stop.reason not in ("max_cycles", "idle"):
                return stop
            ready, _, _ = select.select([self._stream], [], [], IDLE_S if stop.reason == "idle" else 0)
            if ready:
                data = self._stream.recv(RECEIVE_BYTES)
                if not data:
                    return None
                self._events += self._reader.feed(data)
            if Interrupt() in self._events:
                self._events.remove(Interrupt())
                return board.stop_here("interrupted")


def serve_file(path: Path, port: int, uart_in: Path | None, once: bool) -> None:
    """Wait for debuggers until Ctrl-C, or for one. Raises BadInputError."""
    board = prepare(path, RunOptions(uart_in=uart_in))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise BadInputError(f"port {port} of {HOST} cannot be used: {error.strerror or error}") from error
        listener.listen(1)
        say(f"waiting on {HOST}:{listener.getsockname()[1]}; in gdb: target remote :{listener.getsockname()[1]}")
        try:
            while True:
                stream, _ = listener.accept()
                with stream:
                    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    say("debugger connected")
                    Connection(stream, board, write_stdout).serve()
                    say("debugger gone; the board stands still")
                if once:
                    return
        except KeyboardInterrupt:
            say("stopped")
