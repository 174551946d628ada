"""`crustwatch emu`: run firmware on the emulated RP2040, and measure the emulator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Run RP2040 firmware without a board.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def emu() -> None:
    """Run RP2040 firmware without a board.

    Try: crustwatch emu run firmware.uf2
    """


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="ELF, UF2, or a raw binary named *.bin (loaded at 0x10000000).")],
    bkpt_log: Annotated[
        bool, typer.Option("--bkpt-log", help="Record each BKPT (immediate, r0, cycle) and go on; 0 ends the run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
    max_cycles: Annotated[int | None, typer.Option(min=1, help="Stop after this many cycles of clk_sys.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="Stop after this many seconds of real time.")] = None,
    until_text: Annotated[str | None, typer.Option(help="Stop once UART0 has sent this; else fail.")] = None,
    uart_in: Annotated[
        Path | None, typer.Option(help="File whose bytes are sent to UART0 at the firmware's baud rate; - is stdin.")
    ] = None,
) -> None:
    """Run a firmware file, print what UART0 sends, and say why it stopped.

    BKPT stops with its immediate and r0-r3. Faults are reported with PC, address and registers; the HardFault handler
    runs as on the chip, and where there is none the core locks up.
    Exit code 0: stopped at a BKPT, a limit, the text, or asleep for good; 1: stopped by a fault or inside the HardFault
    handler, by lock-up, reset or Ctrl-C, or no such text; 2: not a firmware file.

    Example: crustwatch emu run firmware.uf2 --max-cycles 125000000
    """
    from firmware_sim.rp2040.session import RunOptions, run_file

    options = RunOptions(bkpt_log, as_json, max_cycles, timeout, until_text, uart_in)
    raise typer.Exit(run_file(file, options))


@app.command()
def bench(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of which the median is taken.")] = 5,
) -> None:
    """Measure the emulator on this machine: millions of emulated cycles a second; a real chip makes 125.

    Example: crustwatch emu bench --json
    """
    from firmware_sim.rp2040.bench import print_benchmark

    print_benchmark(repeats, as_json)
