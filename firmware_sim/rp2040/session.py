"""One run of a firmware file for the command line: text to stdout as it comes, or one JSON object at the end."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firmware_sim.rp2040.board import Board
from firmware_sim.rp2040.camera_source import camera_pictures
from firmware_sim.rp2040.image import load_image
from firmware_sim.rp2040.report import Stop
from firmware_sim.rp2040.units import EMULATOR
from shared.errors import BadInputError

FAILED = ("fault", "lockup", "reset", "interrupted")


@dataclass(frozen=True)
class RunOptions:
    """Options of `crustwatch emu run`."""

    bkpt_log: bool = False
    as_json: bool = False
    max_cycles: int | None = None
    timeout_s: float | None = None
    until_text: str | None = None
    uart_in: Path | None = None
    usb_in: Path | None = None
    strict: bool = False
    through_resets: bool = False
    native: bool = True
    flash: Path | None = None
    fast: bool = False
    camera: Path | None = None
    address: str | None = None  # of a raw binary, as it was typed


def announce_compilation() -> None:
    """Say on stderr that this is the first start, which takes some seconds."""
    if not EMULATOR.is_cached:
        say("compiling the emulator, once: a few seconds")


def read_uart_input(path: Path | None) -> bytes:
    """Bytes to send to the chip. Raises BadInputError."""
    if path is None:
        return b""
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror or error}") from error


def read_address(text: str) -> int:
    """A number as people write addresses. Raises BadInputError."""
    try:
        return int(text, 0)
    except ValueError:
        raise BadInputError(f"{text!r} is no address: write it as 0x20000000") from None


def write_stdout(data: bytes) -> None:
    """UART bytes to the terminal, unchanged."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def say(line: str) -> None:
    """A remark about the run: stderr, so that stdout holds the UART's text alone."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def prepare(path: Path, options: RunOptions) -> Board:
    """A board with the file loaded and everything compiled. Raises BadInputError."""
    address = None if options.address is None else read_address(options.address)
    image = load_image(path, address=address)
    if address is not None and image.kind != "bin":
        raise BadInputError(f"{path} says itself where it goes: --address is for raw binaries")
    sending, typing = read_uart_input(options.uart_in), read_uart_input(options.usb_in)
    announce_compilation()
    board = Board(flash=options.flash, strict=options.strict, native=options.native, fast=options.fast)
    board.load(image)
    if options.camera is not None:
        board.camera.show(camera_pictures(options.camera))
    board.uart0.write(sending)
    board.usb.console.write(typing)
    board.compile()
    return board


def run_prepared(board: Board, options: RunOptions) -> Stop:
    """Run as the options say; Ctrl-C stops."""
    try:
        return board.run(
            max_cycles=options.max_cycles,
            until_text=options.until_text,
            bkpt_log=options.bkpt_log,
            timeout_s=options.timeout_s,
            on_uart0=None if options.as_json else write_stdout,
            on_usb=None if options.as_json else write_stdout,
            stop_on_reset=not options.through_resets,
        )
    except KeyboardInterrupt:
        return board.stop_here("interrupted")


def exit_code(board: Board, stop: Stop, options: RunOptions) -> int:
    """0, or 1 when something failed."""
    wanted_text = options.until_text is not None and stop.reason != "text"
    return 1 if stop.reason in FAILED or board.in_hardfault or wanted_text else 0


def run_file(path: Path, options: RunOptions) -> int:
    """Run a file; the exit code. Raises BadInputError."""
    board = prepare(path, options)
    try:
        stop = run_prepared(board, options)
    finally:
        board.flash.close()
    if options.as_json:
        print(json.dumps(result_object(board, stop)))  # noqa: T201
        for fault in stop.faults:
            say(str(fault))
    else:
        tell(board, stop)
    return exit_code(board, stop, options)


def result_object(board: Board, stop: Stop) -> dict[str, Any]:
    """What --json prints."""
    return {
        "stop_reason": stop.reason,
        "immediate": stop.immediate,
        "r0": stop.r0,
        "r1": stop.r1,
        "r2": stop.r2,
        "r3": stop.r3,
        "pc": stop.pc,
        "cycles": stop.cycles,
        "instructions": stop.instructions,
        "clock_hz": board.clock_hz,
        "uart0": board.uart0.sent.decode("utf-8", "replace"),
        "usb": board.usb.console.sent.decode("utf-8", "replace"),
        "events": [asdict(event) for event in stop.events],
        "faults": [asdict(fault) for fault in stop.faults],
        "warnings": board.warnings,
    }


def tell(board: Board, stop: Stop) -> None:
    """The end of a run in words."""
    if any(sent and not sent.endswith(b"\n") for sent in (board.uart0.sent, board.usb.console.sent)):
        write_stdout(b"\n")
    for event in stop.events:
        say(f"bkpt {event.immediate}: r0 0x{event.r0:08x}, cycle {event.cycle}")
    for warning in board.warnings:
        say(f"warning: {warning}")
    for fault in stop.faults:
        say(str(fault))
    reason = stop.reason
    if stop.immediate is not None:
        reason += f" {stop.immediate}"
    say(
        f"stopped: {reason}, pc 0x{stop.pc:08x}, r0-r3 {stop.r0:08x} {stop.r1:08x} {stop.r2:08x} {stop.r3:08x}, "
        f"{stop.cycles} cycles, {stop.instructions} instructions"
    )
